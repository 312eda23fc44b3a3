"""Split text into records exactly, in parallel, also where cells hold newlines.

A file is cut into blocks, each from just after one newline byte to just after another. Whether a block begins inside a
quoted cell is not known when it is read, so it is scanned under both assumptions (two ``Flow``s), and ``_stitch``
picks the true one block by block: a finite-state machine run speculatively, after Ge et al., "Speculative Distributed
CSV Data Parsing for Big Data Analytics" (SIGMOD 2019), made exact. A quote opens a cell only at the start of a field
and is text elsewhere, as in pandas' and Arrow's parsers.
"""

from bisect import bisect
from collections.abc import Iterator
from itertools import pairwise
from typing import Final

import numpy as np
import numpy.typing as npt

from .newlines import AT_ONCE, BLANKS, BOM, Offsets, each_line, has_pair, places_of, scan_lines, spread
from .stitch import Flow, ScannedBlock

Mask = npt.NDArray[np.bool_]
Text = npt.NDArray[np.uint8]

_NEWLINE: Final = 10
_RETURN: Final = 13
_BLANK: Final = 32
"""No byte that may be of a blank line is larger."""
_WITHIN_A_CELL: Final = Flow(ends_quoted=True, lead=0, cuts=(), rows=(), open=None)
"""The flow of a block without quotes that begins inside a quoted cell."""


def scan_quoted(  # noqa: PLR0913 (a block is described by where it lies, its dialect and what to assume)
    data: bytes, *, start: int, delimiter: str, quote: str, atom: int, assume_quoted: bool | None = None
) -> ScannedBlock:
    """Scan one block of bytes that begins at offset ``start`` of its file, with cuts about every ``atom`` bytes.

    Under ``assume_quoted`` only that flow is worked out; without it, those that are probable. Without a ``delimiter``
    records are lines, as those of JSON are.
    """
    if not delimiter:
        return scan_lines(data, start=start, atom=atom)
    if not start:
        data = without_mark(data)
    text = np.frombuffer(data, np.uint8)
    has_quotes = bool(quote) and quote.encode() in data
    if not has_quotes and (plain := _flow_of_plain(data, text, start=start, atom=atom)):
        both = (None if assume_quoted else plain), (None if assume_quoted is False else _WITHIN_A_CELL)
        return ScannedBlock(start, start + len(data), *both)
    quotes = places_of(ord(quote), text) if has_quotes else np.empty(0, np.int64)
    terminators = _terminators(data, text)
    opening = _may_open(text, quotes, delimiter)
    assumptions = [False, True] if assume_quoted is None else [assume_quoted]
    if assume_quoted is None and len(quotes):
        assumptions = [state for state in assumptions if opening[int(state) :: 2].all()] or assumptions
    flows = {
        quoted: _flow(
            text,
            _effective(quotes, opening, quoted=quoted),
            terminators,
            start,
            atom,
            delimiter=delimiter,
            quoted=quoted,
        )
        for quoted in assumptions
    }
    return ScannedBlock(start, start + len(data), flows.get(False), flows.get(True))


