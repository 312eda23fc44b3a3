"""What a hostile reader found, kept found."""

import gzip
import os
import subprocess
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import muster
from conftest import MUSTER, Muster
from muster._job import Job, Options, Snapshot
from muster._run.runner import run
from muster._run.staffing.bodies import make_body
from muster._user_code.facts import facts_of
from muster._user_code.targets import of_function
from muster.testing import FakeEngine


def rows(path: Path, count: int, last: str = "7") -> Path:
    path.write_text("A,B\n" + "".join(f"{at},x{at}\n" for at in range(count - 1)) + f"{last},end\n")
    return path


def silent(_: Snapshot) -> None:
    pass


def test_a_misfit_among_other_events_of_one_wait_starts_over_and_does_not_hang(tmp_path: Path) -> None:
    class Together(FakeEngine):
        def messages(self) -> list[Any]:
            events = super().messages()
            return events + [event for _ in range(8) for event in super(Together, self).messages()]

    source = rows(tmp_path / "in.csv", 40_000, last="1.5")
    job = Job((of_function(lambda df: df),), (str(source),), str(tmp_path / "out.csv"), Options(part_bytes=1000))
    result = run(job, watch=silent, make_engine=lambda _: Together(make_body, workers=4))
    assert result.rows_out == 40_000
    assert (tmp_path / "out.csv").read_text().splitlines()[1] == "0.0,x0"


def test_a_frame_without_columns_means_no_rows_here_and_says_nothing_of_columns(tmp_path: Path) -> None:
    def some(df: pd.DataFrame) -> pd.DataFrame:
        return df if (df["A"] > 4_990).any() else pd.DataFrame()

    result = muster.run(some, rows(tmp_path / "in.csv", 5_000), tmp_path / "out.csv", batch_rows=100, workers=0)
    assert (result.rows_out, result.bad_rows) == (100, 0)


FACTOR = 2


def by_comprehension(df: pd.DataFrame) -> list[int]:
    return [value * FACTOR for value in df["A"]]


class Keeps:
    factor = 2

    def __init__(self, names: list[str]) -> None:
        self.names = set(names)

    def __call__(self, df: pd.DataFrame) -> pd.DataFrame:
        return df


def test_a_fingerprint_sees_globals_in_comprehensions_and_attributes_of_classes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = facts_of(by_comprehension), facts_of(Keeps), facts_of(Keeps(["a", "b"]))
    assert before == (facts_of(by_comprehension), facts_of(Keeps), facts_of(Keeps(["b", "a"])))
    monkeypatch.setitem(globals(), "FACTOR", 3)
    monkeypatch.setattr(Keeps, "factor", 3)
    after = facts_of(by_comprehension), facts_of(Keeps), facts_of(Keeps(["a", "b"]))
    assert not set(before) & set(after)


TABLE = {"a": 1, "b": 2, "c": 1}


def by_table(df: pd.DataFrame) -> object:
    return df["A"].map(TABLE)


def test_a_fingerprint_sees_every_value_of_a_table(monkeypatch: pytest.MonkeyPatch) -> None:
    tables = [{"a": a, "b": b, "c": c} for a in (1, 2) for b in (1, 2) for c in (1, 2)]
    found = set()
    for table in tables:
        monkeypatch.setitem(globals(), "TABLE", table)
        found |= {facts_of(by_table), facts_of(by_table)}
    assert len(found) == len(tables)


def test_workers_draw_random_numbers_of_their_own(tmp_path: Path) -> None:
    def draw(df: pd.DataFrame) -> pd.DataFrame:
        return df.assign(R=np.random.random(len(df)))  # noqa: NPY002 (the global state is what this is about)

    muster.run(draw, rows(tmp_path / "in.csv", 20_000), tmp_path / "out.csv", workers=2)
    assert pd.read_csv(tmp_path / "out.csv")["R"].is_unique


@pytest.mark.parametrize("name", ["in.csv", "in.csv.gz"])
def test_a_stray_quote_does_not_make_one_bad_row_of_the_rest_of_a_file(tmp_path: Path, name: str) -> None:
    frame = pd.DataFrame({"A": range(20_000), "B": ["x"] * 5 + ["STRAY"] + ["x"] * 19_994})
    text = frame.to_csv(index=False).replace("STRAY", '"oops')
    (tmp_path / name).write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    with pytest.raises(muster.DataError, match="never closed"):
        muster.run(lambda df: df, tmp_path / name, tmp_path / "out.csv", workers=0)


