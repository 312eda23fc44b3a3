"""A Parquet output is put together of what workers encode: to the byte, what one writer makes of all rows."""

import os
import pickle
import tempfile
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import muster
from columns import columns
from conftest import Muster, begun
from muster import DataError
from muster._dialects import Dialect
from muster._formats import parquet, parquet_pieces, parquet_schema
from muster._formats.inputs import Inputs
from muster._formats.parquet_encodings import options_of
from muster._formats.results import reply_of
from muster._formats.sources import find_sources
from muster._formats.unseal import Cut, Unseal
from muster._job import Options
from muster._model import Briefing, Exchange, Grouping, Outcome, Target, Task
from muster._output.build import OutputBuilder
from muster._output.folder import WorkFolder
from muster._output.row_groups import RowGroups
from muster._urls.objects import put
from muster._worker.task import TaskBody
from waiting import until

ROWS = 1_200_000
"""Of two row groups, where the input is Parquet."""

MAP = pa.map_(pa.string(), pa.int64())

KINDS: dict[pa.DataType, Sequence[Any]] = {
    pa.int8(): (1, -2, None),
    pa.uint64(): (2**64 - 1, None),
    pa.float16(): (0.5, None),
    pa.float64(): (0.1, float("nan"), -0.0, None),
    pa.bool_(): (True, None),
    pa.null(): (None,),
    pa.string(): ("a", "", None),
    pa.large_string(): ("ü", None),
    pa.string_view(): ("long enough to lie elsewhere", None),
    pa.binary(): (b"\xff", None),
    pa.date32(): (7, None),
    pa.date64(): (86_400_000, None),
    pa.time32("s"): (1, None),
    pa.timestamp("s"): (10**9, None),
    pa.timestamp("ns", "Europe/Berlin"): (1, None),
    pa.duration("us"): (1, None),
    pa.decimal128(5, 2): (1, None),
    pa.list_(pa.field("number", pa.int16())): ([1, None], [], None),
    pa.list_(pa.date64()): ([86_400_000], None),
    pa.list_(pa.float32(), 2): ([1, 2], None),
    pa.struct([("a", pa.list_(pa.string())), ("b", pa.timestamp("s"))]): ({"a": ["x", None], "b": 1}, {"b": 2}, None),
    MAP: ([("k", 1)], None),
    pa.dictionary(pa.int8(), pa.string()): ("x", "y", None),
}
"""Types that a function may return in a table of Arrow, also some that Parquet gives back as others."""


@st.composite
def tables(draw: st.DrawFn) -> pa.Table:
    kinds = draw(st.lists(st.sampled_from(list(KINDS)), max_size=5))
    rows = draw(st.integers(0, 5))
    arrays = [pa.array([draw(st.sampled_from(KINDS[kind])) for _ in range(rows)], kind) for kind in kinds]
    return pa.table(arrays, names=[draw(st.sampled_from([f"a{at}", f"a0.x{at}"])) for at in range(len(kinds))])


def piece(result: pd.DataFrame | pa.Table) -> pa.Table:
    return parquet_schema.piece([reply_of(result, use="parquet")])


def plain(schema: pa.Schema) -> pa.Schema:
    return pa.schema([field.remove_metadata() for field in schema])


def read(data: bytes | memoryview) -> pa.Table:
    """Read a piece, but for what it says of its size in memory."""
    table = parquet_pieces.read_piece(pa.BufferReader(data))
    said = dict(table.schema.metadata or {})
    said.pop(b"muster.bytes", None)
    return table.replace_schema_metadata(said or None)


def by_one_writer(groups: Sequence[pa.Table], schema: pa.Schema) -> bytes:
    """Write row groups that are all to be encoded in the same way."""
    sink = pa.BufferOutputStream()
    options, *others = [options_of(group.combine_chunks(), parquet_pieces.paths_of(schema)) for group in groups]
    assert all(other == options for other in others)
    with pq.ParquetWriter(sink, schema, compression="zstd", **options) as writer:
        for group in groups:
            writer.write_table(group.combine_chunks(), row_group_size=max(len(group), 1))
    return bytes(sink.getvalue())


