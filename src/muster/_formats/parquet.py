"""Read parts of Parquet files by row group, and write them."""

import functools
import json
import os
import re
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from muster._model import Column
from muster._urls.urls import is_remote
from muster._words import bare
from muster.errors import DataError

from .agreed import categories, fit, pack, unpack
from .layouts import FileLayout
from .reader import opened, version
from .rows import Rows

_UNNAMED_INDEX: Final = re.compile(r"__index_level_\d+__")


def layout(path: str, *, name: str = "", columns: Sequence[str] | None = None) -> FileLayout:
    """Read a file's footer, and the categories of its columns; ``columns``: of those alone that have these names.

    Raises ``DataError`` when it is not Parquet, by the ``name`` that the user knows.
    """
    _file.cache_clear()  # a URL has no version to tell it from what an earlier run in this process has read
    _starts.cache_clear()
    _used.cache_clear()
    _group.cache_clear()
    try:
        file = _open(path)
        whole = _schema(file)
        schema = whole if columns is None else _chosen(whole, columns)
        arrays = [
            _categories(file, field) if pa.types.is_dictionary(field.type) else pa.nulls(0, field.type)
            for field in schema
        ]
        fields = [pa.field(field.name, array.type) for field, array in zip(schema, arrays, strict=True)]
        template = pa.record_batch(arrays, schema=pa.schema(fields, schema.metadata))
        missing = _missing(file, schema)
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(
            f"{(name or path)!r} cannot be read as Parquet: {bare(error)}. Check the file, or say --format."
        ) from error
    groups = tuple(file.metadata.row_group(at).num_rows for at in range(file.metadata.num_row_groups))
    hollow = frozenset(name for name, count in missing.items() if count == sum(groups))
    return FileLayout(
        pack(template),
        frozenset(name for name in missing if missing[name]),
        hollow,
        groups,
        names=tuple(whole.names),
        bytes_of_groups=tuple(file.metadata.row_group(at).total_byte_size for at in range(len(groups))),
    )


def _chosen(schema: pa.Schema, columns: Sequence[str]) -> pa.Schema:
    places = [at for name in columns for at in schema.get_all_field_indices(name)]
    return pa.schema([schema.field(at) for at in places], schema.metadata)


def _categories(file: Any, field: pa.Field) -> pa.Array:  # noqa: ANN401 (a ParquetFile, which has no types)
    """Read a column of categories, to know all of them before the first batch; each row group may have its own."""
    groups = range(file.metadata.num_row_groups)
    chunks = [chunk for at in groups for chunk in file.read_row_group(at, [field.name]).column(0).chunks]
    return categories(chunks or [pa.nulls(0, field.type)])


def _schema(file: Any) -> pa.Schema:  # noqa: ANN401 (a ParquetFile, which has no types)
    """Take the schema without the index that pandas wrote: a frame's index is its rows' number in the file.

    Index levels with a name stay as columns; those without one have nothing to say.
    """
    schema, said = file.schema_arrow, file.schema_arrow.pandas_metadata
    if not said:
        return schema
    kept = [field for field in schema if not _UNNAMED_INDEX.fullmatch(field.name)]
    kept += [pa.field(name, pa.int64()) for name, _, _ in _ranges(schema)]
    return pa.schema(kept, {**schema.metadata, b"pandas": json.dumps({**said, "index_columns": []}).encode()})


def _ranges(schema: pa.Schema) -> list[tuple[str, int, int]]:
    """List the named RangeIndexes, each with its start and step: pandas writes these in the metadata alone."""
    levels = [level for level in (schema.pandas_metadata or {}).get("index_columns", []) if isinstance(level, dict)]
    named = [level for level in levels if level.get("name") is not None and level["name"] not in schema.names]
    return [(str(level["name"]), level["start"], level["step"]) for level in named]


def _missing(file: Any, schema: pa.Schema) -> dict[str, int]:  # noqa: ANN401 (a ParquetFile, which has no types)
    """Count the missing values of each column that is not nested, where the footer tells.

    Of an integer or boolean column that has to be known, so it is read where the footer does not.
    """
    groups = [file.metadata.row_group(at) for at in range(file.metadata.num_row_groups)]
    places = {file.schema.column(at).path: at for at in range(file.metadata.num_columns)}
    counts = {}
    for field in schema:
        if pa.types.is_null(field.type):
            counts[field.name] = file.metadata.num_rows
        if field.name not in places or field.name in counts:
            continue
        statistics = [group.column(places[field.name]).statistics for group in groups]
        if all(column is not None and column.has_null_count for column in statistics):
            counts[field.name] = sum(column.null_count for column in statistics)
        elif pa.types.is_integer(field.type) or pa.types.is_boolean(field.type):
            counts[field.name] = file.read([field.name]).column(0).null_count
    return counts