def test_an_output_that_is_a_pipe_or_a_folder_of_the_input_is_refused(muster: Muster, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.csv")
    (tmp_path / "stage").mkdir()
    rows(tmp_path / "stage" / "part-00000.csv", 3)
    (tmp_path / "stage" / "_manifest.json").write_text('{"parts": []}')
    (tmp_path / "same.py").write_text("def same(df):\n    return df\n")
    for output in ("pipe.csv", "stage/"):
        assert muster("run", "same.py:same", "stage/", "-o", output).code == 2
    assert (tmp_path / "pipe.csv").is_fifo()
    assert (tmp_path / "stage" / "part-00000.csv").exists()


def test_a_symbolic_link_as_output_is_written_through(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "out.csv").write_text("old")
    (tmp_path / "link.csv").symlink_to(tmp_path / "real" / "out.csv")
    muster.run(lambda df: df, rows(tmp_path / "in.csv", 3), tmp_path / "link.csv", workers=0)
    assert (tmp_path / "link.csv").is_symlink()
    assert (tmp_path / "real" / "out.csv").read_text().startswith("A,B\n")


TARGETS = """
import os, sys
def cd(df):
    os.chdir("/")
    return df
class Leaves:
    def __init__(self):
        sys.exit(0)
class Uncallable:
    pass
def dies(df):
    os._exit(3)
class Unspeakable(Exception):
    def __str__(self):
        raise ValueError
def unspeakable(df):
    raise Unspeakable
"""


@pytest.mark.parametrize(
    ("target", "workers", "code", "says"),
    [
        ("cd", "0", 0, ""),
        ("cd", "2", 0, ""),
        ("Leaves", "0", 1, "SystemExit"),
        ("Leaves", "2", 1, "SystemExit"),
        ("Uncallable", "2", 2, "cannot be called"),
        ("dies", "2", 1, "it ended the process"),
        ("unspeakable", "2", 1, "in the same way: Unspeakable"),
    ],
)
def test_odd_functions_end_as_the_contract_says(  # noqa: PLR0913, PLR0917 (a case is a row of the table)
    muster: Muster, tmp_path: Path, target: str, workers: str, code: int, says: str
) -> None:
    (tmp_path / "odd.py").write_text(TARGETS)
    rows(tmp_path / "in.csv", 3)
    ended = muster("run", f"odd.py:{target}", "in.csv", "-o", "out.csv", "--workers", workers)
    assert ended.code == code, ended.err
    assert says in ended.err
    assert (tmp_path / "out.csv").exists() == (code in {0, 4})


@pytest.mark.parametrize(
    "wrong",
    [
        {"timeout": "60s"},
        {"timeout": 1e12},
        {"dialect": {"delimiter": ";"}},
        {"workers": "two"},
    ],
    ids=str,
)
def test_wrong_options_of_the_call_are_usage_errors(tmp_path: Path, wrong: dict[str, Any]) -> None:
    with pytest.raises(muster.UsageError):
        muster.run(lambda df: df, rows(tmp_path / "in.csv", 3), tmp_path / "out.csv", **wrong)


@pytest.mark.parametrize("dtype", [str, {"A": str}, {"A": np.int64}, {"A": np.dtype("float64")}, {"A": "int"}], ids=str)
def test_types_may_be_given_as_pandas_takes_them(tmp_path: Path, dtype: Any) -> None:  # noqa: ANN401 (pandas-stubs know fewer types than pandas)
    source = rows(tmp_path / "in.csv", 3)
    muster.run(lambda df: df, source, tmp_path / "out.csv", workers=0, dtype=dtype)
    want = pd.read_csv(source, dtype=dtype)
    want.to_csv(tmp_path / "want.csv", index=False)
    assert (tmp_path / "out.csv").read_bytes() == (tmp_path / "want.csv").read_bytes()


def test_a_function_that_cannot_travel_is_a_usage_error(tmp_path: Path) -> None:
    lock = threading.Lock()

    def locked(df: pd.DataFrame) -> pd.DataFrame:
        return df.assign(LOCKED=lock.locked())

    with pytest.raises(muster.UsageError, match="cannot be sent"):
        muster.run(locked, rows(tmp_path / "in.csv", 3), tmp_path / "out.csv", workers=0)


def test_a_reader_that_has_had_enough_is_no_error(tmp_path: Path) -> None:
    process = subprocess.Popen([*MUSTER, "runs", "--json"], cwd=tmp_path, stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.close()
    assert process.wait(timeout=60) == 0


def test_a_pipeline_file_that_raises_shows_the_users_traceback(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("raise RuntimeError('oh no')\n")
    done = subprocess.run(
        [*MUSTER, "run", "broken.py"], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 1
    assert 'broken.py", line 1' in done.stderr
    assert "muster/_" not in done.stderr
