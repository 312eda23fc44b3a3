"""What a function gave back for a batch, what it says of the schema, and how it becomes part of the whole."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final, cast

import numpy as np
import pyarrow as pa

from muster._model import Schema
from muster._progress.schema import EMPTY, MISSING, VOID, by_column, form

from . import _moments
from .tables import from_columns, from_result

if TYPE_CHECKING:
    import pandas as pd

_SILENT: Final = frozenset({"object", "float16", "float32", "float64", "null"})
"""Types that say nothing of a column without a value: ``[None]`` has one of them by default."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What a function returned for a batch, as a table; ``rows`` counts them also where it has no column."""

    table: pa.Table
    rows: int
    schema: Schema | None
    """``None`` if the function returned ``pd.DataFrame()``, which says nothing of columns."""
    index: str = ""
    """The names of an index, which is not written; empty where there are none, or columns of the same names."""


def reply_of(result: object, *, use: str) -> Reply:
    """Make a table of what a function returned, for a format. Raises ``DataError`` as ``from_result`` does."""
    table = from_result(result, use=use)
    rows = len(cast("Any", result))
    if not table.num_columns and not rows:
        return Reply(table, 0, None)
    return _reply(table, _dtypes(result, table), rows=rows, use=use, index=index_of(result))


def reply_of_columns(labels: "pd.Index[Any]", columns: Sequence[Any], *, rows: int, use: str, index: str) -> Reply:
    """Make the reply of a frame of pandas whose columns these are. Raises ``DataError`` likewise."""
    table = from_columns(labels, columns, use=use)
    return _reply(table, [column.dtype for column in columns], rows=rows, use=use, index=index)


def _reply(table: pa.Table, dtypes: Iterable[Any], *, rows: int, use: str, index: str) -> Reply:
    named = zip(dtypes, table.columns, strict=True)
    kinds = tuple((_kind(dtype, column, is_shown=use == "csv"),) for dtype, column in named)
    return Reply(table, rows, Schema(tuple(table.column_names), kinds), index)


def owned(reply: Reply) -> Reply:
    """Copy what a reply may share with arrays of the function's own, such as a buffer that it fills at each call."""
    columns = [_owned(column) for column in reply.table.columns]
    return replace(reply, table=pa.table(columns, schema=reply.table.schema))


def _owned(column: pa.ChunkedArray) -> pa.ChunkedArray:
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        return column  # which nobody fills in place
    chunks = [pa.concat_arrays([chunk, chunk[:0]]) for chunk in column.chunks]  # of one alone, there is no copy
    return pa.chunked_array(chunks, column.type)


def index_of(result: Any) -> str:  # noqa: ANN401 (frames of three kinds)
    """Name the levels of a frame's index that are no columns as well."""
    names = getattr(getattr(result, "index", None), "names", ())
    return ", ".join(repr(name) for name in names if name is not None and name not in result.columns)


def joined(replies: Iterable[Reply]) -> list[Reply]:
    """Merge neighbouring replies with the same schema, as many small tables are slow to write."""
    merged = []
    for (schema, _), group in groupby(replies, key=lambda reply: (reply.schema, reply.table.schema)):
        alike = list(group)
        table = alike[0].table if len(alike) == 1 else pa.concat_tables(reply.table for reply in alike).combine_chunks()
        merged.append(Reply(table, sum(reply.rows for reply in alike), schema))
    return merged


def _dtypes(result: object, table: pa.Table) -> Iterable[Any]:
    import pandas as pd

    return result.dtypes if isinstance(result, pd.DataFrame) else table.schema.types


def _kind(dtype: Any, column: pa.ChunkedArray, *, is_shown: bool) -> str:  # noqa: ANN401 (a dtype of anybody's)
    """Name what a column holds, for ``_schema``."""
    kind = _name(dtype)
    if not len(column):
        return EMPTY + kind
    has_values = column.null_count < len(column)
    if not has_values and kind in _SILENT:
        return MISSING + kind
    fineness = _moments.form_of(column) if is_shown else None
    if fineness is not None:
        kind = f"{_moment(column.type)} {fineness}"
    return kind if has_values else VOID + kind


def _moment(kind: pa.DataType) -> str:
    if pa.types.is_duration(kind):
        return "timespan"
    return f"datetime[{kind.tz}]" if kind.tz else "datetime"


def _name(dtype: Any) -> str:  # noqa: ANN401 (likewise)
    if isinstance(dtype, np.dtype):
        return _numpy_name(dtype)
    dtype = getattr(dtype, "pyarrow_dtype", dtype)
    if isinstance(dtype, pa.DataType):  # whose numbers can be missing
        if pa.types.is_integer(dtype):
            return str(dtype).replace("uint", "UInt").replace("int", "Int")
        if pa.types.is_floating(dtype):
            return f"Float{dtype.bit_width}"
        return "object" if pa.types.is_nested(dtype) else str(dtype)
    name = str(dtype.name)
    if name == "category" and dtype.categories.dtype.kind in "iuf":
        return str(dtype.categories.dtype.name).replace("uint", "UInt").replace("int", "Int").replace("float", "Float")
    return name


@lru_cache(maxsize=256)
def _numpy_name(dtype: np.dtype[Any]) -> str:
    """Name a dtype of NumPy, which puts its name together each time."""
    return str(dtype.name)


def shaped(reply: Reply, schema: Schema) -> tuple[pa.Table, Sequence[str]]:
    """Give a reply all columns of the run's schema; also say, for each, the form in which moments are to be written.

    Integers become floats where pandas would make floats of the whole column.
    """
    if reply.schema is None or reply.schema == schema:
        return reply.table, [""] * reply.table.num_columns
    return laid_out(reply, reply.schema, schema)


def laid_out(reply: Reply, narrow: Schema, schema: Schema) -> tuple[pa.Table, Sequence[str]]:
    """Shape a reply of the schema ``narrow``, whose rows may be only some of those that the schema is of."""
    place = {column: at for at, column in enumerate(by_column(narrow))}
    columns, forms = [], []
    for column, kinds in by_column(schema).items():
        at = place.get(column)
        shown = form(narrow.kinds[at][0], kinds) if at is not None else ""
        values = pa.nulls(reply.rows) if at is None else reply.table.column(at)
        columns.append(values.cast(pa.float64(), safe=False) if shown == "float64" else values)
        forms.append("" if shown == "float64" else shown)
    return pa.table(columns, names=schema.columns), forms
