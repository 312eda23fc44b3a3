"""``muster check`` tells whether a function is row-wise by calling it, on a few rows, and writes nothing."""

import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import muster
from conftest import Muster
from muster._formats.results import reply_of
from muster._formats.rows import Rows
from muster._worker.alone import in_small_batches
from muster._worker.compare import _differing, _is_same

Frame = pd.DataFrame


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    path = tmp_path / "rows.csv"
    path.write_text("n,g\n" + "".join(f"{n},{n % 3}\n" for n in range(300)))
    return path


def scored(frame: Frame) -> Frame:
    return frame.assign(z=frame["n"] - frame["n"].mean(), double=frame["n"] * 2, luck=np.random.rand(len(frame)))  # noqa: NPY002 (as users do)


def drawn(frame: Frame) -> Frame:
    return frame.assign(luck=[random.random() for _ in range(len(frame))])  # noqa: S311 (no secret)


def counted(frame: Frame) -> Frame:
    return frame.groupby("g")["n"].sum().reset_index()


@pytest.mark.parametrize(
    ("function", "row_wise", "differ", "chance"),
    [
        (lambda frame: frame[frame["n"] % 2 == 0].assign(text="x", gap=None), True, (), ()),
        (drawn, True, (), ("luck",)),
        (scored, False, ("z",), ("luck",)),
        (counted, False, ("g", "n"), ()),
        (lambda frame: pd.get_dummies(frame, columns=["n"]).iloc[:, :2], False, ("n_0", "n_150"), ()),
    ],
    ids=["row-wise", "random", "a mean", "groupby", "columns of a batch"],
)
def test_a_check_names_the_columns_that_differ_and_tells_chance_apart(
    rows: Path, function: Callable[[Frame], Frame], differ: tuple[str, ...], chance: tuple[str, ...], *, row_wise: bool
) -> None:
    found = muster.check(function, rows, sample=300)
    assert (found.row_wise, found.rows, found.random) == (row_wise, 300, chance)
    assert set(differ) <= set(found.differ)
    assert bool(found.differ) == bool(differ)


def test_a_check_in_the_terminal_says_it_in_words_as_json_and_by_its_exit_code(
    tmp_path: Path, rows: Path, muster: Muster
) -> None:
    (tmp_path / "f.py").write_text(
        "def same(df):\n    return df\ndef ranked(df):\n    return df.assign(place=df['n'].rank())\n"
    )
    before = sorted(path.name for path in tmp_path.iterdir())
    good = muster("check", "f.py:same", rows.name, "--json")
    assert (good.code, good.json["row_wise"], good.json["rows"]) == (0, True, 300)
    bad = muster("check", "f.py:ranked", rows.name, "--sample", "50")
    assert bad.code == 1
    assert bad.out == (
        "Not row-wise, called with 50 rows, with both halves of them, and with 11 batches of 1 to 10 rows: other values"
        " in place. So what a run gives depends on where batches end. Have each row depend on itself alone: muster help"
        " row-wise shows how, for six common cases.\n"
    )
    assert muster("check", "f.py:none", rows.name, "--json").json["kind"] == "usage"
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != "__pycache__") == before


def top(frame: Frame) -> Frame:
    return frame.assign(top=frame["n"] == max(frame["n"]))


def with_gaps(frame: Frame) -> Frame:
    return frame.assign(gap="x") if frame["n"].isna().any() else frame


def without_a_value(frame: Frame) -> Frame:
    return frame.assign(gap="x") if frame["n"].isna().all() else frame


def with_others(frame: Frame) -> Frame:
    return frame if len(frame) > 20 else frame.iloc[:0]


def test_of_a_pipeline_with_groups_the_steps_before_them_are_checked_and_profiled(
    tmp_path: Path, rows: Path, muster: Muster
) -> None:
    (tmp_path / "p.py").write_text(
        "import muster\n"
        "def ranked(df):\n    return df.assign(place=df['n'].rank())\n"
        "def largest(df):\n    return df.nlargest(1, 'n')\n"
        f"read = muster.read_csv({str(rows)!r})\n"
        "pipeline = read.map_batches(ranked).group_by('g').map_groups(largest).write_csv('out.csv')\n"
        "bare = read.group_by('g').map_groups(largest).write_csv('out.csv')\n"
    )
    found = muster("check", "p.py", "--json")
    assert (found.code, found.json["differ"], found.json["unchecked"]) == (1, ["place"], ["largest"])
    profiled = muster("check", "p.py", "--profile")
    assert profiled.out.startswith("ranked on ")
    assert profiled.out.endswith("Steps behind group_by or key_by were not called: largest.\n")
    refused = muster("check", "p.py:bare")
    assert refused.code == 2
    assert "no map_batches stands before the first group_by or key_by" in refused.err


