"""How a CSV file begins: the lines that are skipped, the names of its columns, and where its rows start."""

import csv
import functools
import io
import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

from muster._dialects import Dialect
from muster._words import plural
from muster.errors import DataError

from ._tokens import line_at
from .records import records

BOM: Final = b"\xef\xbb\xbf"


_Row = tuple[int, int, int]
"""A row's line, counted from 0, and where it starts and ends."""


def top_of(
    data: bytes, dialect: Dialect, *, whole: bool, usecols: Sequence[object] = ()
) -> tuple[tuple[str, ...], int] | None:
    """Read the column names from the start of a file; also where its data starts.

    ``None`` when there is no row in ``data``, or none that surely ends there though ``data`` is not the whole file.
    Names are made as pandas makes them: ``a``, ``a.1``, ``Unnamed: 2``. Without a header row they are column numbers.
    Names that the user gives stand for themselves, where neither a header nor a row is needed to count the columns.
    Raises ``ValueError`` for a row that pandas cannot read, or that is not in the encoding, ``DataError`` where what
    the user says of the top is not so.
    """
    rows = _rows(data, dialect)
    for row, (line, start, end) in enumerate(rows):
        if end == len(data) and not whole:
            return None
        if row < (dialect.header_row or 0):
            continue
        names = _names(data[start:end], dialect, usecols)
        if dialect.header_row is None:
            _check_skipped(dialect, line)
            return names, start
        begin = end if isinstance(dialect.skiprows, int) else _behind_skipped(data, rows, dialect, whole=whole)
        return None if begin is None else (names, begin)
    if whole and dialect.header_row is None and dialect.names and not any(isinstance(at, int) for at in usecols):
        return dialect.names, len(data)
    if whole and dialect.has_preamble and data:
        raise DataError(
            f"skiprows={dialect.skiprows!r}: there is no header or row behind that. Count lines for skiprows, and rows"
            " that are left for header, both from 0."
            if dialect.skiprows
            else f"header={dialect.header!r}: there are fewer rows. Count them from 0."
        )
    return None


def _rows(data: bytes, dialect: Dialect) -> Iterator[_Row]:
    first = len(BOM) if data.startswith(BOM) else 0
    if not dialect.skiprows:
        return ((0, first + start, first + end) for start, end in records(data[first:], dialect))
    return _rows_left(data, first, dialect)


def _rows_left(data: bytes, at: int, dialect: Dialect) -> Iterator[_Row]:
    """Yield the rows that are not skipped. In skipped ones, as for pandas, escapes and comments are text."""
    plain = replace(dialect, escapechar="", comment="", skipinitialspace=False)
    for line in itertools.count():
        if at >= len(data):
            return
        is_skipped = line < dialect.skiprows if isinstance(dialect.skiprows, int) else line in dialect.skiprows
        end, is_row = line_at(data, at, plain if is_skipped else dialect)
        if is_row and not is_skipped:
            yield line, at, end
        at = end


def _behind_skipped(data: bytes, rows: Iterator[_Row], dialect: Dialect, *, whole: bool) -> int | None:
    """Find where the first row starts that follows the header, and the lines that are skipped there."""
    line, start, end = next(rows, (0, len(data), len(data)))
    if end == len(data) and not whole:
        return None
    _check_skipped(dialect, line)
    return start


def _check_skipped(dialect: Dialect, line: int) -> None:
    late = () if isinstance(dialect.skiprows, int) else [skipped for skipped in dialect.skiprows if skipped > line]
    if late and line:
        raise DataError(
            f"skiprows: line {min(late)} stands behind the first row, which is line {line}, and muster passes over"
            " lines before that alone. Leave it out, and drop the row in the function: its index is the row's number in"
            " the file."
        )


@functools.lru_cache(maxsize=64)  # of many files, most have the header of the one before
def _names(record: bytes, dialect: Dialect, usecols: Sequence[object]) -> tuple[str, ...]:
    return _plain_names(record, dialect) or _names_by_pandas(record, dialect, usecols)


def _plain_names(record: bytes, dialect: Dialect) -> tuple[str, ...]:
    """Split a header in which nothing is to be understood; nothing for any other: to load pandas takes half a second.

    That is a plain name for each column, and none of them twice.
    """
    if dialect != Dialect(dialect.delimiter, dialect.quote) or dialect.delimiter not in _PLAIN_DELIMITERS:
        return ()
    cells = record.removesuffix(b"\n").removesuffix(b"\r").split(dialect.delimiter.encode())
    is_plain = len({*cells}) == len(cells) and all(map(_PLAIN_NAME.fullmatch, cells))
    return tuple(cell.decode() for cell in cells) if is_plain else ()


_PLAIN_DELIMITERS: Final = frozenset(",;\t|")
_PLAIN_NAME: Final = re.compile(rb"[A-Za-z][A-Za-z0-9_.-]*+")


def _names_by_pandas(record: bytes, dialect: Dialect, usecols: Sequence[object]) -> tuple[str, ...]:
    import pandas as pd

    frame = pd.read_csv(
        io.StringIO(record.decode(dialect.encoding, dialect.encoding_errors)),
        sep=dialect.delimiter,
        quotechar=dialect.quote or '"',
        quoting=csv.QUOTE_MINIMAL if dialect.quote else csv.QUOTE_NONE,
        escapechar=dialect.escapechar or None,
        doublequote=dialect.doublequote,
        comment=dialect.comment or None,
        skipinitialspace=dialect.skipinitialspace,
        header=None if dialect.header_row is None or dialect.names else 0,
        dtype=str,
        index_col=False,
    )
    texts = tuple(str(name) for name in frame.columns)
    return _named(texts, dialect.names, usecols) if dialect.names else texts


def _named(numbers: tuple[str, ...], names: tuple[str, ...], usecols: Sequence[object]) -> tuple[str, ...]:
    """Give columns the user's names: all of them, or as in pandas those of the positions that are used, in order."""
    if len(names) == len(numbers):
        return names
    used = sorted({at for at in usecols if isinstance(at, int)})
    if len(used) == len(names) and used[-1] < len(numbers):
        chosen = dict(zip(used, names, strict=True))
        return tuple(chosen.get(at, f"column {number}") for at, number in enumerate(numbers))
    raise DataError(
        f"names: there {'is' if len(names) == 1 else 'are'} {plural(len(names), 'name')}, and the first row has"
        f" {plural(len(numbers), 'cell')}. Name every column; or say with usecols, by position, which columns the names"
        " are for."
    )
