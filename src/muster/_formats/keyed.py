"""Rows in a block: the columns by their places, and behind them the number of each row.

Rows of the input have their numbers in their file, and what steps made of it, those among what one task gave.
"""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa

from muster._model import Column, Grouping

from . import between, keys
from .blocks import StoredSection
from .rows import Rows, type_of

ROW: Final = "row"
"""The last column of a block: the number of each row."""


class Numbered(NamedTuple):
    """Rows of a block, and their numbers."""

    table: pa.Table
    numbers: np.ndarray


def read_numbered(section: StoredSection, first: int, last: int, *, agreed: bytes, key: Sequence[str] = ()) -> Numbered:
    """Read some stretches; what steps have made gets the schema that all of it agrees on, and keeps its ``key``."""
    table = section.read(first, last)
    numbers = table.column(table.num_columns - 1).to_numpy()
    rows = table.select(range(table.num_columns - 1))
    return Numbered(between.typed(rows, section.said, agreed, key=key) if agreed else rows, numbers)


def table_of(rows: Rows) -> pa.Table:
    """Put the numbers of rows beside them, under names that each stand once."""
    columns = [*rows.table.columns, pa.chunked_array([pa.array(rows.numbers, pa.int64())])]
    table = pa.table(columns, names=[*map(str, range(rows.table.num_columns)), ROW])
    return table.replace_schema_metadata(rows.table.schema.metadata)


def renamed(table: pa.Table, names: Sequence[str]) -> pa.Table:
    """Give columns names, and keep what the schema says of pandas' dtypes: ``Int64`` with gaps is to be no float."""
    return table.rename_columns(names).replace_schema_metadata(table.schema.metadata)


def places_of(names: tuple[str, ...], columns: tuple[Column, ...]) -> list[int]:
    """Say where the columns of a key stand."""
    listed = [column.name for column in columns]
    return [listed.index(name) for name in names]


def without_made(
    table: pa.Table, columns: tuple[Column, ...], grouping: Grouping
) -> tuple[pa.Table, tuple[Column, ...]]:
    """Leave out the columns of the key that functions have made: the rows themselves do not have them."""
    if not grouping.made:
        return table, columns
    kept = [at for at, column in enumerate(columns) if column.name not in grouping.made]
    return table.select(kept), tuple(columns[at] for at in kept)


def hashes_of(
    table: pa.Table, names: tuple[str, ...], columns: tuple[Column, ...]
) -> np.ndarray[Any, np.dtype[np.uint64]]:
    """Hash the key of each row of a block."""
    return keys.hashes(((table.column(at), type_of(columns[at])) for at in places_of(names, columns)), names)


def numbered(keys: Sequence[Any], grouping: Grouping, *, sort: bool) -> np.ndarray:
    """Give each row the number of its group, as pandas tells groups apart and, perhaps, sorts them."""
    by: Any = keys if len(keys) > 1 else keys[0]
    grouped = keys[0].to_frame().groupby(by, sort=sort, dropna=grouping.dropna, observed=True)
    codes: np.ndarray = grouped.ngroup().to_numpy()
    return codes


def ranks_of(keys: Sequence[Any], grouping: Grouping) -> np.ndarray:
    """Say at which place each key stands among all, where each is there once. Keys come by their first rows."""
    return numbered(keys, grouping, sort=True).astype(np.int64)
