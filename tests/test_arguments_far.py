"""Arguments, numbers of workers and large objects on a machine that does not see this computer's files."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from muster._clouds.base import Access
from muster._job import Job, Options
from muster._model import Target
from muster._run.runner import run
from muster._user_code import arguments, targets

pytestmark = pytest.mark.waits

ROWS = 1000
MANY = 300_000
"""Numbers of 8 bytes: more than goes with a message."""


@pytest.fixture(autouse=True)
def beside_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in a folder without code, which would go along."""
    monkeypatch.chdir(tmp_path)


def out(folder: Path, far: Access, target: Target, **options: object) -> pd.DataFrame:
    job = Job((target,), (str(folder / "in.csv"),), str(folder / "out.csv"), Options(fresh=True, **options))  # type: ignore[arg-type]
    run(job, watch=lambda _: None, access=far)
    return pd.read_csv(folder / "out.csv")


def test_what_a_function_captures_and_is_given_gets_there_and_so_does_who_it_is(tmp_path: Path, far: Access) -> None:
    pd.DataFrame({"a": range(ROWS)}).to_csv(tmp_path / "in.csv", index=False)
    captured, given = np.arange(MANY), np.full(MANY, 5)

    def look_up(df: pd.DataFrame, by: np.ndarray, *, offset: int) -> pd.DataFrame:
        numbers = os.environ["MUSTER_WORKER"], os.environ["MUSTER_LOCAL_WORKER"]
        return df.assign(b=captured[df.a] * by[df.a] + offset, w=numbers[0], l=numbers[1], pid=os.getpid())

    target = targets.of_function(look_up)
    target = targets.with_arguments(target, arguments.given({"by": given, "offset": 1}, step="look_up"))
    frame = out(tmp_path, far, target, batch_rows=100, calls_per_worker=3)
    assert frame.b.tolist() == [5 * n + 1 for n in range(ROWS)]
    assert set(frame.w) <= {0, 1}
    assert (frame.w == frame.l).all()
    assert frame.groupby("pid").w.nunique().max() == 1
    assert frame.groupby("pid").size().max() <= 300


def test_a_file_of_code_is_given_what_was_typed(tmp_path: Path, far: Access) -> None:
    pd.DataFrame({"a": range(10)}).to_csv(tmp_path / "in.csv", index=False)
    code = tmp_path / "code"
    code.mkdir()
    (code / "f.py").write_text("def f(df, n: int, word='x'):\n    return df.assign(b=df.a * n, word=word)\n")
    target = targets.with_arguments(
        targets.parse_target(f"{code}/f.py:f"), arguments.typed([("n", "3"), ("word", "two")])
    )
    frame = out(tmp_path, far, target)
    assert frame.b.tolist() == [3 * n for n in range(10)]
    assert set(frame.word) == {"two"}
