"""Read parts of CSV and TSV: RFC 4180, with the values that pandas would read."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import numpy as np
import pyarrow as pa

from muster._dialects import Dialect, Reading
from muster._model import Column
from muster.errors import DataError

from ._arrow_text import ArrowText
from ._by_arrow import by_arrow, empty
from ._by_cell import by_cell, decode, observed, present
from .dates import date_format_of
from .records import records
from .rows import Rows
from .rules import rules_of
from .top import BOM

_ALL: Final = Reading()


def read(  # noqa: PLR0913 (the records, where they stand, and how to understand them)
    data: bytes,
    *,
    row: int,
    order: Sequence[str],
    columns: tuple[Column, ...],
    dialect: Dialect,
    reading: Reading = _ALL,
) -> Rows:
    """Read records as rows of the settled types; the first is data row ``row`` of its file.

    ``order`` names the file's columns as they stand; the table comes back in the order of ``columns``. First by Arrow
    alone; where Arrow finds, or might have missed, what does not fit, cell by cell with pandas' rules.
    """
    text = ArrowText(data, order, dialect, reading)
    try:
        if (table := by_arrow(text, columns, reading)) is not None:
            return Rows(table, np.arange(row, row + len(table)))
    except pa.ArrowInvalid as error:
        if "Empty CSV file" in str(error):
            return Rows(empty(columns), np.empty(0, np.int64))
    raw, ragged = text.cells([column.name for column in columns])
    rows = Rows(raw, _numbers(row, len(raw), ragged), _shifted(ragged, row))
    decode(rows)
    return by_cell(rows, columns, reading)


def read_together(
    stretches: Sequence[bytes],
    *,
    order: Sequence[str],
    columns: tuple[Column, ...],
    dialect: Dialect,
    reading: Reading = _ALL,
) -> pa.Table | None:
    """Read records of several files whose columns stand in the same order as one table, in the order of ``columns``.

    ``None`` where Arrow alone cannot do that: then each is to be read by itself. No stretch may be a fault, such as a
    quote that is never closed: those are tasks of their own, and what is opened in one would swallow the next.
    """
    if not dialect.is_common or any(stretch.startswith(BOM) for stretch in stretches):
        return None
    data = b"".join(stretch if stretch.endswith(b"\n") else stretch + b"\n" for stretch in stretches)
    try:
        return by_arrow(ArrowText(data, order, dialect, reading), columns, reading)
    except pa.ArrowInvalid:
        return None


def observe(  # noqa: PLR0913 (likewise)
    data: bytes,
    *,
    order: Sequence[str],
    dialect: Dialect,
    reading: Reading = _ALL,
    used: Sequence[str] | None = None,
    dates: Mapping[str, str] | None = None,
) -> dict[str, frozenset[str]]:
    """Name the kinds of value in each column of these records, or in those that are used.

    ``dates`` are the columns of dates, with their formats.
    """
    used = [name for name in order if used is None or name in used]
    try:
        table, _ = ArrowText(data, order, dialect, reading).cells(used)
    except pa.ArrowInvalid:
        return {}
    rows = Rows(table, np.arange(len(table)))
    decode(rows)
    formats = dates or {}
    return {
        name: observed(present(rows.table[name], rules_of(reading, name)), name, formats.get(name), reading)
        for name in used
    }


def date_formats(
    data: bytes, names: Sequence[str], *, order: Sequence[str], dialect: Dialect, reading: Reading
) -> dict[str, str]:
    """Tell in which format the first cell of some columns is written, where one of these records has any."""
    names = [name for name in names if name in order]
    try:
        table, _ = ArrowText(data, order, dialect, reading).cells(names)
    except pa.ArrowInvalid:
        return {}
    rows = Rows(table, np.arange(len(table)))
    decode(rows)
    formats = {
        name: date_format_of(present(rows.table[name], rules_of(reading, name)), dayfirst=reading.dayfirst)
        for name in names
    }
    return {name: written for name, written in formats.items() if written}


def _numbers(row: int, good: int, ragged: dict[int, str]) -> np.ndarray:
    numbers = np.arange(row, row + good + len(ragged))
    return np.delete(numbers, list(ragged)) if ragged else numbers


def _shifted(ragged: dict[int, str], row: int) -> dict[int, str]:
    return {row + at: error for at, error in ragged.items()}


def raw_records(data: bytes, dialect: Dialect, *, wanted: Iterable[int]) -> dict[int, tuple[int, str]]:
    """Find the text of some records, counted from 0, with where they start in ``data``."""
    numbers, texts = set(wanted), {}
    for at, (start, end) in enumerate(records(data, dialect)):
        if at in numbers:
            text = data[start:end].decode(dialect.encoding, errors="backslashreplace")
            texts[at] = (start, text.removesuffix("\n").removesuffix("\r"))
    if len(texts) < len(numbers):
        raise DataError("A rejected row could not be found again: the input changed while it was read.")
    return texts
