"""Results of a few rows each are written together in the bytes that each would be written in by itself."""

import itertools
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import muster
from muster._formats import csv_text, jsonl_text, parquet_schema
from muster._formats.frames import arrays_of
from muster._formats.results import Reply, reply_of, shaped
from muster._formats.rows import Among, Frame, Rows
from muster._formats.unmade import Pile, reply_in_time
from muster._model import Column
from muster._progress.schema import united
from muster.errors import DataError

SURE = (
    pd.Series([1, 2, 3]),
    pd.Series([0.5, None, 1e300]),
    pd.Series([None, None, None], dtype="float64"),
    pd.Series([True, False, True]),
    pd.Series(["a", 'b"\n', None], dtype="str"),
    pd.Series(pd.to_datetime(["2020-01-01", "NaT", "2020-01-02 03:04:05.678"], format="ISO8601")),
    pd.Series(pd.to_timedelta([1, 2, 3], unit="s")),
    pd.Series([1, 2, 3], dtype="uint8"),
)
OTHERS = (
    pd.Series([1, None, 3], dtype="Int64"),
    pd.Series(["a", 1, None], dtype=object),
    pd.Series(["a", "b", "a"], dtype="category"),
    pd.Series(pd.to_datetime(["2020-01-01", "2020-01-02", "2020-01-03"])).dt.tz_localize("UTC"),
    pd.Series([[1], [], None]),
    pd.Series([0.1, 1e9, None], dtype="float32"),
    pd.Series([0.1, 1e4, None], dtype="float16"),
)
frames = st.builds(
    lambda series, other, cut, name: pd.DataFrame({name: series.reset_index(drop=True), "y": other}).iloc[:cut],
    series=st.sampled_from((*SURE, *OTHERS)),
    other=st.integers(-5, 5),
    cut=st.integers(0, 3),
    name=st.sampled_from(["x", "x", "z"]),
)


def as_text(replies: list[Reply], *, use: str) -> bytes:
    schemas = [reply.schema for reply in replies if reply.schema]
    schema = united(schemas) if schemas else None
    pieces = [(*shaped(reply, schema), reply.rows) for reply in replies if reply.schema and schema]
    if use == "jsonl":
        return b"".join(bytes(jsonl_text.render(table, rows=rows)) for table, _, rows in pieces)
    tables = [(table.rename_columns([str(at) for at in range(table.num_columns)]), forms) for table, forms, _ in pieces]
    return b"".join(
        bytes(csv_text.render(table, delimiter=",", forms={str(at): form for at, form in enumerate(forms) if form}))
        for table, forms in tables
    )


def piled(*results: Any, use: str, marks: Callable[[int], int] = int) -> list[Reply]:  # noqa: ANN401 (frames)
    """Make replies of frames as a task does; each bears a mark, found by its number."""
    pile = Pile()
    for at, frame in enumerate(results):
        pile.add(reply_in_time(frame, use=use), mark=marks(at))
    return [reply for reply, _ in pile.made()]


def both(results: list[pd.DataFrame], *, use: str) -> tuple[list[Reply], list[Reply]]:
    """Make replies of frames together, and each by itself."""
    together = piled(*results, use=use, marks=lambda _: 0)
    return together, [reply_of(frame, use=use) for frame in results]


@pytest.mark.parametrize("use", ["csv", "jsonl"])
@settings(max_examples=100, deadline=None)
@given(results=st.lists(frames, min_size=1, max_size=5))
def test_frames_written_together_are_as_those_written_one_by_one(use: str, results: list[pd.DataFrame]) -> None:
    together, alone = both(results, use=use)
    assert as_text(together, use=use) == as_text(alone, use=use)
    assert sum(reply.rows for reply in together) == sum(map(len, results))


@settings(max_examples=100, deadline=None)
@given(results=st.lists(st.sampled_from(SURE).map(lambda series: pd.DataFrame({"x": series})), min_size=1, max_size=4))
def test_frames_are_the_same_in_parquet_together_and_one_by_one(results: list[pd.DataFrame]) -> None:
    def in_parquet(replies: list[Reply]) -> pa.Table | str:
        try:
            table = parquet_schema.piece(replies)
            return parquet_schema.typed(table, parquet_schema.shared([table.schema]))
        except Exception as error:  # noqa: BLE001 (which must be the same)
            return type(error).__name__

    together, alone = both(results, use="parquet")
    assert in_parquet(together) == in_parquet(alone)


