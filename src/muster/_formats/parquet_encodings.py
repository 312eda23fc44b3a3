"""Which columns of a row group are worth a dictionary: one that nearly each value has an entry of is made in vain.

Arrow makes one of every column, and gives up when it takes 1 MB: until then, each value has been looked up, and what is
written is larger than without. Integers as differences (``DELTA_BINARY_PACKED``) would take a fifth less, but not every
reader of Parquet reads those. All depends on the rows of the row group alone, whatever pieces they came in.
"""

from collections.abc import Sequence
from functools import lru_cache
from random import Random
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

_STRETCHES: Final = 8
"""They lie evenly in the column: one place may hold one day, or one customer."""

_ROWS_OF_A_STRETCH: Final = 512
"""Rows in a row, as equal values often stand together; those that come again after more rows are not seen so."""
_SAMPLE: Final = _STRETCHES * _ROWS_OF_A_STRETCH
"""Rows of all stretches; and how many are drawn by lot besides, as values may come again in any other order."""
_NEARLY_ALL: Final = 0.99
"""The share that differs of a sample from about 200,000 values; a dictionary of numbers holds 131,072."""


def options_of(table: pa.Table, paths: Sequence[str]) -> dict[str, Any]:
    """Say how a writer of Parquet is to encode these columns, which are those of one row group, each in one chunk.

    ``paths`` names all columns of numbers, text and so on that Parquet makes of them, also those within nested ones.
    """
    if len(table) < _SAMPLE:
        return {}
    drawn = _drawn(len(table))
    plain = {
        field.name for field in table.schema if _is_simple(field, paths) and _differs(table.column(field.name), drawn)
    }
    return {"use_dictionary": [path for path in paths if path not in plain]}


def _is_simple(field: pa.Field, paths: Sequence[str]) -> bool:
    """Tell whether a column is one of Parquet's, by a name that no other has."""
    kind = field.type
    is_text = pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_binary(kind)
    is_float = pa.types.is_float32(kind) or pa.types.is_float64(kind)
    return (is_text or is_float or _is_integer(kind)) and paths.count(field.name) == 1


def _is_integer(kind: pa.DataType) -> bool:
    """Tell whether Parquet stores integers of a type, also those that mean dates, times or spans."""
    return bool(pa.types.is_integer(kind) or (pa.types.is_temporal(kind) and not pa.types.is_interval(kind)))


@lru_cache(maxsize=8)
def _drawn(rows: int) -> pa.Array:
    """Draw rows by lot, none twice; the same ones each time, as the same rows are to become the same bytes.

    Kept, as all shares of a row group ask for the same.
    """
    draw = Random(rows).random  # noqa: S311 (nobody is to be kept from guessing it)
    return pa.array(sorted({int(draw() * rows) for _ in range(_SAMPLE)}))


def _differs(column: pa.ChunkedArray, drawn: pa.Array) -> bool:
    step = len(column) // _STRETCHES
    stretches = [chunk for at in range(_STRETCHES) for chunk in column.slice(at * step, _ROWS_OF_A_STRETCH).chunks]
    return _nearly_all_differ(pa.chunked_array(stretches)) and _nearly_all_differ(column.take(drawn))


def _nearly_all_differ(sample: pa.ChunkedArray) -> bool:
    values = len(sample) - sample.null_count
    return values > 0 and bool(pc.count_distinct(sample).as_py() >= _NEARLY_ALL * values)
