"""Pieces of a Parquet output: how tasks write their rows, and how these become the output's column chunks.

A piece is written once and read once. So it is in Arrow's own format, which costs a sixth of encoding Parquet. It has
the types that Parquet gives back, so that the output does not tell which way its rows have gone. What cannot be cast to
these is a Parquet file, as are all pieces that an earlier version has written.
"""

import functools
from collections.abc import Iterable, Sequence
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from muster._progress.schema import numbered
from muster._urls.urls import is_remote

from .parquet import bytes_of, render
from .parquet_encodings import options_of
from .parquet_footer import footer_of
from .parquet_schema import rows_of, shared, typed
from .reader import opened

_ARROW: Final = b"ARROW1"
_BYTES: Final = b"muster.bytes"
"""Under this a piece says how much memory each of its columns takes, which its own size does not tell."""
_TO_SCHEMA: Final = 8
"""Where the schema begins in a file of Arrow's: behind its mark, which is padded."""
_AHEAD: Final = 64 << 10
"""Bytes of one request to a store: a footer is within them."""

_PACKING: Final = "zstd"


def piece_of(table: pa.Table, *, packed: bool = False) -> bytes:
    """Write rows as a piece; ``packed`` where room or the way to it matters more than time."""
    return b"".join(stretches_of(table, packed=packed))


def stretches_of(table: pa.Table, *, packed: bool) -> list[memoryview]:
    """Write rows as a piece, likewise, of which the columns are not copied: it is what these add up to."""
    again = _as_read_again(table)
    if again is None:
        return [memoryview(render(_telling_its_bytes(table)))]
    again = _telling_its_bytes(again)
    sink = _Stretches()
    options = pa.ipc.IpcWriteOptions(compression=_PACKING if packed else None, use_threads=False)
    with pa.ipc.new_file(sink, again.schema, options=options) as file:
        file.write_table(again)
    return sink.written


class _Stretches:
    """A file of Python's that keeps what is written to it: Arrow hands over the memory of its columns as it is."""

    closed = False

    def __init__(self) -> None:
        self.written: list[memoryview] = []

    def write(self, data: Any) -> None:  # noqa: ANN401 (bytes, or one of Arrow's buffers)
        self.written.append(memoryview(data))

    def flush(self) -> None:
        """Do nothing: nothing is held back."""


def _telling_its_bytes(table: pa.Table) -> pa.Table:
    said = ",".join(str(column.nbytes) for column in table.columns).encode()
    return table.replace_schema_metadata({**(table.schema.metadata or {}), _BYTES: said})


def _as_read_again(table: pa.Table) -> pa.Table | None:
    """Give rows the types with which they come out of a Parquet file; ``None`` where that cannot be done here."""
    plain = pa.schema([field.remove_metadata() for field in table.schema])
    kinds = _kinds_read_again(plain.serialize().to_pybytes())
    if kinds is None:
        return None
    fields = [field.with_type(kind) for field, kind in zip(table.schema, kinds, strict=True)]
    try:
        return table.cast(pa.schema(fields, table.schema.metadata))
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, ValueError):
        return None


@functools.lru_cache(maxsize=64)
def _kinds_read_again(schema: bytes) -> list[pa.DataType] | None:
    """Find the types with which columns come out of a Parquet file; ``None`` where a piece cannot say the same."""
    again = pq.read_schema(pa.BufferReader(_empty(read_schema(schema))))
    in_a_piece = read_schema(again.serialize().to_pybytes())
    return list(again.types) if str(in_a_piece) == str(again) else None  # a map's entries have no name of their own


def _empty(schema: pa.Schema) -> bytes:
    """Write a Parquet file without a row group."""
    sink = pa.BufferOutputStream()
    with _writer(sink, schema):
        pass
    return bytes(sink.getvalue().to_pybytes())


def _writer(sink: Any, schema: pa.Schema, **options: Any) -> pq.ParquetWriter:  # noqa: ANN401 (Arrow has no types)
    return pq.ParquetWriter(sink, schema, compression="zstd", **options)