@pytest.mark.parametrize("values", [*SURE, *OTHERS], ids=lambda values: f"{values.dtype}")
def test_columns_of_a_frame_are_had_without_a_series_of_each(values: pd.Series) -> None:
    frame = pd.DataFrame({"x": values, "y": 1})[["y", "x"]]
    for array, (_, series) in zip(arrays_of(frame), frame.items(), strict=True):
        assert array.dtype == series.dtype
        assert pd.Series(array, frame.index, name=series.name).equals(series)


needs_text = pytest.mark.skipif(pd.Series(["a"]).dtype == object, reason="pandas 2.2 has no text that Arrow holds")


@needs_text
def test_one_reply_is_made_of_all_frames_that_are_alike_and_between_the_same_bad_rows() -> None:
    alike = [pd.DataFrame({"x": [1, 2], "name": ["a", None]})] * 3
    other = [pd.DataFrame({"x": [1.5], "name": ["a"]})] * 2
    replies = piled(*alike, *other, *alike, use="csv", marks=lambda _: 0)
    assert [reply.rows for reply in replies] == [6, 2, 6]
    replies = piled(*alike, *other, use="csv", marks=lambda at: at // 2)
    assert [reply.rows for reply in replies] == [4, 2, 1, 1]


@needs_text
def test_frames_do_not_wait_until_they_are_many() -> None:
    row, rows = pd.DataFrame({"x": [1]}), pd.DataFrame({"x": range(1000)})
    assert [reply.rows for reply in piled(*[row] * 1100, use="csv", marks=lambda _: 0)] == [512, 512, 76]
    assert [reply.rows for reply in piled(*[rows] * 20, use="csv", marks=lambda _: 0)] == [8000, 8000, 4000]


@needs_text
def test_piles_of_files_become_one() -> None:
    whole = Pile()
    for frames in ([[1]], [[2, 3], [[4]], [5]], [[6]]):
        pile = Pile()
        for values in frames:
            pile.add(reply_in_time(pd.DataFrame({"x": values}), use="jsonl"), mark=0)
        whole.extend(pile)
    assert [reply.table["x"].to_pylist() for reply, _ in whole.made()] == [[1], [2, 3], ["[4]"], [5, 6]]


@needs_text
def test_what_a_function_changes_later_in_a_frame_that_it_returned_is_not_written() -> None:
    frame = pd.DataFrame({"x": [1, 2], "name": ["a", "b"]})
    pile = Pile()
    pile.add(reply_in_time(frame, use="csv"), mark=0)
    frame.loc[0, "x"] = 7
    frame["name"] = "changed"
    frame["x"] += 1
    ((reply, _),) = pile.made()
    assert reply.table.to_pydict() == {"x": [1, 2], "name": ["a", "b"]}


@pytest.mark.parametrize("attrs", [{"a": np.arange(3)}, {"a": pd.Series([1, 2])}, {"a": pd.DataFrame({"x": [1]})}])
def test_frames_whose_attributes_cannot_be_compared_are_written_together(attrs: dict[str, Any]) -> None:
    frames = [pd.DataFrame({"x": [at, at]}).set_flags(allows_duplicate_labels=False) for at in range(3)]
    for frame in frames:
        frame.attrs.update(attrs)
    replies = piled(*frames, use="csv", marks=lambda _: 0)
    assert [value for reply in replies for value in reply.table["x"].to_pylist()] == [0, 0, 1, 1, 2, 2]
    assert frames[0].attrs.keys() == attrs.keys()


@needs_text
def test_an_attribute_that_cannot_be_copied_does_no_harm() -> None:
    frame = pd.DataFrame({"x": [1]})
    frame.attrs = {"lock": threading.Lock()}
    assert piled(frame, use="csv")[0].rows == 1


@pytest.mark.parametrize("use", ["jsonl", "parquet"])
def test_two_columns_of_one_name_are_refused_when_the_function_returns(use: str) -> None:
    with pytest.raises(DataError, match="two columns named 'x'"):
        reply_in_time(pd.DataFrame([[1, 2]], columns=["x", "x"]), use=use)


def test_what_is_changed_in_the_frame_of_one_file_is_changed_in_no_other() -> None:
    columns = tuple(Column(name, frozenset({"integer"})) for name in "ab")
    frame = Frame(pa.table({"a": range(4), "b": range(4)}), columns, header=True)
    own = Among(frame, 1).frame_of(Rows(pa.table({}), np.arange(2)))
    own["b"].array[0] = 77
    assert frame.whole["b"].tolist() == [0, 1, 2, 3]
    assert not np.shares_memory(own["a"].to_numpy(), frame.whole["a"].to_numpy())


# Functions that fill the same memory at each call

ROOM = 3000
SQUARE, LINE = np.empty((ROOM, 2)), np.empty(ROOM, "int64")


def in_two_dimensions(df: pd.DataFrame) -> pd.DataFrame:
    SQUARE[: len(df)] = df[["x", "x"]]
    return pd.DataFrame(SQUARE[: len(df)], columns=["x", "y"], copy=False)


def filled(df: pd.DataFrame) -> Any:  # noqa: ANN401 (NumPy's generic arrays)
    LINE[: len(df)] = df["x"]
    return LINE[: len(df)]


def in_one_dimension(df: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame({"x": pd.Series(filled(df), copy=False)}, copy=False)


def as_moments(df: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame({"x": pd.Series(filled(df).view("M8[ns]"), copy=False)}, copy=False)


def as_nullable(df: pd.DataFrame) -> pd.DataFrame:
    numbers = pd.arrays.IntegerArray(filled(df), np.zeros(len(df), bool))
    return pd.DataFrame({"x": pd.Series(numbers, copy=False)}, copy=False)


def as_arrow(df: pd.DataFrame) -> pa.Table:
    return pa.table({"x": pa.array(filled(df))})


def as_lists_of_arrow(df: pd.DataFrame) -> pa.Table:
    return pa.table({"x": pa.FixedSizeListArray.from_arrays(pa.array(filled(df)), 1)})


READ: dict[str, Callable[..., pd.DataFrame]] = {
    "csv": pd.read_csv,
    "jsonl": lambda path: pd.read_json(path, lines=True, dtype=False),
    "parquet": pd.read_parquet,
}


def numbers_of(column: "pd.Series[Any]") -> list[int]:
    """Read numbers however they are written: as floats, moments since 1970, or alone in lists."""
    if column.dtype.kind in "iuf":
        return [int(value) for value in column]
    texts = [str(value) for value in column]
    if texts[0].startswith("["):
        return [int(text.strip("[]")) for text in texts]
    return [pd.Timestamp(text).as_unit("ns").value for text in texts]


@pytest.mark.parametrize("form", list(READ))
@pytest.mark.parametrize(
    "function",
    [in_two_dimensions, in_one_dimension, as_moments, as_nullable, as_arrow, as_lists_of_arrow],
)
def test_rows_stay_as_they_were_where_a_function_fills_the_same_memory_at_each_call(
    tmp_path: Path, function: Callable[[pd.DataFrame], Any], form: str
) -> None:
    def ran(at: int, inputs: Path, **options: Any) -> list[int]:  # noqa: ANN401 (those of muster.run)
        muster.run(function, inputs, tmp_path / f"{at}.{form}", workers=0, **options)
        return numbers_of(READ[form](tmp_path / f"{at}.{form}")["x"])

    folder = tmp_path / "in"
    folder.mkdir()
    for at, (lo, hi) in enumerate(itertools.pairwise([1, 3, 5, 6, 8, 12])):
        (folder / f"{at}.csv").write_text("x\n" + "".join(f"{one}\n" for one in range(lo, hi)))
    assert ran(0, folder) == list(range(1, 12))
    assert ran(1, folder, batch_rows=2) == list(range(1, 12))
    (tmp_path / "many.csv").write_text("x\n" + "".join(f"{one}\n" for one in range(1, 3601)))
    assert ran(2, tmp_path / "many.csv", batch_rows=1200) == list(range(1, 3601))


def test_a_reply_of_many_rows_is_made_at_once() -> None:
    assert isinstance(reply_in_time(pd.DataFrame({"x": range(100_000)}), use="csv"), Reply)


def test_columns_that_may_be_refused_are_looked_at_when_the_function_returns() -> None:
    for column in ([object()], pd.Series(["a"], dtype="string[python]"), pd.Categorical(["a"])):
        assert isinstance(reply_in_time(pd.DataFrame({"x": column}), use="csv"), Reply)
