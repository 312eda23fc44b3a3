"""Where records start and end, in any dialect: the common ones at once, the rare ones by their grammar."""

from collections.abc import Iterable, Iterator

from muster._dialects import Dialect

from .lines import quoted_records, scan_quoted
from .stitch import ScannedBlock


def scan(data: bytes, dialect: Dialect, *, start: int, atom: int, assume_quoted: bool | None = None) -> ScannedBlock:
    """Scan one block of bytes that begins at offset ``start`` of its file, with cuts about every ``atom`` bytes.

    Under ``assume_quoted`` only that flow is worked out; without it, those that are probable.
    """
    if not dialect.is_common:
        from . import _tokens

        return _tokens.scan(data, dialect, start=start, atom=atom, assume_quoted=assume_quoted)
    return scan_quoted(
        data,
        start=start,
        delimiter=dialect.delimiter,
        quote=dialect.quote,
        atom=atom,
        assume_quoted=assume_quoted,
    )


def records(data: bytes, dialect: Dialect) -> Iterator[tuple[int, int]]:
    """Yield where each record that is a row starts and ends, for bytes that begin with a record."""
    if not dialect.is_common:
        from . import _tokens

        return _tokens.records(data, dialect)
    return quoted_records(data, delimiter=dialect.delimiter, quote=dialect.quote)


def locate(data: bytes, rows: Iterable[int], dialect: Dialect) -> list[int]:
    """Find where the given rows (counted from 0, ascending) start, for bytes that begin with a record."""
    starts = [start for start, _ in records(data, dialect)]
    return [starts[row] for row in rows]
