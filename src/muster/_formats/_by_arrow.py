"""Read CSV by Arrow alone, where that gives what pandas gives: a table, or nothing where there is any doubt."""

from collections.abc import Sequence
from typing import Final

import numpy as np
import pyarrow as pa

from muster._dialects import Reading
from muster._model import Column

from ._arrow_text import ArrowText
from .dates import DATES, read_dates
from .kinds import ARROW_TYPES, settled_type, without_missing_numbers
from .rows import type_of
from .rules import Rules

_ALPHANUMERIC: Final = np.frombuffer(b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ", np.uint8)
_STRETCH: Final = 1 << 16
"""Bytes that are compared at once: what comes of so few stays in the processor's cache."""
_DOUBTFUL: Final = 2.0**63
"""A float as large as this may be written as an integer that int64 cannot hold: pandas keeps its digits."""


def by_arrow(text: ArrowText, columns: tuple[Column, ...], reading: Reading) -> pa.Table | None:
    """Read by Arrow alone; ``None`` where it may miss what does not fit. Raises ``ArrowInvalid`` for what it finds."""
    if not text.suits_arrow:
        return None
    dated = [column for column in columns if is_dated(column)]
    types = {column.name: ARROW_TYPES[type_of(column)] for column in columns}
    table = text.parsed(types | dict.fromkeys((column.name for column in dated), pa.string()))
    table = _with_moments(table, dated, reading)
    if table is None or _is_doubtful(table, columns, text):
        return None
    return _without_missing_numbers(table.select(list(types)), text.rules)


def empty(columns: tuple[Column, ...]) -> pa.Table:
    return pa.schema([(column.name, ARROW_TYPES[type_of(column)]) for column in columns]).empty_table()


def is_dated(column: Column) -> bool:
    return DATES in column.kinds and type_of(column).startswith("datetime")


def _with_moments(table: pa.Table, dated: Sequence[Column], reading: Reading) -> pa.Table | None:
    """Read the columns of dates, which are text yet; ``None`` when one of them does not fit its type."""
    for column in dated:
        cells = table[column.name].combine_chunks()
        kinds, moments = read_dates(cells, column.dates, dayfirst=reading.dayfirst)
        if moments is None or settled_type(kinds | column.kinds) != type_of(column):
            return None
        at = table.column_names.index(column.name)
        table = table.set_column(at, column.name, pa.array(moments).cast(ARROW_TYPES[type_of(column)]))
    return table


def _without_missing_numbers(table: pa.Table, rules: Rules) -> pa.Table:
    if not rules.missing_numbers:
        return table
    columns = [without_missing_numbers(column, rules) for column in table.columns]
    return pa.table(columns, names=table.column_names)


def _is_doubtful(table: pa.Table, columns: tuple[Column, ...], text: ArrowText) -> bool:
    """Tell whether Arrow may have read a value otherwise than pandas: 0x10, NAN, a huge integer, a missing one."""
    return any(_is_doubtful_column(table[column.name], column) for column in columns) or _has_hexadecimal(columns, text)


def _is_doubtful_column(cells: pa.ChunkedArray, column: Column) -> bool:
    type_name = type_of(column)
    if type_name in {"bigint", "verbatim"}:
        return True
    if type_name == "bool" or type_name.startswith(("int", "uint")):
        return bool(cells.null_count)
    if not type_name.startswith("float"):
        return False
    return any(_is_doubtful_float(chunk, is_fixed=bool(column.fixed)) for chunk in cells.chunks if len(chunk))


def _is_doubtful_float(cells: pa.Array, *, is_fixed: bool) -> bool:
    values = (cells.drop_null() if cells.null_count else cells).to_numpy()
    least, most = (values.min(), values.max()) if len(values) else (0, 0)
    return bool(np.isnan(most)) or not (is_fixed or max(most, -least) < _DOUBTFUL)


def _has_hexadecimal(columns: tuple[Column, ...], text: ArrowText) -> bool:
    """Tell whether an integer is written like ``0x1F``, which Arrow reads. In other columns such a cell is text."""
    names = [column.name for column in columns if pa.types.is_integer(ARROW_TYPES[type_of(column)])]
    if not names or not _may_have_hexadecimal(text.data):
        return False
    cells = text.parsed(dict.fromkeys(names, pa.binary()))
    return any(_has_x(bytes(chunk.buffers()[-1] or b"")) for column in cells.columns for chunk in column.chunks)


def _has_x(data: bytes) -> bool:
    return b"x" in data or b"X" in data


def _may_have_hexadecimal(data: bytes) -> bool:
    """Tell whether a cell may begin like ``0x1F``: then these two bytes stand behind no letter and no digit."""
    if not _has_x(data):
        return False
    text = np.frombuffer(data, np.uint8)
    return any(_may_begin(text, start) for start in range(0, len(text), _STRETCH))


def _may_begin(text: np.ndarray, start: int) -> bool:
    stretch = text[start : start + _STRETCH + 1]
    is_prefix = (stretch[:-1] == ord("0")) & ((stretch[1:] | ord(" ")) == ord("x"))
    if not is_prefix.any():
        return False
    at = np.flatnonzero(is_prefix) + start
    return at[0] == 0 or not np.isin(text[at - 1], _ALPHANUMERIC).all()
