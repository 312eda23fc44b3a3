"""Parquet inputs: every batch is a piece of the frame that pandas reads of the whole, also of files that differ."""

import datetime as dt
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import muster
from conftest import Muster
from muster._formats import parquet
from muster._formats.agreed import agree
from muster._formats.rows import to_pandas
from muster._worker import reading

TEXT: Final = pd.Series(["text"]).dtype

DAY: Final = dt.date(2024, 2, 29)
NOON: Final = dt.datetime(2024, 2, 29, 12, 30, 1, 500)  # noqa: DTZ001 (without a zone on purpose)
CATEGORIES: Final = pa.dictionary(pa.int8(), pa.string())

TYPES: Final[dict[pa.DataType, Sequence[Any]]] = {
    pa.int8(): (1, -2),
    pa.int64(): (1, -(2**53) - 1),
    pa.uint64(): (1, 2**64 - 1),
    pa.float32(): (0.5, float("nan")),
    pa.float64(): (0.1, float("inf")),
    pa.bool_(): (True, False),
    pa.string(): ("a", ""),
    pa.large_string(): ("ü", "b"),
    pa.binary(): (b"a", b"\xff"),
    pa.date32(): (DAY,),
    pa.timestamp("ms"): (NOON.replace(microsecond=0),),
    pa.timestamp("ns", "Europe/Berlin"): (NOON,),
    pa.time64("us"): (dt.time(1, 2, 3),),
    pa.duration("us"): (dt.timedelta(days=1, seconds=1),),
    pa.decimal128(9, 2): (Decimal("1.50"),),
    pa.null(): (None,),
    CATEGORIES: ("x", "y", "z"),
    pa.dictionary(pa.int32(), pa.int64()): (7, 3),
    pa.dictionary(pa.int8(), pa.string(), ordered=True): ("x", "y"),
    pa.list_(pa.int64()): ([1, 2], [], [2**53 + 1]),
    pa.list_(pa.string()): (["a", None], []),
    pa.struct([("a", pa.int64()), ("b", pa.string())]): ({"a": 1, "b": None}, {"a": 2**53 + 1, "b": "x"}),
    pa.map_(pa.string(), pa.int64()): ([("k", 1)], []),
}

columns_of_any_type = st.lists(st.sampled_from(list(TYPES)), min_size=1, max_size=4)


def cells_of(kind: pa.DataType) -> st.SearchStrategy[Any]:
    return st.none() | st.sampled_from(TYPES[kind])


def frames(files: Sequence[Path], *, batch: int) -> list[pd.DataFrame]:
    """Read files as a run does, some rows at a time."""
    layouts = [parquet.layout(str(path)) for path in files]
    agreed = agree([(path.name, layout) for path, layout in zip(files, layouts, strict=True)])
    found = []
    for path, layout in zip(files, layouts, strict=True):
        rows = sum(layout.groups)
        for lo in range(0, max(rows, 1), batch):
            read = parquet.read(
                str(path), lo=lo, hi=min(lo + batch, rows), agreed=agreed.template, columns=agreed.columns
            )
            found.append(to_pandas(read.table, read.numbers, agreed.columns, header=True))
    return found


def notes_of(files: Sequence[Path]) -> list[str]:
    return list(agree([(path.name, parquet.layout(str(path))) for path in files]).notes)


