"""What columns hold, as pandas has them, and which of its aggregations they have."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa

from muster._formats.agreed import unpack
from muster._formats.kinds import ARROW_TYPES
from muster._formats.rows import to_pandas, type_of
from muster._model import Column, Measure
from muster.errors import DataError

NUMBERS, TRUTHS, DATES, SPANS, TEXT = "numbers", "truths with missing ones", "dates", "time spans", "text"
CATEGORIES, ORDERED, DECIMALS, SORTABLE, OBJECTS, NESTED = (
    *("categories", "categories in an order", "decimals", "values that are no numbers"),
    *("values of several kinds", "lists or mappings"),
)

_ALL: Final = ("count", "size", "first", "last")
_EXTREMES: Final = ("min", "max")
_OF: Final[Mapping[str, frozenset[str]]] = {
    NUMBERS: frozenset((*_ALL, *_EXTREMES, "nunique", "sum", "mean", "std", "var", "any", "all")),
    TRUTHS: frozenset((*_ALL, *_EXTREMES, "nunique", "any", "all")),
    DATES: frozenset((*_ALL, *_EXTREMES, "nunique", "mean")),
    SPANS: frozenset((*_ALL, *_EXTREMES, "nunique", "sum", "mean")),
    TEXT: frozenset((*_ALL, *_EXTREMES, "nunique")),
    CATEGORIES: frozenset((*_ALL, "nunique")),
    ORDERED: frozenset((*_ALL, *_EXTREMES, "nunique")),
    DECIMALS: frozenset((*_ALL, *_EXTREMES, "nunique", "sum")),
    SORTABLE: frozenset((*_ALL, *_EXTREMES, "nunique")),
    OBJECTS: frozenset((*_ALL, "nunique")),
    NESTED: frozenset(_ALL),
}
"""What there is for each sort of column."""

_is = pa.types


def schema_of(template: bytes) -> bytes:
    """Write the schema alone of what Parquet files are read as."""
    return bytes(unpack(template).schema.serialize().to_pybytes()) if template else b""


def table_of(columns: Sequence[Column], agreed: bytes, rows: Sequence[pa.Array] = ()) -> pa.Table:
    """Make a table of some columns, as Arrow's schema has them, or their type: of these rows, or of none."""
    schema = pa.ipc.read_schema(pa.py_buffer(agreed)) if agreed else pa.schema([])
    fields, arrays = [], []
    for at, column in enumerate(columns):
        known = schema.get_all_field_indices(column.name)
        field = schema.field(known[0]) if known else pa.field(column.name, ARROW_TYPES[type_of(column)])
        array = rows[at] if rows else pa.array([], field.type)
        fields.append(field.with_type(array.type))
        arrays.append(array)
    return pa.table(arrays, schema=pa.schema(fields, schema.metadata))


def frame_of(columns: Sequence[Column], agreed: bytes, rows: Sequence[pa.Array] = ()) -> pd.DataFrame:
    """Make the frame that the user would have of these columns."""
    table = table_of(columns, agreed, rows)
    return to_pandas(table, np.arange(len(table)), tuple(columns), header=True)


def has_type(column: Column, agreed: bytes) -> bool:
    """Tell whether a column has a type already: one without any value has none."""
    return bool(column.kinds or column.fixed or agreed) and not _is.is_null(table_of([column], agreed).column(0).type)


def sort_of(column: Column, agreed: bytes) -> str:
    """Say what a column holds."""
    kind = table_of([column], agreed).column(0).type
    if type_of(column) in {"bigint", "object"}:
        return OBJECTS
    if _is.is_dictionary(kind):
        return ORDERED if kind.ordered else CATEGORIES
    if _is.is_boolean(kind):
        return NUMBERS if type_of(column) != "bool?" else TRUTHS
    return next((sort for holds, sort in _SORTS if holds(kind)), NESTED)


_SORTS: Final[Sequence[tuple[Any, str]]] = (
    *((holds, NUMBERS) for holds in (_is.is_integer, _is.is_floating, _is.is_null)),
    (_is.is_timestamp, DATES),
    (_is.is_duration, SPANS),
    *((holds, TEXT) for holds in (_is.is_string, _is.is_large_string, _is.is_string_view)),
    (_is.is_decimal, DECIMALS),
    *((holds, SORTABLE) for holds in (_is.is_date, _is.is_time, _is.is_binary, _is.is_large_binary)),
)


def check(measures: Sequence[Measure], columns: Sequence[Column], agreed: bytes) -> None:
    """Raise ``DataError`` for a measure that its column does not have."""
    by_name = {column.name: column for column in columns}
    for measure in measures:
        for name in measure.columns if measure.how else ():
            sort = sort_of(by_name[name], agreed)
            if measure.how not in _OF[sort]:
                raise DataError(
                    f"{measure.output}=({name!r}, {measure.how!r}): the column {name!r} holds {sort}, which have no"
                    f" {measure.how!r} here. {_advice(name, measure.how, sort)}"
                )


def _advice(name: str, how: str, sort: str) -> str:
    if sort == TEXT and how in {"sum", "mean", "std", "var"}:
        return (
            "If it is to be numbers, a value in it is none:"
            f" read_csv(..., dtype={{{name!r}: 'float64'}}) sends the rows with such values to the rejects."
        )
    offered = ", ".join(sorted(_OF[sort]))
    return f"There are {offered}. For anything else use map_groups."
