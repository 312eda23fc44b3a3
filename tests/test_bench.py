"""The judge of the benchmark, and the benchmark itself on a few rows."""

import importlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
Judge = Callable[..., tuple[bool, str]]
ROWS = pd.DataFrame({"id": range(40), "v": [at / 7 for at in range(40)], "name": [f'"{at}",\nx' for at in range(40)]})
FORMS: dict[str, Callable[[pd.DataFrame, Path], object]] = {
    "csv": lambda rows, path: rows.to_csv(path, index=False),
    "jsonl": lambda rows, path: rows.to_json(path, orient="records", lines=True, double_precision=15),
    "parquet": lambda rows, path: rows.to_parquet(path, index=False),
}


@pytest.fixture(params=FORMS)
def judged(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Judge:
    monkeypatch.syspath_prepend(BENCHMARKS)
    verdict = importlib.import_module("judge").verdict

    def judge(*parts: pd.DataFrame) -> tuple[bool, str]:
        expected, answer = tmp_path / f"expected.{request.param}", tmp_path / "answer"
        FORMS[request.param](ROWS, expected)
        answer.mkdir()
        for number, part in enumerate(parts):
            FORMS[request.param](part, answer / f"part-{number}.{request.param}")
        told = verdict(expected, answer, {"id", "v"})
        return told["right"], told["detail"]

    return judge


def test_a_folder_of_files_with_the_right_rows_in_order_is_right(judged: Judge) -> None:
    assert judged(*(ROWS[at : at + 3] for at in range(0, len(ROWS), 3))) == (True, "")


def test_a_number_that_differs_in_its_last_digit_is_right_and_said(judged: Judge) -> None:
    assert judged(ROWS.assign(v=ROWS["v"] * (1 + 3e-13))) == (True, "39 numbers differ in the last digit")


def test_right_rows_in_another_order_are_wrong(judged: Judge) -> None:
    assert judged(ROWS[20:], ROWS[:20]) == (False, "the right rows, in another order")


def test_a_missing_row_is_wrong(judged: Judge) -> None:
    assert judged(ROWS[1:]) == (False, "39 rows instead of 40")


def test_one_wrong_number_and_one_wrong_text_are_counted_by_column(judged: Judge) -> None:
    wrong = ROWS.assign(v=ROWS["v"].where(ROWS["id"] != 7, 1.5), name=ROWS["name"].where(ROWS["id"] != 9, "y"))
    assert judged(wrong) == (False, "40 rows, but they differ: v in 1, name in 1")


def test_whole_numbers_that_became_decimal_ones_are_wrong(judged: Judge) -> None:
    is_right, detail = judged(ROWS.assign(id=ROWS["id"].astype(float)))
    assert not is_right
    assert "id" in detail


def test_columns_in_another_order_are_wrong(judged: Judge) -> None:
    assert judged(ROWS[["v", "id", "name"]]) == (False, "columns v,id,name instead of id,v,name")


def test_a_few_rows_of_a_job_are_measured_and_judged_and_nothing_but_results_stays(tmp_path: Path) -> None:
    command = [sys.executable, str(BENCHMARKS / "bench.py"), "json", "--most", "50", "--runs", "1", "--peers", "muster"]
    environment = {**os.environ, "MUSTER_BENCH_DATA": str(tmp_path)}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert "json, 50 rows: muster" in done.stderr
    assert "JSON lines to JSON lines, 50 rows" in done.stdout
    assert "wrong" not in done.stderr + done.stdout.partition("Whole processes")[0]
    assert [one.name for one in tmp_path.iterdir()] == ["results-tried.json"]