@given(st.data(), columns_of_any_type, st.integers(1, 7), st.integers(1, 4), st.integers(1, 5))
@settings(max_examples=250, deadline=None)
def test_every_batch_is_a_piece_of_what_pandas_reads(  # noqa: PLR0913, PLR0917 (what hypothesis chooses)
    tmp_path_factory: pytest.TempPathFactory,
    data: st.DataObject,
    kinds: list[pa.DataType],
    rows: int,
    group: int,
    batch: int,
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.parquet"
    cells = [data.draw(st.lists(cells_of(kind), min_size=rows, max_size=rows)) for kind in kinds]
    arrays = [_array(values, kind) for values, kind in zip(cells, kinds, strict=True)]
    pq.write_table(pa.table(arrays, names=[f"c{at}" for at in range(len(kinds))]), path, row_group_size=group)
    expected = pd.read_parquet(path)
    for at, frame in enumerate(frames([path], batch=batch)):
        pd.testing.assert_frame_equal(frame, expected.iloc[at * batch : (at + 1) * batch])


def _array(values: list[Any], kind: pa.DataType) -> pa.Array:
    """Make an array; of categories, those that occur, in the order in which they do."""
    if not pa.types.is_dictionary(kind):
        return pa.array(values, kind)
    codes = pa.array(values, kind.value_type).dictionary_encode()
    return pa.DictionaryArray.from_arrays(codes.indices.cast(kind.index_type), codes.dictionary, ordered=kind.ordered)


@given(st.lists(st.lists(st.none() | st.sampled_from("abcd"), min_size=1, max_size=4).filter(any), min_size=1))
@settings(max_examples=60, deadline=None)
def test_categories_are_those_of_all_row_groups_and_files_in_every_batch(
    tmp_path_factory: pytest.TempPathFactory, chunks: list[list[str | None]]
) -> None:
    files = []
    for at, chunk in enumerate(chunks[:5]):
        files.append(tmp_path_factory.getbasetemp() / f"{at}.parquet")
        pd.DataFrame({"c": pd.Categorical(chunk)}).to_parquet(files[-1], row_group_size=2)
    expected = pd.read_parquet(files)  # type: ignore[call-overload]  # pandas takes several
    for batch in (1, 3):
        found = pd.concat(frames(files, batch=batch), ignore_index=True)
        pd.testing.assert_frame_equal(found, expected)


def test_categories_of_a_file_that_has_none_are_those_of_the_others(tmp_path: Path) -> None:
    pd.DataFrame({"c": pd.Categorical([None])}).to_parquet(tmp_path / "a.parquet")
    pd.DataFrame({"c": pd.Categorical(["x"])}).to_parquet(tmp_path / "b.parquet")
    for order in ("ab", "ba"):
        batches = frames([tmp_path / f"{name}.parquet" for name in order], batch=1)
        assert [frame["c"].cat.categories.tolist() for frame in batches] == [["x"], ["x"]]


NESTED: Final = {
    pa.list_(pa.int64()): ([2**53 + 1], [None, 2], [3], None, []),
    pa.list_(pa.bool_()): ([True], [None], []),
    pa.list_(pa.list_(pa.int32())): ([[1]], [[None, 2], None], []),
    pa.struct([("a", pa.int64())]): ({"a": 2**53 + 1}, {"a": None}, None),
    pa.list_(pa.struct([("a", pa.uint8())])): ([{"a": 1}], [{"a": None}, None]),
    pa.map_(pa.string(), pa.int64()): ([("k", 2**53 + 1)], [("k", None)]),
}


@pytest.mark.parametrize("kind", NESTED, ids=str)
def test_a_nested_integer_stays_one_whatever_stands_beside_it(tmp_path: Path, kind: pa.DataType) -> None:
    cells = [*NESTED[kind], *reversed(NESTED[kind])]
    pq.write_table(pa.table({"v": pa.array(cells, kind)}), tmp_path / "in.parquet", row_group_size=4)
    alone = [repr(value) for frame in frames([tmp_path / "in.parquet"], batch=1) for value in frame["v"]]
    for batch in (2, 3, 100):
        found = [repr(value) for frame in frames([tmp_path / "in.parquet"], batch=batch) for value in frame["v"]]
        assert found == alone
    assert not any("." in text for text in alone)


def test_nested_integers_come_out_as_they_went_in(tmp_path: Path) -> None:
    table = pa.table({"v": pa.array([[2**53 + 1], [None, 2], [3]])})
    pq.write_table(table, tmp_path / "in.parquet")
    for batch_rows in (1, 2, 3):
        muster.run(_same, tmp_path / "in.parquet", tmp_path / "out.parquet", batch_rows=batch_rows, workers=0)
        assert pq.read_table(tmp_path / "out.parquet")["v"].to_pylist() == table["v"].to_pylist()


def _same(df: pd.DataFrame) -> pd.DataFrame:
    return df


# Files that differ


def write(folder: Path, *columns: dict[str, pa.Array]) -> list[Path]:
    files = [folder / f"{'abcdefgh'[at]}.parquet" for at in range(len(columns))]
    for path, own in zip(files, columns, strict=True):
        pq.write_table(pa.table(own), path)
    return files


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param(pa.array([1, 2], pa.int32()), pa.array([2**40]), id="widths"),
        pytest.param(pa.array([1, 2]), pa.array([0.5]), id="integers and decimals"),
        pytest.param(pa.array([1, 2], pa.int16()), pa.array([0.5], pa.float32()), id="small integers and decimals"),
        pytest.param(pa.array([1, None], pa.int32()), pa.array([3]), id="gaps and widths"),
        pytest.param(pa.array(["a"]), pa.array(["b"], pa.large_string()), id="text"),
        pytest.param(pa.array(["a"]), pa.array(["b"]).dictionary_encode(), id="text and categories"),
        pytest.param(pa.array([NOON], pa.timestamp("us")), pa.array([NOON], pa.timestamp("ns")), id="units"),
        pytest.param(pa.array([DAY]), pa.array([DAY], pa.date64()), id="dates"),
        pytest.param(pa.array([[1]], pa.list_(pa.int32())), pa.array([[2**40]]), id="lists"),
        pytest.param(pa.array([b"a"]), pa.array([b"b"], pa.large_binary()), id="bytes"),
        pytest.param(pa.array([True]), pa.array([False, None]), id="truth with a gap"),
    ],
)
def test_types_that_differ_a_little_are_those_of_the_files_put_together(
    tmp_path: Path, one: pa.Array, other: pa.Array
) -> None:
    for first, second in ((one, other), (other, one)):
        files = write(tmp_path, {"v": first, "w": pa.array(range(len(first)))}, {"v": second, "w": [9] * len(second)})
        expected = pd.concat([pd.read_parquet(path) for path in files], ignore_index=True)
        found = pd.concat(batches := frames(files, batch=1), ignore_index=True)
        pd.testing.assert_frame_equal(found, expected)
        assert {str(frame["v"].dtype) for frame in batches} == {str(expected["v"].dtype)}