def _open(path: str) -> Any:  # noqa: ANN401 (a ParquetFile, which has no types)
    if is_remote(path):
        # Nothing is read ahead: Arrow knows which ranges it needs, and puts neighbours together.
        return pq.ParquetFile(opened(path), pre_buffer=True)
    return pq.ParquetFile(bytes_of(path), memory_map=False)


def bytes_of(path: str | Path, mode: str = "rb") -> pa.OSFile:
    """Open a file of this computer. Its name need not be valid UTF-8, as Arrow itself would require."""
    return pa.OSFile(os.fsencode(path), mode)


@functools.lru_cache(maxsize=8)
def _file(path: str, _version: tuple[int, ...]) -> Any:  # noqa: ANN401 (a ParquetFile, which has no types)
    return _open(path)


@functools.lru_cache(maxsize=8)
def _starts(path: str, version_: tuple[int, ...]) -> list[int]:
    """List the first row of each row group, and the row behind the last: asked once, as there may be very many."""
    metadata = _file(path, version_).metadata
    return [0, *accumulate(metadata.row_group(at).num_rows for at in range(metadata.num_row_groups))]


@functools.lru_cache(maxsize=8)
def _used(path: str, version_: tuple[int, ...], agreed: bytes) -> frozenset[str] | None:
    """Name the columns of a file that are read; ``None`` stands for all, also of a file that has none of them.

    Of such a file the rows count, and Arrow forgets how many there are where no column is read.
    """
    there = frozenset(_schema(_file(path, version_)).names)
    used = there.intersection(unpack(agreed).schema.names) if agreed else there
    return used if used and used < there else None


@functools.lru_cache(maxsize=1)
def _group(path: str, version_: tuple[int, ...], group: int, used: frozenset[str] | None) -> pa.Table:
    file = _file(path, version_)
    try:
        # Of names with dots, these may be more columns than are used: "a.b" is also "b" within "a".
        table = file.read_row_group(group, None if used is None else sorted(used), use_threads=False)
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(f"{path!r}: row group {group} is damaged: {bare(error)}. Fetch the file again.") from error
    first = _starts(path, version_)[group]
    for name, start, step in _ranges(file.schema_arrow):
        table = table.append_column(name, pa.array(start + step * np.arange(first, first + len(table))))
    kept = frozenset(_schema(file).names) if used is None else used
    table = table.select([at for at, name in enumerate(table.column_names) if name in kept])
    return table.replace_schema_metadata(_schema(file).metadata)


def read(path: str, *, lo: int, hi: int, agreed: bytes = b"", columns: Sequence[Column] = ()) -> Rows:
    """Read rows ``lo`` to ``hi`` of a file, as all files agreed to be read where that is said."""
    table = _table(path, lo=lo, hi=hi, agreed=agreed)
    if agreed:
        try:
            table = fit(table, unpack(agreed), columns)
        except DataError as error:
            raise DataError(f"{path!r}: {error}") from error
    return Rows(table, np.arange(lo, hi))


def _table(path: str, *, lo: int, hi: int, agreed: bytes) -> pa.Table:
    """Read rows as the file has them, of the columns that are used."""
    version_ = version(path)
    starts, used, tables = _starts(path, version_), _used(path, version_, agreed), []
    for group in range(max(bisect_right(starts, lo) - 1, 0), len(starts) - 1):
        first, last = starts[group], starts[group + 1]
        if first >= hi:
            break
        if lo < last:
            rows = _group(path, version_, group, used)
            tables.append(rows.slice(max(lo - first, 0), min(hi, last) - max(lo, first)))
    return pa.concat_tables(tables) if tables else _schema(_file(path, version_)).empty_table()


def cut(path: str, *, lo: int, hi: int, agreed: bytes) -> bytes:
    """Cut rows ``lo`` to ``hi`` out of a file, as a file of its own that says the same of the columns that are used."""
    return render(_table(path, lo=lo, hi=hi, agreed=agreed))


def as_text(path: str, row: int, *, agreed: bytes) -> str:
    """Show one row as text, for the rejects: of the columns that are used, as a machine that is far has no others."""
    return str(_table(path, lo=row, hi=row + 1, agreed=agreed).to_pylist()[0])


def render(table: pa.Table) -> bytes:
    """Write rows as one Parquet file."""
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    return bytes(sink.getvalue().to_pybytes())
