"""Read parts of Parquet files by row group, and write them."""

import functools
import json
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from muster._model import Column
from muster._urls import filesystem, is_remote
from muster.errors import DataError

from ._rows import Rows, type_of
from ._sources import version
from .parquet_schema import shared, typed

_UNNAMED_INDEX: Final = re.compile(r"__index_level_\d+__")

PART_ROWS: Final = 8192
"""Rows of a part: small enough to share out a single row group of a slow function's rows."""


@dataclass(frozen=True, slots=True)
class Layout:
    """What the footer of a file says: columns, and the rows of each row group."""

    columns: tuple[Column, ...]
    schema: str
    groups: tuple[int, ...]


def layout(path: str) -> Layout:
    """Read a file's footer. Raises ``DataError`` when it is not Parquet.

    An integer or boolean column with missing values anywhere has the type in every batch that pandas would give it.
    """
    _file.cache_clear()  # a URL has no version to tell it from what an earlier run in this process has read
    _group.cache_clear()
    try:
        file = _open(path)
        schema = _schema(file)
        types = schema.empty_table().to_pandas().dtypes
        columns = tuple(
            Column(field.name, fixed=_fixed(file, field) if isinstance(types.iloc[at], np.dtype) else "as is")
            for at, field in enumerate(schema)
        )
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(f"{path!r} cannot be read as Parquet: {error}. Check the file, or say --format.") from error
    groups = tuple(file.metadata.row_group(at).num_rows for at in range(file.metadata.num_row_groups))
    return Layout(columns, str(schema.remove_metadata()), groups)


def _schema(file: Any) -> pa.Schema:  # noqa: ANN401 (a ParquetFile, which has no types)
    """Take the schema without the index that pandas wrote: a frame's index is its rows' number in the file.

    Index levels with a name stay as columns; those without one have nothing to say.
    """
    schema, said = file.schema_arrow, file.schema_arrow.pandas_metadata
    if not said:
        return schema
    kept = [field for field in schema if not _UNNAMED_INDEX.fullmatch(field.name)]
    return pa.schema(kept, {**schema.metadata, b"pandas": json.dumps({**said, "index_columns": []}).encode()})


def _fixed(file: Any, field: pa.Field) -> str:  # noqa: ANN401 (a ParquetFile, which has no types)
    if not (pa.types.is_integer(field.type) or pa.types.is_boolean(field.type)) or not field.nullable:
        return "as is"
    for group in range(file.metadata.num_row_groups):
        found = [file.metadata.row_group(group).column(c) for c in range(file.metadata.num_columns)]
        statistics = next(column.statistics for column in found if column.path_in_schema == field.name)
        if statistics is None or not statistics.has_null_count:
            missing = file.read_row_group(group, [field.name]).column(0).null_count
        else:
            missing = statistics.null_count
        if missing:
            return "bool?" if pa.types.is_boolean(field.type) else "float64"
    return "as is"


def _open(path: str) -> Any:  # noqa: ANN401 (a ParquetFile, which has no types)
    if is_remote(path):
        files, inside = filesystem(path)
        # fsspec would read tens of megabytes ahead; Arrow knows which ranges it needs, and puts neighbours together.
        return pq.ParquetFile(files.open(inside, "rb", cache_type="none"), pre_buffer=True)
    return pq.ParquetFile(_bytes_of(path), memory_map=False)


def _bytes_of(path: str | Path, mode: str = "rb") -> pa.OSFile:
    """Open a file of this computer, whose name need not be text, which Arrow takes for granted."""
    return pa.OSFile(os.fsencode(path), mode)


@functools.lru_cache(maxsize=8)
def _file(path: str, _version: tuple[int, ...]) -> Any:  # noqa: ANN401 (a ParquetFile, which has no types)
    return _open(path)


@functools.lru_cache(maxsize=1)
def _group(path: str, version_: tuple[int, ...], group: int) -> pa.Table:
    file = _file(path, version_)
    try:
        table = file.read_row_group(group, use_threads=False)
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(f"{path!r}: row group {group} is damaged: {error}. Fetch the file again.") from error
    unnamed = [name for name in table.column_names if _UNNAMED_INDEX.fullmatch(name)]
    return table.drop_columns(unnamed).replace_schema_metadata(_schema(file).metadata)


def read(path: str, *, lo: int, hi: int, columns: tuple[Column, ...]) -> Rows:
    """Read rows ``lo`` to ``hi`` of a file."""
    version_ = version(path)
    file, first, tables = _file(path, version_), 0, []
    for group in range(file.metadata.num_row_groups):
        last = first + file.metadata.row_group(group).num_rows
        if first < hi and lo < last:
            tables.append(_group(path, version_, group).slice(max(lo - first, 0), min(hi, last) - max(lo, first)))
        first = last
    table = pa.concat_tables(tables) if tables else _schema(file).empty_table()
    for at, column in enumerate(columns):
        if type_of(column) == "float64" and pa.types.is_integer(table.schema.field(at).type):
            table = table.set_column(at, column.name, table.column(at).cast(pa.float64(), safe=False))
    return Rows(table, np.arange(lo, hi))


def cut(path: str, *, lo: int, hi: int) -> bytes:
    """Cut rows ``lo`` to ``hi`` out of a file, as a file of its own that says the same of its columns."""
    return render(read(path, lo=lo, hi=hi, columns=()).table)


def as_text(path: str, row: int) -> str:
    """Show one row as text, for the rejects."""
    return str(read(path, lo=row, hi=row + 1, columns=()).table.to_pylist()[0])


def render(table: pa.Table) -> bytes:
    """Write rows as one Parquet file."""
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    return bytes(sink.getvalue().to_pybytes())


def schema_of(pieces: Iterable[str]) -> pa.Schema:
    """Find the schema that the pieces of a run share; see ``parquet_schema``."""
    return shared([_open(piece).schema_arrow for piece in pieces])


def read_schema(data: bytes) -> pa.Schema:
    """Read a schema that Arrow wrote."""
    return pa.ipc.read_schema(pa.py_buffer(data))


def merge(volumes: Iterable[list[Path]], schema: pa.Schema, output: Path) -> None:
    """Write one file from many; each volume's rows become one row group."""
    with _bytes_of(output, "wb") as file, pq.ParquetWriter(file, schema, compression="zstd") as writer:
        for paths in volumes:
            tables = [typed(pq.read_table(_bytes_of(path)), schema) for path in paths]
            table = pa.concat_tables([schema.empty_table(), *tables]).combine_chunks()
            writer.write_table(table, row_group_size=max(len(table), 1))