def by_one_writer_again(path: Path) -> bytes:
    """Decode a file and have one writer encode its row groups; that its rows are right shows elsewhere."""
    file = pq.ParquetFile(path)
    groups = [file.read_row_group(at) for at in range(file.metadata.num_row_groups)]
    return by_one_writer(groups, file.schema_arrow)


def sealed(groups: Sequence[Sequence[pa.Table]], *, columns: int, packed: bool) -> bytes:
    """Write tables as pieces, and have them put together as the pieces of an output, so many columns at a time."""
    with tempfile.TemporaryDirectory() as folder:
        paths: list[tuple[str, ...]] = []
        for at, group in enumerate(groups):
            paths.append(tuple(f"{folder}/{at}.{own}.rows" for own in range(len(group))))
            for path, table in zip(paths[-1], group, strict=True):
                Path(path).write_bytes(parquet_pieces.piece_of(table, packed=packed))
        schema, _ = parquet_pieces.schema_and_bytes(paths)
        sizes = [[(16 << 20) // columns] * len(schema)] * len(paths)
        row_groups = RowGroups(paths, sizes, schema.serialize().to_pybytes(), Path(folder))
        row_groups.seal(Path(folder, "whole"), lambda questions: [question.answer() for question in questions])
        assert Path(folder, "whole").stat().st_mode & 0o077 == 0
        return Path(folder, "whole").read_bytes()


@settings(max_examples=300, deadline=None)
@given(table=tables(), packed=st.booleans())
def test_a_piece_gives_the_rows_and_types_that_a_file_of_parquet_would(table: pa.Table, *, packed: bool) -> None:
    expected = pq.ParquetFile(pa.BufferReader(parquet.render(table))).read()
    got = read(parquet_pieces.piece_of(table, packed=packed))
    assert str(got.schema) == str(expected.schema)
    assert str(got.to_pylist()) == str(expected.to_pylist())  # as text, in which what is no number is equal, too
    assert by_one_writer([got], got.schema) == by_one_writer([expected], expected.schema)


@settings(max_examples=100, deadline=None)
@given(series=columns())
def test_a_piece_of_any_column_of_pandas_says_what_a_file_of_parquet_would(series: "pd.Series[Any]") -> None:
    try:
        table = piece(pd.DataFrame({"x": series}))
    except DataError:
        return
    expected, got = read(parquet.render(table)), read(parquet_pieces.piece_of(table))
    assert str(got.schema) == str(expected.schema)
    assert by_one_writer([got], got.schema) == by_one_writer([expected], expected.schema)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != MAP], ids=str)
def test_pieces_are_no_parquet_but_where_there_are_maps(kind: pa.DataType) -> None:
    written = parquet_pieces.piece_of(pa.table({"x": pa.array(list(KINDS[kind]), kind)}))
    assert bytes(written[:6]) == b"ARROW1"


@settings(max_examples=150, deadline=None)
@given(
    table=tables(),
    cuts=st.lists(st.tuples(st.integers(0, 5), st.booleans()), max_size=4),
    at_a_time=st.integers(1, 6),
    packed=st.booleans(),
)
def test_chunks_put_together_are_what_one_writer_makes(
    table: pa.Table, cuts: list[tuple[int, bool]], at_a_time: int, *, packed: bool
) -> None:
    edges = [(0, True), *sorted((min(at, len(table)), begins) for at, begins in cuts), (len(table), True)]
    groups: list[list[pa.Table]] = []
    for (first, begins), (last, _) in pairwise(edges):
        if begins or not groups:
            groups.append([])
        groups[-1].append(piece(table.slice(first, last - first)))
    whole = [[read(parquet.render(own)) for own in group] for group in groups]
    schema = parquet_schema.shared([own.schema for group in whole for own in group])
    expected = [pa.concat_tables([parquet_schema.typed(own, schema) for own in group]) for group in whole]
    on_its_way = parquet_pieces.read_schema(schema.serialize().to_pybytes())  # entries of maps lose the column's name
    assert sealed(groups, columns=at_a_time, packed=packed) == by_one_writer(expected, on_its_way)


