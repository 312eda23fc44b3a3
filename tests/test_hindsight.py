"""What the results of a run tell of its function is said at the end: columns of some batches, rows of the batch."""

import os
import warnings
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

import muster
from conftest import Muster
from muster._model import Outcome, Schema, Task
from muster._run.telling.hindsight import Hindsight

Frame = pd.DataFrame


def hindsight(batches: list[tuple[int, int]], *, batch_rows: int | None = None, bad: int = 0) -> list[str]:
    found = Hindsight(batch_rows)
    for rows_in, rows_out in batches:
        task = Task(1, 0, 1, 0, 0, 1, 0, rows_in, 0, rows_in)
        found.take(Outcome(task, rows_in, rows_out, bad_rows=bad))
    return found.remarks(Schema(("a",), (("int64",),)))


SIZES = [500, 500, 4000, 9000, 9000, 100]


@pytest.mark.parametrize("rows", [1, 6, 24])
def test_as_many_rows_from_each_batch_whatever_its_size_are_remarked_upon(rows: int) -> None:
    (text,) = hindsight([(size, rows) for size in SIZES])
    assert f"each of 6 batches gave {rows} row" in text


@pytest.mark.parametrize(
    "given",
    [
        lambda size: size,
        lambda size: size * 3,
        lambda size: size // 10,
        lambda size: size // 500,
        lambda size: int(size == 4000),
        lambda _: 0,
        lambda size: max(size - 5, 0),
    ],
    ids=["all", "explode", "filter", "rare", "one hit", "none", "without a head"],
)
def test_filters_and_explodes_are_not(given: Callable[[int], int]) -> None:
    assert hindsight([(size, given(size)) for size in SIZES]) == []


def test_nor_are_few_batches_batches_of_one_size_or_of_a_size_that_was_asked_for() -> None:
    assert hindsight([(500, 6), (9000, 6)]) == []
    assert hindsight([(500, 6)] * 9) == []
    assert hindsight([(size, 6) for size in SIZES], batch_rows=500) == []
    assert hindsight([(size, 6) for size in SIZES], bad=1) == []


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    path = tmp_path / "rows.csv"
    path.write_text("n,g\n" + "".join(f"{n},{'abc'[n % 3] if n < 20000 else 'z'}\n" for n in range(30000)))
    return path


def counted(frame: Frame) -> Frame:
    return frame.groupby("g")["n"].sum().reset_index()


def dummies(frame: Frame) -> Frame:
    return pd.get_dummies(frame, columns=["g"])


def test_a_run_in_python_warns_of_columns_that_only_some_batches_had(tmp_path: Path, rows: Path) -> None:
    with pytest.warns(
        muster.NotRowWiseWarning, match="only some batches had the columns 'g_a', 'g_b', 'g_c', 'g_z'"
    ) as found:
        muster.run(dummies, rows, tmp_path / "out.csv", workers=0, part_bytes=8 << 10)
    assert all(one.filename == __file__ for one in found)


def test_what_treats_each_row_by_itself_is_not_remarked_upon(tmp_path: Path, rows: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        muster.run(lambda frame: frame[frame["n"] % 7 == 0], rows, tmp_path / "out.csv", workers=0)


def test_the_terminal_and_the_journal_are_told_once(tmp_path: Path, rows: Path, muster: Muster) -> None:
    (tmp_path / "f.py").write_text("import pandas as pd\ndef f(df):\n    return pd.DataFrame({'rows': [len(df)]})\n")
    end = muster("run", "f.py:f", rows.name, "-o", "out.csv", "--workers", "2")
    assert end.code == 0
    assert end.err.count("batches gave 1 row back") == 1
    (journal,) = Path(os.environ["MUSTER_HOME"]).rglob("*.jsonl")
    said = [line for line in journal.read_text().splitlines() if "batches gave 1 row back" in line]
    assert [line[: line.index(",")] for line in said] == ['{"event":"told"', '{"event":"finished"']


@pytest.mark.parametrize("workers", ["0", "2"])
@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("df.set_index('ID')", "the index 'ID' of the results is not written; df.reset_index() makes it a column"),
        ("df.set_index(['ID', 'b'])", "the index 'ID', 'b' of the results"),
        ("df.set_index('ID', drop=False)", ""),
        ("df.sort_values('b')", ""),
    ],
)
def test_a_named_index_is_not_lost_without_a_word(
    muster: Muster, tmp_path: Path, body: str, said: str, workers: str
) -> None:
    (tmp_path / "f.py").write_text(f"def f(df):\n    return {body}\n")
    (tmp_path / "in.csv").write_text("ID,b,c\n" + "1,2,3\n" * 40)
    ran = muster("run", "f.py:f", "in.csv", "-o", "out.csv", "--workers", workers, "--batch-rows", "5")
    assert ran.code == 0, ran.err
    assert ran.err.count("is not written") == (1 if said else 0)
    assert said in ran.err
    if workers == "0":
        checked = muster("check", "f.py:f", "in.csv")
        assert said.replace("the index", "The index") in checked.out
        assert ("is not written" in checked.out) == bool(said)
