"""What is said of bad rows at the end of a run, in its status and report: who follows it is not refused."""

import gc
import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pandas as pd
import pytest

import muster
from conftest import Muster
from muster import UsageError

IS_BROKEN: Final = {"is": True}


def doubled(df: pd.DataFrame) -> pd.DataFrame:
    if IS_BROKEN["is"] and 3 in set(df["n"]):
        raise ValueError("no 3")
    return df.assign(twice=df["n"] * 2)


def scaled(df: pd.DataFrame, factor: int) -> pd.DataFrame:
    return doubled(df).assign(scaled=df["n"] * factor)


def same(df: pd.DataFrame) -> pd.DataFrame:
    return df


def remembered(df: pd.DataFrame, states: Any) -> pd.DataFrame:  # noqa: ANN401 (a mapping of any states)
    del states
    return doubled(df)


class Product(muster.Aggregation):
    def initial(self) -> int:
        return 1

    def update(self, partial: int, rows: Any) -> int:  # noqa: ANN401 (a column)
        return partial * int(rows.prod())

    def combine(self, partial: int, later: int) -> int:
        return partial * later

    def output(self, partial: int) -> int:
        if IS_BROKEN["is"] and partial % 14 == 7:
            raise ValueError("no 3")
        return partial


RUNS: Final[dict[str, Callable[[muster.Pipeline], muster.Pipeline]]] = {
    "a function": lambda rows: rows.map_batches(doubled),
    "a lambda": lambda rows: rows.map_batches(lambda df: doubled(df)),  # noqa: PLW0108 (it is to be one)
    "arguments": lambda rows: rows.map_batches(scaled, args={"factor": 3}),
    "several steps": lambda rows: rows.map_batches(same).map_batches(doubled),
    "groups": lambda rows: rows.group_by("k").map_groups(doubled),
    "groups behind a step": lambda rows: rows.map_batches(same).group_by("k").map_groups(doubled),
    "groups by a function": lambda rows: rows.group_by(lambda df: df["k"]).map_groups(doubled),
    "an aggregation": lambda rows: rows.group_by("k").agg(product=("n", Product)),
    "rows before groups": lambda rows: rows.map_batches(doubled).group_by("k").map_groups(same),
    "groups of groups": lambda rows: rows.group_by("k").map_groups(doubled).group_by("k").map_groups(same),
    "a step behind groups": lambda rows: rows.group_by("k").map_groups(doubled).map_batches(same),
    "states": lambda rows: rows.key_by("k").map_batches(remembered, state=int),
}
REFUSED: Final = {"rows before groups", "groups of groups", "a step behind groups", "states"}


@pytest.mark.parametrize("kind", RUNS)
def test_a_caller_who_does_what_the_warning_says_is_not_refused(tmp_path: Path, kind: str) -> None:
    (tmp_path / "in.csv").write_text("k,n\n" + "".join(f"{at % 4},{at}\n" for at in range(20)))
    output = str(tmp_path / "out.csv")
    pipeline = RUNS[kind](muster.read_csv(tmp_path / "in.csv")).write_csv(output)
    IS_BROKEN["is"] = True
    with pytest.warns(muster.RejectedRowsWarning) as warned:
        result = pipeline.run(workers=0, max_bad_rows=20)
    (said,) = {str(one.message) for one in warned}
    assert result.remedy is not None
    assert bool(result.remedy.why_not) == (kind in REFUSED)
    IS_BROKEN["is"] = False
    if kind in REFUSED:
        instead = "make the same call again, with fresh=True: muster retry cannot do them alone, as the run"
        assert f"{instead} {result.remedy.why_not}" in said
        with pytest.raises(UsageError, match=re.escape(result.remedy.why_not)) as refused:
            muster.retry(output, pipeline)
        assert str(refused.value).endswith("then run the whole again, with fresh=True.")
        assert pipeline.run(workers=0, fresh=True).bad_rows == 0
        return
    call = re.search(r"Mend the function, then (muster\.retry\(.*\)) does these alone\. strict=True", said)
    assert call is not None, said
    names = {**globals(), "function": doubled, "pipeline": pipeline, "VALUE": 3}
    assert eval(call[1], names).bad_rows == 0  # noqa: S307 (it is muster's own text)
    mended = Path(output).read_bytes()
    pipeline.run(workers=0, fresh=True)
    assert mended == Path(output).read_bytes()


def test_a_pipeline_that_was_retried_calls_its_own_function_as_before(tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("k,n\n" + "".join(f"{at % 4},{at}\n" for at in range(20)))
    output, fails, calls = tmp_path / "out.csv", {3}, list[int]()

    def noted(df: pd.DataFrame, key: int) -> pd.DataFrame:
        calls.append(key)
        if key in fails:
            raise ValueError("no such key")
        return df

    pipeline = muster.read_csv(tmp_path / "in.csv").group_by("k").map_groups(noted).write_csv(output)
    with pytest.warns(muster.RejectedRowsWarning):
        pipeline.run(workers=0, max_bad_rows=20)
    fails.clear()
    calls.clear()
    assert muster.retry(output, pipeline).bad_rows == 0
    assert calls == [3]
    gc.collect()
    pipeline.run(workers=0, fresh=True)
    assert {*calls} == {0, 1, 2, 3}


FILE: Final = """
import muster
BROKEN = 3

def step(df, factor: int = 1, token: str = ""):
    if BROKEN in set(df["n"]):
        raise ValueError(f"no {BROKEN}")
    return df.assign(scaled=df["n"] * factor)

def keep(df, states):
    return step(df)

rows = muster.read_csv("in.csv")
groups = rows.group_by("k").map_groups(step).write_parquet("out.parquet")
states = rows.key_by("k").map_batches(keep, state=int).write_csv("out.csv")
"""


@pytest.mark.parametrize(
    "command",
    [
        "run f.py:step in.csv -o out.csv --arg token=abc",
        "run f.py:groups",
        "run f.py:states",
    ],
)
def test_what_a_terminal_a_status_and_a_report_say_can_be_typed(tmp_path: Path, muster: Muster, command: str) -> None:
    (tmp_path / "in.csv").write_text("k,n\n" + "".join(f"{at % 4},{at}\n" for at in range(20)))
    (tmp_path / "f.py").write_text(FILE)
    typed = [*shlex.split(command), "--workers", "0", "--max-bad-rows", "20"]
    ended = muster(*typed)
    assert ended.code == 4, ended.err
    (said,) = re.findall(r"Mend the function, then .*", ended.err)
    (run,) = [one["run"] for one in json.loads(muster("runs", "--json").out)]
    assert said in muster("status", run).out
    assert muster("report", run, "-o", "report.html").code == 0
    assert said in (tmp_path / "report.html").read_text()
    (tmp_path / "f.py").write_text(FILE.replace("BROKEN = 3", "BROKEN = -1"))
    if "--fresh" in said:
        assert muster(*typed, "--fresh").code == 0
        return
    again = shlex.split(said.partition("type: muster ")[2].replace("VALUE", "abc"))
    assert muster(*again).code == 0
