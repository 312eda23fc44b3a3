"""A function that fails on every row is told so at once: it stops the run, and no row is blamed."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import muster
from conftest import Muster
from muster._worker.cures import cure_of
from muster._worker.failures import NoFrameError, spread

MANY = 60_000
Frame = pd.DataFrame


@pytest.fixture
def orders(tmp_path: Path) -> Path:
    """Forty orders: days that are text, and numbers that are numbers."""
    path = tmp_path / "orders.csv"
    lines = [f"{n},2026-11-{n % 28 + 1:02d},{n / 4},item {n}" for n in range(40)]
    path.write_text("\n".join(["id,ordered_at,amount,What", *lines, ""]))
    return path


def many(folder: Path, *, bad: Callable[[int], bool], count: int = MANY) -> Path:
    path = folder / "many.csv"
    path.write_text("n,text\n" + "".join(f"{n},{'bad' if bad(n) else 'good'}\n" for n in range(count)))
    return path


def refuse(frame: Frame) -> Frame:
    if (frame["text"] == "bad").any():
        raise ValueError(f"row {frame['n'].iloc[0]} is bad")
    return frame


def two_arguments(frame: Frame, rate: float) -> Frame:
    return frame.assign(amount=frame["amount"] * rate)


def no_argument() -> Frame:
    return pd.DataFrame()


def leave(_: Frame) -> Frame:
    raise SystemExit(1)


def if_column(frame: Frame) -> Frame:
    return frame if frame["amount"] > 1 else frame[:0]


WRONG: list[tuple[Callable[..., Any], str]] = [
    (lambda _: None, "`return df` missing"),
    (lambda frame: frame["id"], "returned Series"),
    (lambda frame: frame["id"].tolist(), "returned list"),
    (lambda frame: frame["id"].to_numpy(), "returned ndarray"),
    (lambda frame: (frame, 1), "Return the frame alone"),
    (lambda frame: frame.groupby("id"), "what is to be done with the groups"),
    (lambda _: 5, "pd.DataFrame"),
    (lambda frame: {"id": frame["id"]}, "returned dict"),
    (no_argument, r"write no_argument\(df\)"),
    (leave, "calls sys.exit"),
    (lambda frame: frame.assign(day=frame["ordered_at"].dt.day_name()), "ordered_at=datetime"),
    (lambda frame: frame.assign(x=frame["Amount"]), "did you mean 'amount'"),
    (lambda frame: frame.assign(x=frame["what "]), "did you mean 'What'"),
    (lambda frame: frame[["id", "total"]], "There is no column 'total'"),
    (lambda frame: frame.assign(x=frame.loc[10**9]), "iloc"),
]


@pytest.mark.parametrize(("function", "cure"), WRONG, ids=[cure for _, cure in WRONG])
def test_a_function_that_can_do_no_row_stops_the_run_and_says_what_mends_it(
    tmp_path: Path, orders: Path, function: Callable[..., Any], cure: str
) -> None:
    output = tmp_path / "out.csv"
    output.write_text("an earlier one\n")
    with pytest.raises(muster.UserCodeError, match=cure) as raised:
        muster.run(function, orders, output, workers=0)
    assert "all over the input" in str(raised.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["orders.csv", "out.csv"]
    assert output.read_text() == "an earlier one\n"


def test_an_argument_that_nobody_gave_is_a_usage_error_before_any_call(tmp_path: Path, orders: Path) -> None:
    with pytest.raises(muster.UsageError, match=r"two_arguments\(frame.*needs 'rate' besides the batch.*args="):
        muster.run(two_arguments, orders, tmp_path / "out.csv", workers=0)


def test_a_forgotten_return_is_told_even_of_a_single_row(tmp_path: Path) -> None:
    (tmp_path / "one.csv").write_text("a\n1\n")
    with pytest.raises(muster.UserCodeError, match="only row"):
        muster.run(lambda _: None, tmp_path / "one.csv", tmp_path / "out.csv", workers=0)


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("name", ["one.csv", "one.jsonl"])
def test_a_function_that_raises_on_the_only_row_stops_the_run_with_the_reason(
    tmp_path: Path, name: str, workers: int
) -> None:
    text = "n,text\n1,bad\n" if name.endswith("csv") else '{"n": 1, "text": "bad"}\n'
    (tmp_path / name).write_text(text)
    output = tmp_path / "out.csv"
    output.write_text("")
    with pytest.raises(muster.UserCodeError, match=r"fails on the only row: ValueError"):
        muster.run(refuse, tmp_path / name, output, workers=workers)
    assert sorted(path.name for path in tmp_path.iterdir()) == [name, "out.csv"]


def test_one_row_that_raises_beside_one_that_cannot_be_read_is_no_evidence(tmp_path: Path) -> None:
    (tmp_path / "two.csv").write_text("n,text\n1,bad\n2,of,three\n")
    result = muster.run(refuse, tmp_path / "two.csv", tmp_path / "out.csv", workers=0)
    assert (result.rows_out, result.bad_rows) == (0, 2)


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("good", [0, 1, 2], ids=["first", "middle", "last"])
def test_one_good_row_of_few_acquits_the_function(tmp_path: Path, good: int, workers: int) -> None:
    (tmp_path / "three.csv").write_text(
        "n,text\n" + "".join(f"{n},{'good' if n == good else 'bad'}\n" for n in range(3))
    )
    result = muster.run(refuse, tmp_path / "three.csv", tmp_path / "out.csv", workers=workers)
    assert (result.rows_out, result.bad_rows) == (1, 2)


def test_rows_that_fail_in_different_ways_are_bad_rows(tmp_path: Path, orders: Path) -> None:
    def differ(frame: Frame) -> Frame:
        if len(frame):
            raise (KeyError if frame["id"].iloc[0] % 2 else ValueError)(1)
        return frame

    result = muster.run(differ, orders, tmp_path / "out.csv", workers=0, max_bad_rows=40)
    assert (result.rows_out, result.bad_rows) == (0, 40)


def test_a_file_that_begins_with_bad_rows_is_done_all_the_same(tmp_path: Path) -> None:
    rows = many(tmp_path, bad=lambda n: n < 2000, count=8000)  # more than the first tasks of both workers
    result = muster.run(refuse, rows, tmp_path / "out.csv", workers=2, max_bad_rows=2000)
    assert (result.rows_in, result.rows_out, result.bad_rows) == (8000, 6000, 2000)
    numbers = [json.loads(line)["row"] for line in Path(f"{tmp_path}/out.csv.rejects.jsonl").read_text().splitlines()]
    assert numbers == list(range(2000))


@pytest.mark.parametrize("workers", ["0", "2"])
def test_few_calls_on_a_large_file_are_enough_to_blame_a_function(tmp_path: Path, muster: Muster, workers: str) -> None:
    many(tmp_path, bad=lambda _: True)
    (tmp_path / "f.py").write_text(
        "def f(df):\n    with open('calls', 'a') as calls:\n        calls.write('x')\n"
        "    df['day'] = df['text'].dt.day_name()\n    return df\n"
    )
    end = muster("run", "f.py:f", "many.csv", "-o", "out.csv", "--workers", workers)
    assert end.code == 1
    assert "Can only use .dt accessor" in end.err
    assert 'f.py", line 4' in end.err
    assert "Nothing was written" in end.err
    assert len((tmp_path / "calls").read_text()) < 300
    assert not (tmp_path / "out.csv.muster").exists()
    assert not (tmp_path / "out.csv").exists()


@pytest.mark.parametrize("name", ["out.csv", "out.jsonl", "out.parquet", "out.csv.gz", "out/"])
def test_rows_of_an_earlier_run_are_never_replaced_by_none_where_all_are_bad(tmp_path: Path, name: str) -> None:
    def only(good: int) -> Callable[[Frame], Frame]:
        def picky(frame: Frame) -> Frame:
            if (frame["n"] != good).any():
                raise (KeyError if frame["n"].iloc[0] % 2 else ValueError)(1)
            return frame

        return picky

    (tmp_path / "in.csv").write_text("n\n0\n1\n2\n")
    output = f"{tmp_path}/{name}"
    assert muster.run(only(5), tmp_path / "in.csv", output, workers=0).rows_out == 0  # there was nothing to lose
    assert muster.run(only(1), tmp_path / "in.csv", output, workers=0).rows_out == 1
    before = [path.read_bytes() for path in sorted(tmp_path.rglob("*")) if path.is_file()]
    with pytest.raises(muster.DataError, match="Not one of 3 rows"):
        muster.run(only(5), tmp_path / "in.csv", output, workers=0)
    after = [path for path in sorted(tmp_path.rglob("*")) if path.is_file() and ".muster" not in str(path)]
    assert [path.read_bytes() for path in after] == before
    everything = muster.run(lambda frame: frame[:0], tmp_path / "in.csv", output, workers=0, fresh=True)
    assert (everything.rows_out, everything.bad_rows) == (0, 0)  # the function's own wish


# What is likely to mend it


def cure(function: Callable[[Frame], Any], frame: Frame) -> str:
    types = {str(name): "str" for name in frame.columns}
    try:
        function(frame)
    except Exception as error:  # noqa: BLE001 (whatever it raises)
        return cure_of(error, given=frame, function=function, types=types)
    raise AssertionError("it was to fail")


TYPES: list[tuple[Callable[[Frame], Any], str]] = [
    (lambda df: df["day"].apply(lambda day: day.year), "--dtype day=datetime"),
    (lambda df: df.apply(lambda row: row["day"].day_name(), axis=1), "--dtype day=datetime"),
    (lambda df: df["day"] - pd.Timestamp("2026-01-01"), "--dtype day=datetime"),
    (lambda df: df["day"] >= pd.Timestamp("2026-01-01"), "--dtype day=datetime"),
    (lambda df: df["zip"].str.zfill(5), "--dtype zip=str"),
    (lambda df: df["zip"].apply(lambda code: code.strip()), "--dtype zip=str"),
    (lambda df: df["zip"].apply(len), "--dtype zip=str"),
    (lambda df: df["price"] * 1.5, "--dtype price=float64"),
    (lambda df: df["price"] > 3, "--dtype price=float64"),
    (lambda df: df["price"].mean(), "--dtype price=float64"),
    (lambda df: df["note"] + df["zip"], "--dtype zip=str"),
    (lambda df: df["note"].apply(lambda note: note.lower()), "fillna"),
    (lambda df: df.Zip, "did you mean 'zip'"),
    (lambda df: df.drop(columns="nope"), "There is no column 'nope'"),
    (lambda df: df.apply(lambda row: row.Price, axis=1), "did you mean 'price'"),
    (lambda df: df if df["zip"] > 3 else None, "np.where"),
]


@pytest.mark.parametrize(("function", "says"), TYPES)
def test_an_error_of_types_or_names_is_told_with_what_to_type(function: Callable[[Frame], Any], says: str) -> None:
    frame = pd.DataFrame(
        {"day": ["2026-01-01", "2026-02-03"], "zip": [1234, 567], "price": ["1.5", "2"], "note": ["Old", None]}
    )
    assert says in cure(function, frame)


@pytest.mark.parametrize(
    "function",
    [lambda df: {"a": 1}["b"] and df, lambda _: int("x"), lambda _: 1 / 0, lambda df: df["zip"].no_such_thing],
    ids=["a dictionary of the user's own", "a wrong value", "arithmetic", "an attribute that nothing has"],
)
def test_no_cure_is_told_where_none_is_known(function: Callable[[Frame], Any]) -> None:
    assert cure(function, pd.DataFrame({"zip": [1], "b": ["x"]})) == ""


def test_rows_to_try_are_spread_and_take_in_both_ends() -> None:
    for count in (1, 2, 7, 8, 9, 1000):
        places = spread(count, most=8)
        assert len(set(places)) == len(places) == min(count, 8)
        assert {0, count - 1} <= set(places) <= set(range(count))


def test_a_file_that_is_no_python_is_told_by_its_line_alone_also_where_another_imports_it(
    tmp_path: Path, muster: Muster
) -> None:
    (tmp_path / "in.csv").write_text("a\n1\n")
    (tmp_path / "broken.py").write_text("def f(df):\n    return df +\n")
    (tmp_path / "f.py").write_text("import broken\n\ndef f(df):\n    return broken.f(df)\n")
    for name, frames in (("broken.py", 1), ("f.py", 2)):
        end = muster("run", f"{name}:f", "in.csv", "-o", "out.csv", "--workers", "0")
        assert (end.code, 'broken.py", line 2\n    return df +\n' in end.err) == (1, True), end.err
        assert (end.err.count("File "), "importlib" in end.err) == (frames, False), end.err


def test_a_function_without_a_parameter_is_shown_where_it_stands(tmp_path: Path, muster: Muster) -> None:
    (tmp_path / "in.csv").write_text("a\n" + "1\n" * 20)
    (tmp_path / "f.py").write_text("import os\n\ndef noarg():\n    return None\n")
    end = muster("run", "f.py:noarg", "in.csv", "-o", "out.csv", "--workers", "0")
    assert (end.code, 'f.py", line 3, in noarg\n    def noarg():\n' in end.err) == (1, True), end.err


def test_what_is_no_frame_is_a_type_error() -> None:
    assert isinstance(NoFrameError(None), TypeError)


def of_one_array(frame: Frame) -> Frame:
    return frame.assign(late=1 if frame["n"].to_numpy() > 1 else 0)


def test_a_function_for_one_value_is_told_so_where_single_rows_would_do(tmp_path: Path) -> None:
    rows = many(tmp_path, bad=lambda _: False)
    with pytest.raises(muster.UserCodeError, match=r"takes single rows.*\n.*df.apply\(of_one_array, axis=1\)"):
        muster.run(of_one_array, rows, tmp_path / "out.csv", workers=0)
    assert not (tmp_path / "out.csv").exists()


def of_one_cell(frame: Frame) -> Frame:
    for n in frame["id"]:
        if np.array([n, n] if n == 7 else [n]) > 1:
            pass
    return frame


def test_a_row_whose_own_cell_is_ambiguous_is_rejected_alone(tmp_path: Path, orders: Path) -> None:
    with pytest.warns(muster.RejectedRowsWarning):
        assert muster.run(of_one_cell, orders, tmp_path / "out.csv", workers=0).bad_rows == 1


def test_memory_that_no_row_has_enough_of_is_the_functions_fault(tmp_path: Path, orders: Path) -> None:
    with pytest.raises(muster.UserCodeError, match="MemoryError"):
        muster.run(lambda _: np.ones(10**15), orders, tmp_path / "out.csv", workers=0)