def paths_of(schema: pa.Schema) -> list[str]:
    """Name the columns that Parquet makes of these, of a nested one those within it."""
    columns = pq.ParquetFile(pa.BufferReader(_empty(schema))).schema
    return [columns.column(at).path for at in range(len(columns))]


def read_piece(data: pa.NativeFile, names: Sequence[str] | None = None) -> pa.Table:
    """Read a piece: the columns that have one of these names, and perhaps others; or all."""
    if data.read_at(len(_ARROW), 0) != _ARROW:
        columns = None if names is None else list(dict.fromkeys(names))  # that of "a.b" is also of "b" within "a"
        return pq.ParquetFile(data).read(columns, use_threads=False)
    if names is None:
        return pa.ipc.open_file(data).read_all()
    schema = pa.ipc.open_file(data).schema
    chosen = set(names)
    places = [at for at, name in enumerate(schema.names) if name in chosen]
    options = pa.ipc.IpcReadOptions(use_threads=False, included_fields=places)
    return pa.ipc.open_file(data, options=options).read_all() if places else schema.empty_table().select([])


def _schema(piece: str) -> pa.Schema:
    with _beginning_of(piece) as data:
        if data.read(len(_ARROW)) == _ARROW:
            data.seek(_TO_SCHEMA)
            return pa.ipc.open_stream(data).schema
        return pq.read_schema(data)


def _beginning_of(piece: str) -> pa.NativeFile:
    """Open a piece to read its schema, which stands first: of one that lies in a store, fetch the beginning at once."""
    return pa.PythonFile(opened(piece, ahead=_AHEAD), "r") if is_remote(piece) else bytes_of(piece)


def schema_and_bytes(volumes: Iterable[Sequence[str]]) -> tuple[pa.Schema, list[list[int]]]:
    """Find the schema that the pieces of a run share, as ``parquet_schema`` does; also what its columns take.

    That is, for each volume, how many bytes of memory the rows of each column need.
    """
    schemas = [[_schema(piece) for piece in pieces] for pieces in volumes]
    whole = shared([own for group in schemas for own in group])
    return whole, [_bytes_of_columns(group, whole) for group in schemas]


def _bytes_of_columns(schemas: Sequence[pa.Schema], whole: pa.Schema) -> list[int]:
    """Add up what pieces say of each column, if they do.

    The type that all share may be a wider one, of numbers or of nothing: then a value takes eight bytes.
    """
    sizes = dict.fromkeys(numbered(whole.names), 0)
    for schema in schemas:
        said = (schema.metadata or {}).get(_BYTES, b"")
        for column, size in zip(numbered(schema.names), said.split(b",") if said else (), strict=False):
            sizes[column] += int(size)
    rows = sum(map(rows_of, schemas))
    return [max(size, 8 * rows) for size in sizes.values()]


def own_schema(piece: str) -> bytes:
    """Write the schema of a piece, without how many rows it has."""
    return bytes(_schema(piece).remove_metadata().serialize().to_pybytes())


def read_schema(data: bytes) -> pa.Schema:
    """Read a schema that Arrow wrote."""
    return pa.ipc.read_schema(pa.py_buffer(data))


def blank(schema: pa.Schema) -> bytes:
    """Write the footer of a file that has no row group."""
    return footer_of(_empty(schema))


def write(pieces: Iterable[str], schema: pa.Schema, output: str, *, first: int = 0, last: int | None = None) -> None:
    """Write a file of which the rows of these pieces are the row group; its columns are those from first to last.

    A column is put together before it is encoded, so that its bytes do not tell where pieces began.
    """
    own = pa.schema(list(schema)[first:last], schema.metadata)
    tables = [own.empty_table()]
    for piece in pieces:
        with bytes_of(piece) as data:
            tables.append(typed(read_piece(data, own.names), schema, first=first, last=last))
    table = pa.concat_tables(tables).combine_chunks()
    options = options_of(table, paths_of(own))
    with bytes_of(output, "wb") as file, _writer(file, own, **options) as writer:
        writer.write_table(table, row_group_size=max(len(table), 1))
