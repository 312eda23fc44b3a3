"""Write rows as JSON lines: every number with all its digits, missing values as null."""

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from . import _floats
from ._json import as_json
from ._quotes import in_memory
from .cells import by_category, is_category, one_chunk, plain_array, python_objects

if TYPE_CHECKING:
    import pandas as pd

_JSON: Final = pa.json_(pa.string())
"""The type of a column whose cells are JSON already."""

_TEXT: Final = pa.large_string()
"""What lines are put together as: those of one batch may be longer than the 2 GB that a plain string array holds."""

_NULL: Final = pa.scalar("null", _TEXT)
_QUOTE, _BACKSLASH, _SPACE = b'"\\ '
"""The bytes that JSON escapes are two of these, and all that are less than the third."""


def column_of(series: "pd.Series[Any]") -> pa.Array:
    """Make an Arrow array of a column of pandas: truths, numbers and text as they are, all else as JSON already."""
    if is_category(series):
        return by_category(series, column_of).dictionary_decode()
    array = plain_array(series)
    return _as_json(python_objects(series)) if array is None else array


def _as_json(values: list[Any]) -> pa.Array:
    texts = [None if value is None else as_json(value) for value in values]
    return pa.ExtensionArray.from_storage(_JSON, pa.array(texts, pa.string()))


def render(table: pa.Table, *, rows: int) -> bytes | memoryview:
    """Write rows as JSON lines; ``rows`` counts them also where there is no column."""
    if not table.num_columns:
        return b"{}\n" * rows
    if not len(table):
        return b""
    columns = [one_chunk(column) for column in table.columns]
    quotes = ['"' if _is_text(column.type) and not column.null_count else "" for column in columns]
    between = zip(["", *quotes], [*_keys(table.column_names), "}\n"], [*quotes, ""], strict=True)
    around = [pa.scalar(f"{behind}{text}{before}", _TEXT) for behind, text, before in between]
    cells = [_escaped(column) if quote else _rendered(column) for column, quote in zip(columns, quotes, strict=True)]
    pieces = [piece for pair in zip(around, cells, strict=False) for piece in pair]
    lines = pc.binary_join_element_wise(*pieces, around[-1], pa.scalar("", _TEXT))
    return in_memory(lines)[0].data


def _keys(names: list[str]) -> Iterator[str]:
    """Write what stands before each cell of a row."""
    for at, name in enumerate(names):
        yield f"{',' if at else '{'}{json.dumps(name, ensure_ascii=False)}:"


def _rendered(column: pa.Array) -> pa.Array:
    """Write the cells of a column as JSON: at once, where Arrow writes what Python does."""
    kind = column.type
    if pa.types.is_floating(kind):
        values = column.to_numpy(zero_copy_only=False).astype(np.float64)
        return _floats.as_text(np.where(np.isfinite(values), values, np.nan)).fill_null(_NULL)
    if _is_text(kind):
        quote = pa.scalar('"', _TEXT)
        return pc.binary_join_element_wise(quote, _escaped(column), quote, pa.scalar("", _TEXT)).fill_null(_NULL)
    if pa.types.is_integer(kind) and not column.null_count:
        return _floats.by_json(column.to_numpy())
    if pa.types.is_integer(kind) or pa.types.is_boolean(kind) or pa.types.is_null(kind):
        return column.cast(_TEXT).fill_null(_NULL)
    if kind == _JSON:
        return column.storage.cast(_TEXT).fill_null(_NULL)
    is_moment = pa.types.is_timestamp(kind) or pa.types.is_duration(kind)  # Python's own have no nanoseconds
    return pa.array([as_json(cell) for cell in (column.to_pandas() if is_moment else column.to_pylist())], _TEXT)


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _escaped(column: pa.Array) -> pa.Array:
    """Write texts as JSON has them between quotes. Raises ``ValueError`` where one is not Unicode."""
    texts = column.cast(_TEXT)
    texts.validate(full=True)
    for mark in _marks(texts):
        texts = pc.replace_substring(texts, mark, json.dumps(mark)[1:-1])
    return texts


def _marks(texts: pa.Array) -> list[str]:
    """List the characters to escape that occur, a backslash before those that are escaped by one."""
    letters, _ = in_memory(texts)
    marks = letters[(letters < _SPACE) | (letters == _QUOTE) | (letters == _BACKSLASH)]
    return sorted(map(chr, np.unique(marks)), key=lambda mark: mark != "\\")
