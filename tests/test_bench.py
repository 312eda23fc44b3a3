"""The judge of the benchmark, what it keeps, and the benchmark itself on a few rows."""

import importlib
import json
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


@pytest.mark.parametrize(
    ("right", "given", "told"),
    [
        ("1", '"1"', "types: a is JSON text instead of JSON number"),
        ("null", '"null"', "types: a is JSON text instead of JSON null"),
        ("true", '"true"', "types: a is JSON text instead of JSON truth"),
        ("true", "1", "types: a is JSON number instead of JSON truth"),
        ("[1]", '"[1]"', "types: a is JSON text instead of JSON list"),
        ('{"b":1}', '"{\\"b\\":1}"', "types: a is JSON text instead of JSON object"),
        ('{"b":1}', '{"b":"1"}', "1 rows, but they differ: a in 1"),
        ('"x"', "null", "types: a is JSON null instead of JSON text"),
        ("1e-05", "0.00001", ""),
    ],
)
def test_cells_of_json_are_compared_with_their_kinds(
    right: str, given: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(BENCHMARKS)
    verdict = importlib.import_module("judge").verdict
    expected, answer = tmp_path / "right.jsonl", tmp_path / "answer"
    expected.write_text(f'{{"a":{right}}}\n')
    answer.mkdir()
    (answer / "part-0.jsonl").write_text(f'{{"a":{given}}}\n')
    assert verdict(expected, answer, {"a"}) == {"right": not told, "detail": told}


def test_kinds_of_json_are_those_of_all_files_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(BENCHMARKS)
    verdict = importlib.import_module("judge").verdict
    expected, answer = tmp_path / "right.jsonl", tmp_path / "answer"
    expected.write_text('{"a":null}\n{"a":2}\n')
    answer.mkdir()
    (answer / "part-0.jsonl").write_text('{"a":null}\n')
    (answer / "part-1.jsonl").write_text('{"a":2}\n')
    assert verdict(expected, answer, {"a"}) == {"right": True, "detail": ""}
    (answer / "part-0.jsonl").write_text('{"a":1}\n')
    told = "types: a is JSON number instead of JSON null or number"
    assert verdict(expected, answer, {"a"}) == {"right": False, "detail": told}


@pytest.mark.parametrize("wrong", [7, 25_000, 49_999])
def test_what_arrow_reads_of_csv_is_compared_with_what_python_reads(
    wrong: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(BENCHMARKS)
    answers = importlib.import_module("_answers")
    path = tmp_path / "rows.csv"
    texts = [f'"{row}",\nx' for row in range(50_000)]
    pd.DataFrame({"id": range(50_000), "name": texts}).to_csv(path, index=False)
    read = answers.answer(path)
    spread = [*range(wrong, min(wrong + 500, 50_000))]  # stretches lie 500 rows apart
    changed = [f"{text}?" if row in spread else text for row, text in enumerate(texts)]
    table = read.table.set_column(1, "1", [changed])
    with pytest.raises(ValueError, match=r"rows .* of rows.csv other than Python's csv"):
        answers.check_csv(path, answers.Answer(table, read.names, read.types))
    with pytest.raises(ValueError, match=r"49,999 rows of rows.csv, where 50,000 lines end outside of quotes"):
        answers.check_csv(path, answers.Answer(read.table[1:], read.names, read.types))


def benched(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(BENCHMARKS / "bench.py"), *words]
    environment = {**os.environ, "MUSTER_BENCH_DATA": str(folder)}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


@pytest.mark.parametrize("words", [("--show",), ("json",)])
def test_results_of_another_version_are_refused_in_words_before_anything_is_measured(
    words: tuple[str, ...], tmp_path: Path
) -> None:
    old = json.dumps({"machine": {}, "help": [0.1], "quick": False, "jobs": {"cheap": {}}})
    (tmp_path / "results.json").write_text(old)
    done = benched(tmp_path, *words)
    assert done.returncode == 1
    assert done.stderr.startswith(f"{tmp_path / 'results.json'} was written by another version of this benchmark")
    assert (tmp_path / "results.json").read_text() == old


def test_only_jobs_with_peers_of_the_other_environment_need_it(tmp_path: Path) -> None:
    assert benched(tmp_path, "json", "large", "--needs-peers").stdout == "json\n"
    for words in (["--show"], ["large", "memory-1"], ["json", "--peers", "muster,pandas,polars"]):
        assert benched(tmp_path, *words, "--needs-peers").stdout.split() == []


def test_jobs_that_were_measured_before_the_benchmark_was_ended_are_not_missing(tmp_path: Path) -> None:
    (tmp_path / "results.json").write_text(json.dumps({"format": 2, "jobs": {"parquet": {}}}))
    asked = ("parquet", "json", "large", "--missing", "--needs-peers")
    assert benched(tmp_path, *asked).stdout == "json\n"
    assert benched(tmp_path, *asked, "--most", "50").stdout == "parquet json\n"


def test_the_last_tables_are_shown_without_any_peer_being_installed() -> None:
    command = ["make", "--no-print-directory", "--dry-run", "--assume-old=.venv/.installed", "bench", "BENCH=--show"]
    ended = subprocess.run(command, cwd=BENCHMARKS.parent, capture_output=True, text=True, timeout=60, check=True)
    assert "--show" in ended.stdout
    assert "pip install" not in ended.stdout


def test_a_few_rows_of_a_job_are_measured_and_judged_and_nothing_but_results_stays(tmp_path: Path) -> None:
    for old in ("expected-rows-2000000-0a1b2c3d.csv", "quoted-200000.csv", "rows-10000000.csv"):
        (tmp_path / old).write_text("kept by an earlier version\n")
    (tmp_path / "outputs").mkdir()
    done = benched(tmp_path, "json", "--most", "50", "--runs", "1", "--peers", "muster")
    assert "json, 50 rows: muster" in done.stderr
    assert "JSON lines to JSON lines, 50 rows" in done.stdout
    assert "wrong" not in done.stderr + done.stdout.partition("Whole processes")[0]
    assert [one.name for one in tmp_path.iterdir()] == ["results-tried.json"]


def test_a_job_that_is_measured_again_leaves_the_others_their_versions(tmp_path: Path) -> None:
    saved = tmp_path / "results-tried.json"
    benched(tmp_path, "json", "--most", "50", "--runs", "1", "--peers", "muster")
    results = json.loads(saved.read_text())
    machine = results["jobs"]["json"]["machine"]
    machine["versions"]["muster"], machine["cores"] = "0.0.1", 64
    saved.write_text(json.dumps(results))
    shown = benched(tmp_path, "wide", "--most", "60", "--runs", "1", "--peers", "muster").stdout
    assert "64 cores" in next(line for line in shown.splitlines() if line.startswith("- json. Begun "))
    assert "64 cores" not in next(line for line in shown.splitlines() if line.startswith("- wide. Begun "))
    assert "| **muster**, 0.0.1 |" in shown
    assert "at most 60 rows a job" in shown
