"""Split text as pandas' tokenizer does where escapes, comments or blanks before cells count: exactly, but slower.

Only these rare dialects go through here. A grammar of regular expressions finds records and their cells; ``rewritten``
makes common CSV of them, so that nothing else need know of these dialects.
"""

import functools
import re
from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np

from muster._dialects import Dialect

from .lines import blanks, flow_of, without_mark
from .stitch import Flow, ScannedBlock

_LINE_ENDS: Final = b"\r\n"


class _Grammar(NamedTuple):
    """A dialect as regular expressions.

    ``record`` matches a whole record with its line end; ``rest`` what is left of one whose start, inside a quoted cell,
    lies before the text. In both, a group matches only where the text ends before the record does. The groups of
    ``cell`` are the text in quotes, what follows the quotes, text without quotes, and the delimiter, which a record's
    last cell lacks.
    """

    record: re.Pattern[bytes]
    rest: re.Pattern[bytes]
    cell: re.Pattern[bytes]
    no_row: bytes
    """The bytes that a line without a record begins with, if it is not one of blanks alone."""
    blanks: bytes
    """The bytes of a line that is."""


@functools.lru_cache(maxsize=16)
def _grammar(dialect: Dialect) -> _Grammar:
    delimiter, quote, escape, comment = (
        re.escape(byte.encode()) for byte in (dialect.delimiter, dialect.quote, dialect.escapechar, dialect.comment)
    )
    escaped = escape + rb"[\s\S]?|" if escape else b""
    doubled = quote + quote + b"|" if dialect.doublequote else b""
    plain = b"(?:" + escaped + b"[^" + delimiter + escape + comment + rb"\r\n])*+"
    inside = b"(?:" + escaped + doubled + b"[^" + quote + escape + b"])*+"
    # Behind a quote that might have been the first of two, pandas takes the next byte for text, whatever it is.
    behind = b"(?:[^" + delimiter + rb"\r\n]" + plain + b")?+" if dialect.doublequote else plain
    spaces = b" *+" if dialect.skipinitialspace else b""
    note = b"(?:" + comment + rb"[^\r\n]*+)?+" if comment else b""
    closed = b"(?:" + quote + behind + rb"|\Z())"
    cell = spaces + b"(?:" + (quote + inside + closed + b"|" if quote else b"") + plain + b")"
    record = b"(?:" + delimiter + cell + b")*+" + note + rb"(?:\r\n|[\r\n]|\Z())"
    quoted = quote + b"(" + inside + b")(?:" + quote + b"(" + behind + rb")|\Z)|" if quote else b"()()"
    return _Grammar(
        record=re.compile(cell + record),
        rest=re.compile(inside + closed + record if quote else b"(?!)"),
        cell=re.compile(
            spaces + b"(?:" + quoted + b"(" + plain + b"))(?:(" + delimiter + b")|" + note + rb"(?:\r\n|[\r\n]|\Z))"
        ),
        no_row=_LINE_ENDS + dialect.comment.encode(),
        blanks=blanks(dialect.delimiter),
    )


def scan(data: bytes, dialect: Dialect, *, start: int, atom: int, assume_quoted: bool | None = None) -> ScannedBlock:
    """Scan one block of bytes, as ``_lines.scan`` does; both flows are worked out unless one is asked for."""
    if not start:
        data = without_mark(data)
    assumptions = [False, True] if assume_quoted is None and dialect.quote else [bool(assume_quoted)]
    flows = {quoted: _flow(data, dialect, start, atom, quoted=quoted) for quoted in assumptions}
    return ScannedBlock(start, start + len(data), flows.get(False), flows.get(True))


def _flow(data: bytes, dialect: Dialect, start: int, atom: int, *, quoted: bool) -> Flow:
    ends, are_rows, ends_quoted, is_open_a_row = [], [], False, True
    for match in _matches(data, dialect, quoted=quoted):
        if match.end() < len(data) or match.lastindex is None:
            ends.append(match.end())
            are_rows.append(_is_row(match, dialect) or (quoted and not match.start()))
        else:
            ends_quoted = any(match.end(group) >= 0 for group in range(1, match.re.groups))
            is_open_a_row = _is_row(match, dialect) or (quoted and not match.start())
    flow = flow_of(
        np.array(ends, np.int64),
        np.array(are_rows, bool),
        length=len(data),
        start=start,
        atom=atom,
        quoted=quoted,
        ends_quoted=ends_quoted,
    )
    return flow._replace(is_open_a_row=is_open_a_row)


def _matches(data: bytes, dialect: Dialect, *, quoted: bool = False) -> Iterator[re.Match[bytes]]:
    grammar, at = _grammar(dialect), 0
    if quoted and data and (match := grammar.rest.match(data)):
        yield match
        at = match.end()
    if at < len(data):
        yield from (match for match in grammar.record.finditer(data, at) if match.start() < len(data))


def _is_row(match: re.Match[bytes], dialect: Dialect) -> bool:
    grammar = _grammar(dialect)
    first = match.string[match.start()]
    return first not in grammar.no_row and (first not in grammar.blanks or bool(match[0].strip(grammar.blanks)))


def line_at(data: bytes, at: int, dialect: Dialect) -> tuple[int, bool]:
    """Tell where the record ends that starts at ``at``, and whether it is a row: no blank line, and no comment."""
    match = _grammar(dialect).record.match(data, at)
    if match is None:
        raise AssertionError("any text is a record")
    return match.end(), _is_row(match, dialect)


def records(data: bytes, dialect: Dialect) -> Iterator[tuple[int, int]]:
    """Yield where each record that is a row starts and ends, for bytes that begin with a record."""
    return ((match.start(), match.end()) for match in _matches(data, dialect) if _is_row(match, dialect))


def rewritten(data: bytes, dialect: Dialect) -> bytes:
    """Write records in the common dialect, every cell in quotes, and leave out what is no row."""
    return b"".join(b'"' + b'","'.join(cells) + b'"\n' for cells in _rows(data, dialect))


def _rows(data: bytes, dialect: Dialect) -> Iterator[list[bytes]]:
    """Yield the cells of each row, quotes in them doubled."""
    grammar, cells = _grammar(dialect), list[bytes]()
    for match in grammar.cell.finditer(data):
        if not cells and (match.start() == len(data) or not _is_row(match, dialect)):
            continue
        cells.append(_text(match, dialect).replace(b'"', b'""'))
        if match[4] is None:
            yield cells
            cells = []


def _text(match: re.Match[bytes], dialect: Dialect) -> bytes:
    inside, behind, plain = match.group(1, 2, 3)
    escape = dialect.escapechar.encode()
    if inside is None or not dialect.quote:
        return _without_escapes(plain, escape)
    if dialect.doublequote:
        quote = dialect.quote.encode()
        first, rest = (behind or b"")[:1], (behind or b"")[1:]
        return _without_escapes(inside, escape, doubled=quote) + first + _without_escapes(rest, escape)
    return _without_escapes(inside, escape) + _without_escapes(behind or b"", escape)


def _without_escapes(text: bytes, escape: bytes, *, doubled: bytes = b"") -> bytes:
    """Replace each escape and its byte by the byte, and each doubled quote by one."""
    if not escape or escape not in text:
        return text.replace(doubled * 2, doubled) if doubled else text
    pattern = re.escape(escape) + rb"([\s\S])" + (b"|" + re.escape(doubled * 2) if doubled else b"")
    return re.sub(pattern, lambda match: match[1] or doubled, text)
