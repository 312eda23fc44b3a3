"""Read CSV cell by cell, by the rules of pandas: what does not fit is named, and nothing becomes missing in silence."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from muster._dialects import Reading
from muster._model import Column

from ._by_arrow import is_dated
from .dates import DATES, read_dates
from .encodings import Garbled
from .kinds import ARROW_TYPES, observed_kinds, settled_type, typed_cells
from .rows import Rows, type_of
from .rules import Rules, rules_of


def decode(rows: Rows) -> None:
    """Make text of a table of bytes; a row that is not valid in the input's encoding becomes a bad one."""
    texts, good = [], np.ones(len(rows.table), bool)
    for name in rows.table.column_names:
        text, undecodable = _text(rows.table[name])
        _blame(rows, undecodable, Garbled(f"column {name!r}: not valid in the input's encoding"))
        good &= ~undecodable
        texts.append(text)
    rows.table = pa.table(texts, names=rows.table.column_names)
    if not good.all():
        rows.table, rows.numbers = rows.table.filter(pa.array(good)), rows.numbers[good]


def by_cell(rows: Rows, columns: tuple[Column, ...], reading: Reading) -> Rows:
    """Give each column its type. A cell that its type does not hold makes its row a bad one.

    Where a cell is of a kind that the column was not settled by, it is a misfit, and nobody sees the rows: the run
    settles the types anew.
    """
    arrays, unfit = [], np.zeros(len(rows.table), bool)
    for column in columns:
        rules = rules_of(reading, column.name)
        cells = present(rows.table[column.name], rules)
        if not column.fixed:
            written = column.dates if DATES in column.kinds else None
            kinds = observed(cells, column.name, written, reading)
            if settled_type(kinds | column.kinds) != settled_type(column.kinds):
                rows.misfits[column.name] = kinds
        type_name = type_of(column)
        if is_dated(column):
            typed, misfit = _as_moments(cells, column, reading), np.zeros(len(cells), bool)
        else:
            typed, misfit = typed_cells(cells, type_name, rules)
        if column.name not in rows.misfits:
            for at in np.flatnonzero(misfit).tolist():
                _blame_one(rows, at, f"column {column.name!r}: {_shown(cells[at].as_py())} is not {type_name}")
            unfit |= misfit
        arrays.append(rows.table[column.name] if type_name == "verbatim" else typed)
    keep = ~unfit
    table = pa.table(arrays, names=[column.name for column in columns])
    return Rows(table.filter(pa.array(keep)), rows.numbers[keep], rows.bad, rows.misfits)


def _as_moments(cells: pa.Array, column: Column, reading: Reading) -> pa.Array:
    """Read dates whose kinds fit; of those that do not the run learns by the misfits, and nobody sees these."""
    moments = read_dates(cells, column.dates, dayfirst=reading.dayfirst)[1]
    target = ARROW_TYPES[type_of(column)]
    if moments is None:
        return pa.nulls(len(cells), target)
    try:
        return pa.array(moments).cast(target)
    except pa.ArrowInvalid:
        return pa.nulls(len(cells), target)


def present(cells: pa.ChunkedArray, rules: Rules) -> pa.Array:
    """Make null the cells that are missing."""
    array = cells.combine_chunks()
    return pc.if_else(pc.is_in(array, value_set=rules.missing_cells), pa.scalar(None, pa.string()), array)


def _blame(rows: Rows, which: np.ndarray, error: str) -> None:
    for at in np.flatnonzero(which).tolist():
        _blame_one(rows, at, error)


def _blame_one(rows: Rows, at: int, error: str) -> None:
    rows.bad.setdefault(int(rows.numbers[at]), error)


def _shown(text: str | None) -> str:
    return "a missing value" if text is None else repr(text[:80])


def _text(cells: pa.ChunkedArray) -> tuple[pa.Array, np.ndarray]:
    """Read bytes as UTF-8; also a mask of the cells that are not."""
    array = cells.combine_chunks() if cells.num_chunks != 1 else cells.chunk(0)
    try:
        return array.cast(pa.string()), np.zeros(len(array), bool)
    except pa.ArrowInvalid:
        pass
    texts = []
    for cell in array.to_pylist():
        try:
            texts.append(None if cell is None else cell.decode())
        except UnicodeDecodeError:
            texts.append(None)
    decoded = pa.array(texts, pa.string())
    return decoded, pc.and_not(array.is_valid(), decoded.is_valid()).to_numpy(zero_copy_only=False)


def observed(cells: pa.Array, name: str, written: str | None, reading: Reading) -> frozenset[str]:
    """Name the kinds of a column's cells; those of dates where it has a format, or would have one."""
    if written is None:
        return observed_kinds(cells, rules_of(reading, name))
    return read_dates(cells, written, dayfirst=reading.dayfirst)[0]