@pytest.mark.parametrize(
    ("function", "differ"),
    [
        (top, ("top",)),
        (lambda frame: frame.assign(any_99=(frame["n"] == 99).any()), ("any_99",)),
        (lambda frame: frame.assign(all_small=(frame["n"].fillna(0) < 99).all()), ("all_small",)),
        (with_gaps, ("gap",)),
        (without_a_value, ("gap",)),
        (lambda frame: frame.assign(few=len(frame) < 50), ("few",)),
    ],
    ids=["max", "any", "all", "any is missing", "all are missing", "length"],
)
def test_a_check_finds_what_both_halves_share_by_chance(
    tmp_path: Path, function: Callable[[Frame], Frame], differ: tuple[str, ...]
) -> None:
    chance = random.Random(7)  # noqa: S311 (no secret)
    cells = ["" if n % 90 == 40 else str(chance.randrange(100)) for n in range(2000)]
    (tmp_path / "shared.csv").write_text("n,g\n" + "".join(f"{cell},{n}\n" for n, cell in enumerate(cells)))
    found = muster.check(function, tmp_path / "shared.csv")
    assert (found.row_wise, found.differ, found.largest_batch) == (False, differ, 10)
    assert 30 <= found.batches <= 40


def test_a_check_counts_the_rows_of_small_batches_and_says_where_a_function_takes_none(rows: Path) -> None:
    fewer = muster.check(with_others, rows)
    assert (fewer.row_wise, fewer.rows_whole, fewer.rows_halves) == (False, 300, 300)
    assert fewer.rows_batches < 300
    assert f"it gives 300 rows, and {fewer.rows_batches} of small batches and the rows between them" in str(fewer)
    second = muster.check(lambda frame: frame.assign(z=frame["n"].iloc[1]), rows)
    assert second.fails.startswith("'<lambda>' fails on a batch of 1 row: IndexError")
    assert str(second).startswith("Not row-wise, called with 300 rows, and with fewer of them: '<lambda>' fails on a")


def test_a_check_takes_the_last_digits_of_floats_for_the_same_and_says_so(rows: Path) -> None:
    def scored(frame: Frame) -> Frame:
        off = 1 + len(frame) * 1e-14
        lists = pd.Series([[n * off / 3, 0.1] for n in frame["n"]], frame.index)
        return frame.assign(p=frame["n"] / 7 * off, e=lists, f=(frame["n"] * 0.1).astype("float32"))

    found = muster.check(scored, rows)
    assert (found.row_wise, found.differ, set(found.nearly)) == (True, (), {"p", "e"})
    assert "Only the last digits differ in p, e, as those of floats do" in str(found)
    assert not muster.check(lambda frame: frame.assign(p=frame["n"] * (1 + len(frame) * 1e-8)), rows).row_wise


@given(st.integers(1, 400), st.integers(4, 60), st.integers(0, 9))
def test_small_batches_and_what_lies_between_them_are_the_rows(total: int, most: int, seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 (no secret)
    table = pa.table({"n": [chance.choice([None, 1, 2, 3]) for _ in range(total)], "t": [[n] for n in range(total)]})
    pieces, small = in_small_batches(Rows(table, np.arange(total)), most=most)
    assert [number for piece in pieces for number in piece.numbers] == list(range(total))
    assert pa.concat_tables(piece.table for piece in pieces) == table
    assert all(len(piece.numbers) for piece in pieces)
    assert all(len(piece.numbers) <= 10 for piece in small)
    assert 1 <= len(small) <= 2 * most


def test_a_function_that_fails_in_a_check_is_told_with_its_cure(rows: Path) -> None:
    with pytest.raises(muster.UserCodeError, match="did you mean 'n'"):
        muster.check(lambda frame: frame.assign(x=frame["N"]), rows)


def test_missing_cells_numbers_and_absent_columns_are_compared_as_what_they_are() -> None:
    assert _is_same([None, 1, float("nan")], [None, 1.0, float("nan")])
    assert not _is_same([None], [0])
    whole = reply_of(pd.DataFrame({"a": [1, 2], "b": [None, "x"]}), use="csv")
    halves = [reply_of(pd.DataFrame({"a": [1]}), use="csv"), reply_of(pd.DataFrame({"a": [2], "b": ["x"]}), use="csv")]
    assert _differing(whole, *halves) == {}


def test_a_check_tells_of_rows_that_it_left_out_as_they_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "bad.csv").write_text("n,g\n1,2\n3,4,5\n6,7\n")
    found = muster.check(lambda frame: frame, tmp_path / "bad.csv")
    assert (found.rows, found.bad_rows) == (2, 1)
    assert str(found).endswith("1 row that cannot be read was left out.")


def test_a_check_of_rows_of_which_none_can_be_read_says_so(tmp_path: Path) -> None:
    (tmp_path / "bad.csv").write_text("a\nx\ny\n")
    found = muster.check(lambda frame: frame, tmp_path / "bad.csv", dtype={"a": "int64"})
    assert (found.rows, found.bad_rows, found.batches) == (0, 2, 0)


def test_a_check_takes_a_pipeline_that_a_file_defines_with_its_inputs(
    tmp_path: Path, rows: Path, muster: Muster
) -> None:
    (tmp_path / "p.py").write_text(
        "import muster\ndef f(df):\n    return df.assign(z=df.n - df.n.mean())\n"
        f"pipeline = muster.read_csv({rows.name!r}).map_batches(f).write_csv('out.csv')\n"
    )
    end = muster("check", "p.py")
    assert (end.code, "z" in end.out) == (1, True)
    assert muster("check", "p.py:f").err.endswith("Name what to read: muster check TARGET INPUT...\n")
