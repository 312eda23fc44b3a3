"""Columns that a file itself does not have: those that only other files have, and those that its folders name."""

from collections.abc import Collection, Mapping
from dataclasses import replace

import pyarrow as pa

from muster._model import Column

from .kinds import ARROW_TYPES
from .rows import Rows, type_of

FOLDER = "folder"
"""The fixed type of a column that folders name: text, whatever it looks like."""


def own_columns(columns: Collection[Column], order: Collection[str]) -> tuple[Column, ...]:
    """Choose the columns to read from a file that has those of ``order``; JSON lines have no order, and any columns."""
    return tuple(column for column in columns if column.fixed != FOLDER and (not order or column.name in order))


def with_absent_columns(rows: Rows, columns: Collection[Column], keys: Mapping[str, str | None]) -> Rows:
    """Give rows all columns, in their order: what folders say, and missing values for what other files have alone."""
    names = [column.name for column in columns]
    if rows.misfits or rows.table.column_names == names:
        return rows
    arrays = [
        rows.table[column.name]
        if column.name in rows.table.column_names
        else pa.repeat(pa.scalar(keys.get(column.name), ARROW_TYPES[type_of(column)]), len(rows.numbers))
        for column in columns
    ]
    return replace(rows, table=pa.table(arrays, names=names).replace_schema_metadata(rows.table.schema.metadata))
