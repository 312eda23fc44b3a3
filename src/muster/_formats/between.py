"""What steps gave, as the steps behind an exchange read it: as if it were written to Parquet, and read again.

Results of one task are of one schema, and say of which kinds they are. What all of them have in common is known when
all are there; then each is read as that.
"""

import json
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from muster._model import Column, Schema
from muster._progress.schema import numbered
from muster.errors import DataError

from . import parquet_schema
from ._numbers import is_exact
from .agreed import AS_IS
from .blocks import INDEX, KEYS, Section, StoredSection, by_number, each_section, schema_of
from .frames import frame_of
from .holders import BETWEEN
from .results import Reply
from .settled import CommonSchema

_GAPS: Final = "gaps"
"""What is said of a section: of which of its columns a value is missing that NumPy has no room for."""

_SEEN_GAPS: Final = b"muster.gaps"
"""The same of all sections that a schema was put together of."""


def section(replies: Sequence[Reply], schema: Schema, behind: pa.Array, name: str) -> Section:
    """Put results together, in one stretch, with a column behind them that says where each row belongs."""
    table = parquet_schema.piece(replies, use=BETWEEN)
    whole = by_number(table, behind, name)
    gaps = [at for at, cells in enumerate(table.columns) if cells.null_count and _is_narrow(cells.type)]
    return Section(whole, [0, len(whole)], {"schema": schema, _GAPS: gaps})


def _is_narrow(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_boolean(kind))


def typed(table: pa.Table, said: dict[str, Any], agreed: bytes, *, key: Sequence[str] = ()) -> pa.Table:
    """Give rows of a section the schema that all agree on; the columns of a ``key`` must stay the same keys."""
    schema = pa.ipc.read_schema(pa.py_buffer(agreed))
    named = pa.table(table.columns, schema=_schema(table.schema, said, rows=len(table)))
    whole = parquet_schema.typed(named, schema, use=BETWEEN)
    for name in key if len(named) else ():  # without rows, it may not even be there
        check_same_keys(named.column(name), whole.column(name), name)
    return whole


def _schema(schema: pa.Schema, said: dict[str, Any], *, rows: int) -> pa.Schema:
    names = said["schema"][0]
    fields = [field.with_name(name) for field, name in zip(schema, names, strict=True)]
    return parquet_schema.of_rows(pa.schema(fields), rows)


def common_schema(blocks: Sequence[str], before: bytes = b"") -> CommonSchema:
    """Find the schema of all results in blocks, and of those ``before``.

    Raises ``DataError`` where a column holds what one column cannot.
    """
    sections = [one for _, one in each_section(blocks) if not ({INDEX, KEYS} & one.said.keys())]
    sections.sort(key=_first_place)
    schemas = [_schema(_bare(one.schema), one.said, rows=sum(one.said["rows"])) for one in sections]
    gaps = {column for one in sections for column in _with_gaps(one)}
    with_rows = [{*numbered(schema_of(one).columns)} for one in sections if sum(one.said["rows"])]
    if before:
        earlier = pa.ipc.read_schema(pa.py_buffer(before))
        gaps |= {(name, at) for name, at in json.loads(earlier.metadata[_SEEN_GAPS])}
        with_rows += [{*numbered(earlier.names)}] if parquet_schema.rows_of(earlier) else []
        schemas.insert(0, earlier)
    if not schemas:
        return CommonSchema()
    united = parquet_schema.together(schemas, use=BETWEEN)
    whole = parquet_schema.as_written(united, use=BETWEEN)
    dtypes = frame_of(whole.empty_table()).dtypes
    columns, fields = [], []
    for at, (column, field) in enumerate(zip(numbered(whole.names), whole, strict=True)):
        has_gaps = column in gaps or not all(column in there for there in with_rows)
        has_gaps = has_gaps or any(pa.types.is_null(kind) for kind in _types(schemas, column))
        gaps |= {column} if has_gaps else set()
        fixed = _fixed(field.type) if has_gaps and isinstance(dtypes.iloc[at], np.dtype) else AS_IS
        columns.append(Column(field.name, fixed=fixed))
        fields.append(field.with_type(pa.float64()) if fixed == "float64" else field)
    seen = parquet_schema.of_rows(united, len(with_rows))
    seen = seen.with_metadata({**seen.metadata, _SEEN_GAPS: json.dumps(sorted(gaps)).encode()})
    schema = pa.schema(fields, whole.metadata)
    return CommonSchema(tuple(columns), schema.serialize().to_pybytes(), seen.serialize().to_pybytes())


def _first_place(section: StoredSection) -> int:
    return int(section.said["places"][0][0]) if section.said.get("places") else 0


def _bare(schema: pa.Schema) -> pa.Schema:
    return pa.schema(list(schema)[:-1])


def _with_gaps(section: StoredSection) -> list[tuple[str, int]]:
    names = numbered(schema_of(section).columns)
    return [names[at] for at in section.said[_GAPS]]


def _types(schemas: Sequence[pa.Schema], column: tuple[str, int]) -> list[pa.DataType]:
    return [schema.types[at] for schema in schemas for at, own in enumerate(numbered(schema.names)) if own == column]


def _fixed(kind: pa.DataType) -> str:
    """Name what pandas makes of a column of this type that has gaps."""
    if pa.types.is_boolean(kind):
        return "bool?"
    return "float64" if pa.types.is_integer(kind) else AS_IS


def check_same_keys(before: pa.ChunkedArray, after: pa.ChunkedArray, name: str) -> None:
    """Raise ``DataError`` where integers become floats and so other keys: rows went to lanes by what they were."""
    if pa.types.is_integer(before.type) and pa.types.is_floating(after.type) and not is_exact(before, after.type):
        largest = pc.max(pc.abs(before)).as_py()
        raise DataError(
            f"The key {name!r} is {before.type} in some batches of the step before, up to {largest}, and {after.type}"
            " in others, which does not tell such numbers apart. Have the step return one type, for example"
            f" df[{name!r}] = df[{name!r}].astype('Int64')."
        )