def test_a_column_that_a_file_lacks_or_knows_nothing_of_is_missing_there(tmp_path: Path) -> None:
    files = write(
        tmp_path,
        {"v": pa.array([1]), "t": pa.array(["x"])},
        {"t": pa.nulls(1), "late": pa.array([True])},
        {"late": pa.array([False]), "v": pa.array([2]), "t": pa.array(["y"])},
    )
    expected = pd.DataFrame(
        {"v": [1.0, np.nan, 2.0], "t": ["x", None, "y"], "late": pd.Series([None, True, False], dtype=object)}
    )
    batches = frames(files, batch=10)
    pd.testing.assert_frame_equal(pd.concat(batches, ignore_index=True), expected.astype({"t": TEXT}))
    assert {str(frame["late"].dtype) for frame in batches} == {"object"}
    assert notes_of(files) == [
        "'b.parquet' lacks column 'v': it is missing there",
        "'a.parquet' lacks column 'late': it is missing there",
    ]


@pytest.mark.parametrize("nothing", [pa.nulls(1), pa.nulls(1, pa.float64()), pa.array([], pa.int64())])
@pytest.mark.parametrize("value", [1, "x", True, NOON, [1], "category"])
def test_a_file_that_has_no_value_in_a_column_says_nothing_of_its_type(
    tmp_path: Path, nothing: pa.Array, value: object
) -> None:
    """pandas writes a column without a value as decimals, or as nulls, whatever it is elsewhere."""
    known = pa.array(["x"]).dictionary_encode() if value == "category" else pa.array([value])
    files = write(tmp_path, {"v": nothing}, {"v": known})
    batches = frames(files, batch=1)
    gap = len(nothing) * ["gap"]
    assert [str(frame["v"].iloc[0]) for frame in batches if len(frame) and frame["v"].notna().all()] == [
        str(pd.Series(known.to_pandas(), dtype=batches[-1]["v"].dtype).iloc[0])
    ]
    assert len({str(frame["v"].dtype) for frame in batches if len(frame)}) == 1
    assert sum(len(frame) for frame in batches) == len(gap) + 1


def test_the_order_of_columns_is_that_of_the_first_file(tmp_path: Path) -> None:
    files = write(tmp_path, {"a": pa.array([1]), "b": pa.array(["x"])}, {"b": pa.array(["y"]), "a": pa.array([2])})
    assert pd.concat(frames(files, batch=1)).to_csv(index=False) == "a,b\n1,x\n2,y\n"
    assert notes_of(files) == []


def test_pandas_own_types_count_where_one_file_has_them(tmp_path: Path) -> None:
    pd.DataFrame({"v": [1, 2]}).to_parquet(tmp_path / "a.parquet")
    pd.DataFrame({"v": pd.array([3, None], "Int64")}).to_parquet(tmp_path / "b.parquet")
    files = [tmp_path / "a.parquet", tmp_path / "b.parquet"]
    expected = pd.concat([pd.read_parquet(path) for path in files], ignore_index=True)
    pd.testing.assert_frame_equal(pd.concat(frames(files, batch=1), ignore_index=True), expected)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (pa.array([1]), pa.array(["1"])),
        (pa.array([1]), pa.array([True])),
        (pa.array([DAY]), pa.array([NOON])),
        (pa.array([NOON], pa.timestamp("us", "UTC")), pa.array([NOON])),
        (pa.array([[1]]), pa.array([1])),
    ],
)
def test_types_that_no_type_holds_are_refused_with_files_and_types(
    tmp_path: Path, one: pa.Array, other: pa.Array
) -> None:
    files = write(tmp_path, {"v": one}, {"v": other})
    with pytest.raises(muster.DataError, match=r"'v' is .* in 'a\.parquet' and .* in 'b\.parquet'"):
        frames(files, batch=1)


