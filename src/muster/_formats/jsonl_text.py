"""Write rows as JSON lines: every number with all its digits, missing values as null."""

import json
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from . import _cells
from ._json import as_json

if TYPE_CHECKING:
    import pandas as pd

_JSON: Final = pa.json_(pa.string())
"""The type of a column whose cells are JSON already."""


def column_of(series: "pd.Series[Any]") -> pa.Array:
    """Make an Arrow array of a column of pandas: truths, numbers and text as they are, all else as JSON already."""
    if _cells.is_category(series):
        return _cells.by_category(series, column_of).dictionary_decode()
    array = _cells.plain(series)
    return _as_json(_cells.objects(series)) if array is None else array


def _as_json(values: list[Any]) -> pa.Array:
    texts = [None if value is None else as_json(value) for value in values]
    return pa.ExtensionArray.from_storage(_JSON, pa.array(texts, pa.string()))


def render(table: pa.Table, *, rows: int) -> bytes:
    """Write rows as JSON lines; ``rows`` counts them also where there is no column."""
    if not table.num_columns:
        return b"{}\n" * rows
    if not len(table):
        return b""
    columns = [_rendered(column) for column in table.columns]
    names = [json.dumps(name, ensure_ascii=False) for name in table.column_names]
    lines = (
        "{" + ",".join(f"{name}:{cell}" for name, cell in zip(names, cells, strict=True)) + "}\n"
        for cells in zip(*columns, strict=True)
    )
    return "".join(lines).encode()


def _rendered(column: pa.ChunkedArray) -> list[str]:
    if column.type == _JSON:
        return ["null" if cell is None else cell for cell in column.to_pylist()]
    if pa.types.is_timestamp(column.type) or pa.types.is_duration(column.type):
        return [as_json(value) for value in column.to_pandas()]  # Python's own moments have no nanoseconds
    return [as_json(cell) for cell in column.to_pylist()]
