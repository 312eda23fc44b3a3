"""Cut what has come to a file into whole records, and these into parts that are read alone."""

from typing import Final, NamedTuple

from muster._dialects import Dialect
from muster._formats.packed import check_is_text
from muster._formats.records import scan
from muster._formats.stitch import ScannedBlock, stitch
from muster._formats.survey import numbered
from muster._formats.top import top_of
from muster._model import LocalCopy, Part
from muster._words import bare
from muster.errors import DataError

_ATOM: Final = 16 << 10
"""About how many bytes a part has."""


class Text(NamedTuple):
    """How the text of files is written."""

    format: str
    dialect: Dialect
    usecols: tuple[object, ...] = ()


class Records(NamedTuple):
    """The whole records of some bytes, up to so many bytes; ``order`` names the columns, where a header is among them.

    ``parts`` are of file number 0.
    """

    bytes: int = 0
    rows: int = 0
    order: tuple[str, ...] = ()
    parts: tuple[Part, ...] = ()


def whole_records(  # noqa: PLR0913 (what to cut, how it is written, and where it stands)
    data: bytes, text: Text, *, start: int, row: int, spool: LocalCopy, name: str
) -> Records:
    """Find the records that are whole in bytes that begin at ``start`` of a file, with data row ``row``.

    ``spool`` is the file that will hold these bytes. A line that has no end yet is not whole, nor is a
    record whose quote is not closed; a header alone is left for when a row has come.
    Raises ``DataError`` for a header that cannot be read, ``UsageError`` for what is no text.
    """
    data = data[: data.rfind(b"\n") + 1]
    if not data or start or text.format != "csv":
        return _rows(data, text.dialect, start=start, row=row, local_copy=spool)
    check_is_text(data, spool.path, size=len(data), name=name)
    try:
        top = top_of(data, text.dialect, whole=False, usecols=text.usecols)
    except ValueError as error:
        raise DataError(
            f"The first row of {name!r} cannot be read: {bare(error)}. Mend it, or say with sep=, quotechar= or"
            " encoding= how the file is written."
        ) from error
    if top is None:
        return Records()
    order, begin = top
    found = _rows(data[begin:], text.dialect, start=begin, row=row, local_copy=spool)
    return found._replace(bytes=begin + found.bytes, order=order) if found.rows else Records()


def names_in(header: bytes, text: Text) -> tuple[str, ...]:
    """Name the columns that a line names. Raises ``ValueError`` or ``DataError`` where it is no header."""
    top = top_of(header + b"\n0\n", text.dialect, whole=False, usecols=text.usecols)
    return top[0] if top else ()


def why_no_header(header: bytes, text: Text) -> str:
    """Say why a line cannot be the header of what is read; empty where it can."""
    try:
        names = names_in(header, text)
    except (ValueError, DataError) as error:
        return f"its header {header[:200]!r} cannot be read: {bare(error)}"
    return "" if names else f"its header {header[:200]!r} names no columns"


def why_left(data: bytes, text: Text, *, start: int) -> str:
    """Say why bytes that begin at ``start`` of a file hold no whole row; nothing for a header or blank lines."""
    whole = data[: data.rfind(b"\n") + 1]
    if not whole and not start and b"\r" in data[:-1]:
        return "its lines end with \\r alone, which a stream does not read. Have them end with \\n"
    flow = scan(whole, text.dialect, start=start, atom=_ATOM, assume_quoted=False).plain if whole else None
    if flow is not None and flow.open is not None:
        return "a quote is opened there that is not closed"
    return "its last line has no end" if data[len(whole) :].strip() else ""


def _rows(data: bytes, dialect: Dialect, *, start: int, row: int, local_copy: LocalCopy) -> Records:
    if not data:
        return Records()
    block = _whole(scan(data, dialect, start=start, atom=_ATOM, assume_quoted=False))
    stretches, _ = stitch([block])
    parts = tuple(numbered(0, stretches, 0, has_header=False, unclosed=None, row=row, local_copy=local_copy))
    return Records(block.stop - start, sum(part.rows for part in parts), parts=parts)


def _whole(block: ScannedBlock) -> ScannedBlock:
    """Leave out the record that goes on behind these bytes."""
    flow = block.plain
    if flow is None or flow.open is None:
        return block
    return block._replace(stop=flow.open, plain=flow._replace(open=None, ends_quoted=False))