def test_an_integer_that_would_lose_digits_beside_decimals_is_refused(tmp_path: Path) -> None:
    files = write(tmp_path, {"v": pa.array([2**53 + 1])}, {"v": pa.array([0.5])})
    with pytest.raises(muster.DataError, match=r"a\.parquet.*'v'.*a value would change"):
        frames(files, batch=1)


def test_files_that_differ_are_told_of_on_the_command_line(tmp_path: Path, muster: Muster) -> None:
    write(tmp_path, {"v": pa.array([1]), "w": pa.array([1])}, {"v": pa.array([2])}, {"v": pa.array([3])})
    (tmp_path / "same.py").write_text("def same(df):\n    return df\n")
    ended = muster("run", "same.py:same", "*.parquet", "-o", "out.csv", "--workers", "0")
    assert ended.code == 0, ended.err
    assert "'b.parquet' and another file lack column 'w': it is missing there" in ended.err
    assert (tmp_path / "out.csv").read_text() == "v,w\n1,1.0\n2,\n3,\n"


def test_a_damaged_row_group_is_named_with_its_file(tmp_path: Path) -> None:
    table = pa.table({"v": np.random.default_rng(1).random(30_000)})
    pq.write_table(table, tmp_path / "in.parquet", row_group_size=10_000, use_dictionary=False, compression="zstd")
    data = bytearray((tmp_path / "in.parquet").read_bytes())
    middle = len(data) // 2
    data[middle - 2000 : middle + 2000] = bytes(4000)
    (tmp_path / "in.parquet").write_bytes(data)
    with pytest.raises(muster.DataError, match=r"in\.parquet.*row group 1 is damaged"):
        muster.run(_same, tmp_path / "in.parquet", tmp_path / "out.csv", workers=0)


@pytest.mark.parametrize("step", [1, -2])
def test_an_index_that_counts_and_has_a_name_is_a_column_as_any_named_index_is(tmp_path: Path, step: int) -> None:
    index = pd.RangeIndex(5, 5 + 6 * step, step, name="id")
    frame = pd.DataFrame({"a": list("uvwxyz")}, index=index)
    frame.to_parquet(tmp_path / "in.parquet", row_group_size=4)
    muster.run(lambda df: df, tmp_path / "in.parquet", tmp_path / "out.csv", workers=0, batch_rows=3)
    assert (tmp_path / "out.csv").read_text() == frame.reset_index()[["a", "id"]].to_csv(index=False)


def seen(df: pd.DataFrame) -> pd.DataFrame:
    """Tell what a call of the function gets: types, labels and values."""
    types = repr([str(kind) for kind in df.dtypes])
    rows = [repr(list(row)) for row in df.itertuples()]
    return pd.DataFrame({"types": [types] * len(df), "rows": rows, "calls": range(len(df))}, df.index)


@settings(max_examples=20, deadline=None)
@given(data=st.data(), kinds=columns_of_any_type, batch_rows=st.sampled_from([None, 2]))
def test_small_files_that_are_read_together_give_each_call_what_it_gets_of_one_alone(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, kinds: list[pa.DataType], batch_rows: int | None
) -> None:
    folder = tmp_path_factory.mktemp("small")
    has_gaps = data.draw(st.booleans())
    for at in range(data.draw(st.integers(6, 9))):
        cells = [
            data.draw(st.lists(cells_of(kind) if has_gaps else st.sampled_from(TYPES[kind]), min_size=3, max_size=3))
            for kind in kinds
        ]
        arrays = [pa.array(own, kind) for own, kind in zip(cells, kinds, strict=True)]
        pq.write_table(pa.table(arrays, [f"c{number}" for number in range(len(kinds))]), folder / f"{at}.parquet")
    options: dict[str, Any] = {"workers": 0, "batch_rows": batch_rows, "fresh": True}
    together, apart = folder / "together.csv", folder / "apart.csv"
    muster.run(seen, f"{folder}/*.parquet", together, **options)
    muster.run(seen, f"{folder}/*.parquet", apart, limit=1000, **options)
    assert together.read_bytes() == apart.read_bytes()


def test_the_frames_of_plain_small_files_are_cut_from_one() -> None:
    plain = pa.table({"a": [1, 2], "b": [0.5, None], "c": ["x", "y"], "d": [True, False]})
    assert reading.is_plain(plain)
    for odd in ([1, None], [True, None], ["x", None], [[1], [2]], [DAY, DAY]):
        assert not reading.is_plain(plain.append_column("e", pa.array(odd)))