def _flow_of_plain(data: bytes, text: Text, *, start: int, atom: int) -> Flow | None:
    """Sum up text without quotes, where no line begins with a blank: then each newline ends a row, and nothing else.

    ``None`` where that may not be so. Newlines are counted, not listed: of most files that is all there is to do.
    """
    if b"\r" in data or not data or data[0] <= _BLANK:
        return None
    borders, rows = [0, *_cuts_of_plain(data, atom), len(data)], list[int]()
    many = max(AT_ONCE // atom, 1)
    for at in range(0, len(borders) - 1, many):
        own = borders[at : at + many + 1]
        begin, end = own[0], own[-1]
        ends = text[begin:end] == _NEWLINE
        are_blank = text[begin + 1 : end + 1] <= _BLANK  # the bytes behind
        if (ends[: len(are_blank)] & are_blank).any():
            return None
        rows += [int(np.count_nonzero(ends[one - begin : other - begin])) for one, other in pairwise(own)]
    last = data.rfind(b"\n") + 1
    return Flow(
        ends_quoted=False,
        lead=0,
        cuts=tuple(border + start for border in borders[:-1]),
        rows=tuple(rows),
        open=start + last if last < len(data) else None,
    )


def _cuts_of_plain(data: bytes, atom: int) -> Iterator[int]:
    """Yield what lies nearest behind every multiple of ``atom`` bytes of where newlines end, as ``spread`` does."""
    multiple = atom
    while multiple < len(data) and 0 < (end := data.find(b"\n", multiple - 1) + 1) < len(data):
        yield end
        multiple = (end // atom + 1) * atom


def blanks(delimiter: str) -> bytes:
    """Name the bytes of a line that is no row: as for pandas, those of its end, and blanks that are no delimiter."""
    return BLANKS.replace(delimiter.encode(), b"")


def _may_have_blank_lines(data: bytes, delimiter: str) -> bool:
    """Tell whether a line begins with a blank."""
    ends = [end for end in (b"\n", b"\r") if end in data]
    padding = [blank for blank in (b" ", b"\t") if blank != delimiter.encode() and blank in data]
    return any(data.startswith(blank) or any(has_pair(data, end + blank) for end in ends) for blank in padding)


def without_blank_lines(data: bytes, *, delimiter: str, quote: str) -> bytes:
    """Leave out the lines of blanks alone, which Arrow takes for rows, of bytes that begin with a record."""
    if not _may_have_blank_lines(data, delimiter):
        return data
    text = np.frombuffer(data, np.uint8)
    ends = _record_ends(data, text, delimiter=delimiter, quote=quote)
    starts = np.append(0, ends[:-1])
    blank = _blank(text, starts, ends, delimiter, first_is_whole=True)
    if not blank.any():
        return data
    kept = zip([0, *ends[blank].tolist()], [*starts[blank].tolist(), len(data)], strict=True)
    return b"".join(data[start:end] for start, end in kept)


def without_mark(data: bytes) -> bytes:
    """Replace a byte order mark by newlines: offsets stay, and a quote behind it stands at the start of a cell."""
    return b"\n" * len(BOM) + data[len(BOM) :] if data.startswith(BOM) else data


def _terminators(data: bytes, text: Text) -> Offsets:
    """Find the bytes that end a line: a newline, or a carriage return that no newline follows."""
    newlines = places_of(_NEWLINE, text)
    if b"\r" not in data or data.count(b"\r") == data.count(b"\r\n"):
        return newlines
    returns = places_of(_RETURN, text)
    behind = text[np.minimum(returns + 1, len(text) - 1)]
    return np.sort(np.concatenate((newlines, returns[behind != _NEWLINE])))


def _may_open(text: Text, quotes: Offsets, delimiter: str) -> Mask:
    """Tell for each quote whether it would open a cell if it stood outside one."""
    before = text[quotes - 1]
    may_open: Mask = (before == ord(delimiter)) | (before == _NEWLINE) | (before == _RETURN)
    if len(quotes):
        may_open |= before == text[quotes[0]]  # behind a quote
        may_open[0] |= quotes[0] == 0  # before which stands the last byte, for NumPy
    return may_open


def _effective(quotes: Offsets, opening: Mask, *, quoted: bool) -> Offsets:
    """Keep the quotes that open or close a cell; a quote that is plain text inside an unquoted cell is not one."""
    if opening[int(quoted) :: 2].all():
        return quotes
    kept = []
    closed_at = -2
    for at, may_open, after_quote in zip(
        quotes.tolist(), opening.tolist(), (np.diff(quotes, prepend=-2) == 1).tolist(), strict=True
    ):
        if quoted:
            quoted, closed_at = False, at
        elif may_open and (not after_quote or closed_at == at - 1):
            quoted = True
        else:
            continue
        kept.append(at)
    return np.array(kept, np.int64)


def _flow(  # noqa: PLR0913 (the block's bytes, its quotes and line ends, and how to cut it)
    text: Text, quotes: Offsets, terminators: Offsets, start: int, atom: int, *, delimiter: str, quoted: bool
) -> Flow:
    if len(quotes):
        outside = (np.searchsorted(quotes, terminators) & 1) == int(quoted)
        ends = terminators[outside] + 1
    else:
        ends = terminators[:0] + 1 if quoted else terminators + 1
    starts = np.concatenate(([0], ends[:-1])) if len(ends) else ends
    flow = flow_of(
        ends,
        ~_blank(text, starts, ends, delimiter, first_is_whole=not quoted),
        length=len(text),
        start=start,
        atom=atom,
        quoted=quoted,
        ends_quoted=quoted ^ bool(len(quotes) & 1),
    )
    if flow.open is None:
        return flow
    return flow._replace(is_open_a_row=bool(text[flow.open - start :].tobytes().strip(blanks(delimiter))))


def flow_of(  # noqa: PLR0913 (the records that end in a block, how it begins and ends, and how to cut it)
    ends: Offsets, are_rows: Mask, *, length: int, start: int, atom: int, quoted: bool, ends_quoted: bool
) -> Flow:
    """Sum a block up: ``ends`` are where its records end, counted from its start; some of them are blank, no rows."""
    counted = np.cumsum(are_rows)
    cut_at = spread(ends, length, atom, first=0 if quoted else atom)
    cuts = ends[cut_at]
    before = counted[cut_at]
    if not quoted:
        cuts, before = np.append(0, cuts), np.append(0, before)
    total = int(counted[-1]) if len(counted) else 0
    rows = np.diff(np.append(before, total))
    last = int(ends[-1]) if len(ends) else (None if quoted else 0)
    return Flow(
        ends_quoted=ends_quoted,
        lead=int(before[0]) if len(before) else total,
        cuts=tuple((cuts + start).tolist()),
        rows=tuple(rows.tolist()),
        open=start + last if last is not None and last < length else None,
    )


def _blank(text: Text, starts: Offsets, ends: Offsets, delimiter: str, *, first_is_whole: bool) -> Mask:
    """Tell which records are blank lines: no rows."""
    first = text[starts]
    blank: Mask = (first == _NEWLINE) | (first == _RETURN)
    no_text = blanks(delimiter)
    if any((first == byte).any() for byte in no_text.rstrip(b"\r\n")):
        has_text = np.ones(256, bool)
        has_text[[*no_text]] = False
        blank |= ~np.logical_or.reduceat(has_text[text[: ends[-1]]], starts)
    if not first_is_whole:
        blank[:1] = False
    return blank


def quoted_records(data: bytes, *, delimiter: str, quote: str) -> Iterator[tuple[int, int]]:
    """Yield where each record that is not blank starts and ends, for bytes that begin with a record."""
    if not delimiter:
        yield from each_line(data)
        return
    first = _plain_line(data, quote)
    if first and data[:first].strip(blanks(delimiter)):
        yield 0, first  # at once: who reads the header of a small file needs no more
    yield from _records_behind(first, data, delimiter=delimiter, quote=quote)


def _plain_line(data: bytes, quote: str) -> int:
    """Find where the first line ends, where that surely ends a record; else 0."""
    end = data.find(b"\n") + 1
    line = data[:end].removesuffix(b"\n").removesuffix(b"\r")
    return 0 if b"\r" in line or (quote and quote.encode() in line) else end


def _records_behind(first: int, data: bytes, *, delimiter: str, quote: str) -> Iterator[tuple[int, int]]:
    """Yield the records from an offset on, at which one begins."""
    ends = _record_ends(data, np.frombuffer(data, np.uint8), delimiter=delimiter, quote=quote).tolist()
    start, blank = first, blanks(delimiter)
    for end in ends[bisect(ends, first) :]:
        if data[start:end].strip(blank):
            yield start, end
        start = end


def _record_ends(data: bytes, text: Text, *, delimiter: str, quote: str) -> Offsets:
    """Find where each record ends, the last one at the latest where the bytes do."""
    quotes = places_of(ord(quote), text) if quote else np.empty(0, np.int64)
    quotes = _effective(quotes, _may_open(text, quotes, delimiter), quoted=False)
    terminators = _terminators(data, text)
    ends = terminators[(np.searchsorted(quotes, terminators) & 1) == 0] + 1
    return ends if len(ends) and ends[-1] == len(data) else np.append(ends, len(data))
