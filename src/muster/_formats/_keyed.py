"""Rows of the input in a block: the columns by their places, and behind them the number of each row in its file."""

from typing import Any, Final

import numpy as np
import pyarrow as pa

from muster._model import Column

from . import _rows, keys

ROW: Final = "row"
"""The last column of a block: the number of each row in its file."""


def table_of(rows: _rows.Rows) -> pa.Table:
    """Put the numbers of rows beside them, under names that each stand once."""
    columns = [*rows.table.columns, pa.chunked_array([pa.array(rows.numbers, pa.int64())])]
    return pa.table(columns, names=[*map(str, range(rows.table.num_columns)), ROW])


def places_of(names: tuple[str, ...], columns: tuple[Column, ...]) -> list[int]:
    """Say where the columns of a key stand."""
    listed = [column.name for column in columns]
    return [listed.index(name) for name in names]


def hashes_of(
    table: pa.Table, names: tuple[str, ...], columns: tuple[Column, ...]
) -> np.ndarray[Any, np.dtype[np.uint64]]:
    """Hash the key of each row of a block."""
    return keys.hashes((table.column(at), _rows.type_of(columns[at])) for at in places_of(names, columns))