def test_a_file_may_have_very_many_columns_and_row_groups() -> None:
    wide = piece(pa.table({f"c{at}": pa.array([at, None], pa.int32()) for at in range(700)}))
    assert sealed([[wide], [wide]], columns=80, packed=False) == by_one_writer([wide, wide], plain(wide.schema))
    narrow = piece(pa.table({"x": [1.5]}))
    many = [[narrow]] * 300
    assert sealed(many, columns=1, packed=False) == by_one_writer([narrow] * 300, plain(narrow.schema))


def test_pieces_that_an_earlier_version_wrote_are_put_together_with_those_of_this_one(tmp_path: Path) -> None:
    tables = [piece(pd.DataFrame({"x": [x], "y": "a"})) for x in (1, 2.5)]
    for name, data in (("old", parquet.render(tables[0])), ("new", parquet_pieces.piece_of(tables[1]))):
        (tmp_path / name).write_bytes(data)
    pieces = [str(tmp_path / "old"), str(tmp_path / "new")]
    parquet_pieces.write(pieces, parquet_pieces.schema_and_bytes([pieces])[0], str(tmp_path / "whole"))
    assert pd.read_parquet(tmp_path / "whole").to_dict("list") == {"x": [1.0, 2.5], "y": ["a", "a"]}


def numbers(folder: Path, rows: int = ROWS) -> pd.DataFrame:
    frame = pd.DataFrame({"x": range(rows), "text": "a"})
    frame.to_parquet(folder / "in.parquet", index=False)
    return frame


def test_a_run_writes_what_one_writer_would_and_other_libraries_read_it(tmp_path: Path) -> None:
    frame = numbers(tmp_path)
    muster.run(lambda df: df.assign(y=df.x * 2.5), tmp_path / "in.parquet", tmp_path / "out.parquet", workers=2)
    assert (tmp_path / "out.parquet").read_bytes() == by_one_writer_again(tmp_path / "out.parquet")
    assert pq.ParquetFile(tmp_path / "out.parquet").metadata.num_row_groups == 2
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "out.parquet"), frame.assign(y=frame.x * 2.5))
    polars = pytest.importorskip("polars")
    assert polars.read_parquet(tmp_path / "out.parquet")["y"].to_list() == (frame.x * 2.5).tolist()


ROWS_TO_ENCODE = 5_000

INTEGERS = {
    **{f"{sign}int{bits}": getattr(pa, f"{sign}int{bits}")() for sign in ("", "u") for bits in (16, 32, 64)},
    "date": pa.date32(),
    "time": pa.time64("us"),
    "moment": pa.timestamp("ns", "UTC"),
    "span": pa.duration("us"),
}


def integers(kind: pa.DataType, dice: np.random.Generator, *, largest: bool) -> pa.Array:
    """Draw integers that nearly all differ, from all that a type can hold or from those next to each other."""
    bits = kind.bit_width
    numbers = np.arange(ROWS_TO_ENCODE, dtype=f"u{bits // 8}")
    if largest:
        extremes = np.array([0, 2 ** (bits - 1) - 1, 2 ** (bits - 1), 2**bits - 1], numbers.dtype)
        drawn = dice.permutation(2**bits - 1 if bits == 16 else ROWS_TO_ENCODE * 13)[: len(numbers)]
        numbers = drawn.astype(numbers.dtype) * numbers.dtype.type(2**bits // (ROWS_TO_ENCODE * 13) or 1)
        numbers[dice.integers(0, len(numbers), 4)] = extremes
    if pa.types.is_time(kind):
        numbers = numbers % numbers.dtype.type(86_400_000_000)
    cells = pa.Array.from_buffers(kind, len(numbers), [None, pa.py_buffer(numbers.tobytes())])
    return pc.if_else(pa.array(dice.random(len(numbers)) < 0.1), pa.scalar(None, kind), cells)


@pytest.mark.parametrize("largest", [False, True])
@pytest.mark.parametrize("kind", INTEGERS.values(), ids=INTEGERS)
def test_integers_that_differ_have_no_dictionary_and_are_read_as_they_were(kind: pa.DataType, *, largest: bool) -> None:
    table = pa.table({"x": integers(kind, np.random.default_rng(1), largest=largest)})
    data = sealed([[piece(table)]], columns=1, packed=False)
    chunk = pq.ParquetFile(pa.BufferReader(data)).metadata.row_group(0).column(0)
    assert set(chunk.encodings) == {"PLAIN", "RLE"}
    assert not chunk.has_dictionary_page
    assert pq.read_table(pa.BufferReader(data))["x"].equals(table["x"])
    polars = pytest.importorskip("polars")
    assert polars.read_parquet(bytes(data))["x"].to_arrow().cast(kind).equals(table["x"].combine_chunks())


def test_a_column_has_a_dictionary_where_its_values_come_again() -> None:
    rows = range(ROWS_TO_ENCODE)
    columns = {
        "number": [float(row) for row in rows],
        "again": [float(row % 1000) for row in rows],
        "run": [row // 10 for row in rows],
        "text": [f"text {row}" for row in rows],
        "words": [f"text {row % 7}" for row in rows],
        "list": [[row] for row in rows],
        "a.b": list(rows),
        "a": [{"b": row} for row in rows],
        "missing": pa.nulls(ROWS_TO_ENCODE, pa.int64()),
    }
    table = pa.table(columns)
    data = sealed([[piece(table)]], columns=9, packed=False)
    file = pq.ParquetFile(pa.BufferReader(data))
    chunks = [file.metadata.row_group(0).column(at) for at in range(9)]
    without = [chunk.path_in_schema for chunk in chunks if not chunk.has_dictionary_page]
    assert without == ["number", "text"]
    assert pq.read_table(pa.BufferReader(data)).to_pydict() == table.to_pydict()
    assert data == by_one_writer([table], file.schema_arrow)
    with_all = pa.BufferOutputStream()
    pq.write_table(table, with_all, compression="zstd")
    assert len(data) < with_all.getvalue().size


def test_a_column_whose_values_come_again_after_many_rows_has_a_dictionary() -> None:
    table = pa.table({"again": [row % 7001 for row in range(100_000)], "number": range(100_000)})
    assert options_of(table, ["again", "number"])["use_dictionary"] == ["again"]


def test_a_column_that_is_wider_in_a_late_task_is_so_in_every_row_group(tmp_path: Path) -> None:
    frame = numbers(tmp_path)

    def late(df: pd.DataFrame) -> pd.DataFrame:  # within a task some batches may be wider, others not
        return df.assign(y=df.x + 0.5 if df.x.max() == ROWS - 1 else df.x, z="b" if df.x.min() > ROWS / 2 else None)

    muster.run(late, tmp_path / "in.parquet", tmp_path / "out.parquet", workers=2)
    assert (tmp_path / "out.parquet").read_bytes() == by_one_writer_again(tmp_path / "out.parquet")
    schema = pq.ParquetFile(tmp_path / "out.parquet").schema_arrow
    assert [str(field.type) for field in schema] == ["int64", "large_string", "double", "large_string"]
    got = pd.read_parquet(tmp_path / "out.parquet")
    pd.testing.assert_frame_equal(got[["x", "text"]], frame)
    is_wider, is_late = got.y != got.x, got.z.notna()
    assert is_wider.iloc[-1]
    assert is_late.iloc[-1]
    for flags in (is_wider, is_late):  # of whole batches, and those are the last ones
        assert flags.is_monotonic_increasing
    expected = frame.assign(y=frame.x + is_wider * 0.5, z=pd.Series("b", index=frame.index).where(is_late))
    pd.testing.assert_frame_equal(got, expected)
    assert not is_late[: ROWS // 2].any()


HELD = """
import os, threading

def held(df):
    while os.path.exists("hold") and df.x.max() == {last}:
        threading.Event().wait(0.01)
    return df.assign(y=df.x * 2)
"""


def test_a_run_that_is_killed_while_it_puts_the_file_together_goes_on_with_all_rows(
    tmp_path: Path, muster: Muster
) -> None:
    frame = numbers(tmp_path)
    (tmp_path / "held.py").write_text(HELD.format(last=ROWS - 1))
    (tmp_path / "hold").touch()
    command = ("run", "held.py:held", "in.parquet", "-o", "out.parquet", "--workers", "2", "--json")
    sealed = tmp_path / "out.parquet.muster" / "sealed"
    with begun(tmp_path, *command) as process:
        until(lambda: any((tmp_path / "out.parquet.muster" / "parts").glob("*.rows")))
        os.mkfifo(sealed / "00000-000")  # whoever writes here waits for a reader
        (tmp_path / "hold").unlink()
        until((sealed / "00000-001").exists)
        process.kill()
        os.close(os.open(sealed / "00000-000", os.O_RDONLY | os.O_NONBLOCK))  # its worker sees that muster is gone
    assert not (tmp_path / "out.parquet").exists()
    (sealed / "00000-000").unlink()
    result = muster(*command)
    assert (result.code, result.json["resumed_parts"]) == (0, result.json["parts"])
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "out.parquet"), frame.assign(y=frame.x * 2))
    assert (tmp_path / "out.parquet").read_bytes() == by_one_writer_again(tmp_path / "out.parquet")
    assert not sealed.parent.exists()


@pytest.mark.parametrize("write", [parquet_pieces.piece_of, parquet.render], ids=["Arrow", "Parquet"])
def test_the_schema_of_a_piece_in_a_store_is_read_there(write: Callable[[pa.Table], bytes | memoryview]) -> None:
    table = piece(pd.DataFrame({"x": range(50_000), "y": "a"}))
    url = f"memory://{uuid4()}/0.rows"
    put(url, bytes(write(table)))
    assert plain(parquet_pieces.schema_and_bytes([[url]])[0]) == plain(table.schema)
    assert parquet_pieces.own_schema(url) == bytes(table.schema.remove_metadata().serialize().to_pybytes())


def pieces_of(folder: Path, *, plain_bytes: int, exchange: Exchange | None = None) -> list[bytes]:
    """Have a worker do four tasks, each of 500 rows that compress well, and read what it wrote."""
    source = folder / "in.parquet"
    pd.DataFrame({"x": range(2_000)}).to_parquet(source, row_group_size=500)
    (folder / "f.py").write_text("def long(df):\n    return df.assign(y='a' * 100)\n")
    briefing = Briefing(
        find_sources([str(source)]),
        Dialect(),
        (Target("file", str(folder / "f.py"), "long"),),
        "parquet",
        str(folder / "0"),
        plain_bytes=plain_bytes,
        exchange=exchange,
    )
    edges = [(at, at + 500) for at in range(0, 2_000, 500)]
    tasks = [Task(lo, lo, hi, 0, lo, hi, lo, 500, lo, hi) for lo, hi in edges]
    worker = TaskBody()
    try:
        worker.brief(pickle.dumps(briefing))
        outcomes = [worker(task) for task in tasks]
    finally:
        worker.end()  # or what it has loaded stays in this process
    return [(folder / one.output.name).read_bytes() for one in outcomes if isinstance(one, Outcome) and one.output]


@pytest.mark.parametrize("exchange", [None, Exchange(Grouping(("y",)))], ids=["output", "another stage"])
def test_a_worker_packs_what_it_writes_when_it_has_written_as_much_as_may_lie_plainly(
    tmp_path: Path, exchange: Exchange | None
) -> None:
    sizes = [
        [len(data) for data in pieces_of(tmp_path, plain_bytes=plain, exchange=exchange)]
        for plain in (0, 1, 100_000, 10**9)
    ]
    assert [[size < 35_000 for size in own] for own in sizes] == [
        [True] * 4,
        [False, True, True, True],
        [False, False, True, True],
        [False] * 4,
    ]


def test_workers_share_what_may_lie_plainly_and_nothing_of_what_travels(tmp_path: Path) -> None:
    work = WorkFolder(str(tmp_path / "out.parquet"), home=tmp_path)
    builder = OutputBuilder(work, Options(), Inputs(find_sources([__file__], forced="parquet"), Options(), tmp_path))
    assert [builder.plain_bytes(workers=count, is_far=False) for count in (0, 1, 4)] == [
        512 << 20,
        512 << 20,
        128 << 20,
    ]
    assert builder.plain_bytes(workers=1, is_far=True) == 0
    work.staging = "s3://bucket/out.muster/1"
    assert builder.plain_bytes(workers=1, is_far=False) == 0


def test_pieces_that_are_cut_out_of_an_output_again_are_compressed(tmp_path: Path) -> None:
    table = piece(pd.DataFrame({"x": ["a" * 100] * 500}))
    (tmp_path / "whole").write_bytes(parquet.render(table))
    cut = Cut("0.rows", 500, 0, 0, parquet_pieces.own_schema(str(tmp_path / "whole")))
    Unseal(str(tmp_path / "whole"), 0, -1, 0, "parquet", "", (cut,), str(tmp_path)).answer()
    assert (tmp_path / "0.rows").stat().st_size < 25_000
    assert read((tmp_path / "0.rows").read_bytes()).equals(table)


@settings(max_examples=100, deadline=None)
@given(table=tables(), names=st.lists(st.sampled_from(["a0", "a0.x0", "a1", "a0.x1", "a2", "a"])))
def test_of_a_piece_that_is_parquet_the_columns_that_are_named_are_read(table: pa.Table, names: list[str]) -> None:
    data = parquet.render(table)
    whole, got = read(data), parquet_pieces.read_piece(pa.BufferReader(data), names)
    for name in names:
        assert [str(got.field(at)) for at, own in enumerate(got.schema.names) if own == name] == [
            str(whole.field(at)) for at, own in enumerate(whole.schema.names) if own == name
        ]
    assert len(got) == len(table)
    assert not {name for name in got.schema.names if not name.startswith("a0")} - set(names)


@pytest.mark.parametrize("packed", [False, True])
def test_shares_of_columns_are_cut_by_the_memory_that_they_take(tmp_path: Path, *, packed: bool) -> None:
    narrow = {f"n{at}": pa.array([1] * 1_000, pa.int64()) for at in range(5)}
    table = piece(pa.table({**narrow, "wide": ["a" * 20_000] * 1_000, "map": pa.array([[("k", 1)]] * 1_000, MAP)}))
    for at, own in enumerate((table, table.drop_columns("map"))):  # a piece with a map is Parquet
        (tmp_path / f"{at}").write_bytes(parquet_pieces.piece_of(own, packed=packed))
    schema, (sizes,) = parquet_pieces.schema_and_bytes([[str(tmp_path / "0"), str(tmp_path / "1")]])
    assert sizes[:5] == [16_000] * 5
    assert 40_000_000 < sizes[5] < 41_000_000
    asked: list[Any] = []

    def ask(questions: Sequence[Any]) -> list[Any]:
        asked.extend(questions)
        return [question.answer() for question in questions]

    RowGroups([(str(tmp_path / "1"),)], [sizes], schema.serialize().to_pybytes(), tmp_path).seal(tmp_path / "out", ask)
    assert [(one.first, one.last) for one in asked[1:]] == [(0, 5), (5, 6), (6, 7)]
