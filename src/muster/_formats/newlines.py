"""Split text whose records are lines that end at a newline and nowhere else, as JSON lines do."""

from collections.abc import Iterator
from typing import Final

import numpy as np
import numpy.typing as npt

from .stitch import Flow, ScannedBlock

Offsets = npt.NDArray[np.int64]

BOM: Final = b"\xef\xbb\xbf"
BLANKS: Final = b" \t\r\n"
"""What JSON takes for white space, and of what blank lines of CSV are."""

AT_ONCE: Final = 256 << 10
"""How many bytes are compared at once: so many, and what comes of them, stay in the cache of a core, and no large array
is made and given back to the system for every block."""

_MAY_BE_BLANK: Final = np.frombuffer(BLANKS + BOM[:1], np.uint8)


def scan_lines(data: bytes, *, start: int, atom: int) -> ScannedBlock:
    """Scan one block of bytes that begins at offset ``start`` of its file, with cuts about every ``atom`` bytes."""
    text = np.frombuffer(data, np.uint8)
    ends = places_of(ord("\n"), text) + 1
    starts = np.append(0, ends)[:-1]
    has_row = np.ones(len(ends), bool)
    for at in np.flatnonzero(np.isin(text[starts], _MAY_BE_BLANK)).tolist():
        has_row[at] = not _is_blank(data[starts[at] : ends[at]])
    counted = np.cumsum(has_row)
    cut_at = spread(ends, len(text), atom, first=atom)
    before = np.append(0, counted[cut_at])
    last = int(ends[-1]) if len(ends) else 0
    flow = Flow(
        ends_quoted=False,
        lead=0,
        cuts=(start, *(ends[cut_at] + start).tolist()),
        rows=tuple(np.diff(np.append(before, counted[-1] if len(counted) else 0)).tolist()),
        open=None if _is_blank(data[last:]) else start + last,
    )
    return ScannedBlock(start, start + len(data), flow, None)


def places_of(byte: int, text: npt.NDArray[np.uint8]) -> Offsets:
    """Find where a byte stands."""
    pieces = [np.flatnonzero(text[at : at + AT_ONCE] == byte) + at for at in range(0, len(text), AT_ONCE)]
    return np.concatenate(pieces) if len(pieces) > 1 else pieces[0] if pieces else np.empty(0, np.int64)


def has_pair(data: bytes, pair: bytes) -> bool:
    """Tell whether two bytes follow each other. Where the first is frequent, NumPy finds that out much sooner."""
    if len(data) <= AT_ONCE:
        return pair in data
    text = np.frombuffer(data, np.uint8)
    pieces = (text[at : at + AT_ONCE + 1] for at in range(0, len(text), AT_ONCE))
    return any(((piece[1:] == pair[1]) & (piece[:-1] == pair[0])).any() for piece in pieces)


def each_line(data: bytes) -> Iterator[tuple[int, int]]:
    """Yield where each line that is not blank starts and ends."""
    start = 0
    while start < len(data):
        end = data.find(b"\n", start) + 1 or len(data)
        if data[start] == ord("{") or not _is_blank(data[start:end]):
            yield start, end
        start = end


def _is_blank(line: bytes) -> bool:
    """Tell whether a line is white space. A byte order mark counts as such: files may have been put together."""
    return not line.removeprefix(BOM).strip(BLANKS)


def spread(ends: Offsets, length: int, atom: int, *, first: int) -> Offsets:
    """Choose the record ends that lie nearest behind every multiple of ``atom`` bytes, never the end of the block."""
    chosen = np.searchsorted(ends, np.arange(first, length, atom))
    chosen = chosen[np.diff(chosen, prepend=-1) > 0]  # each once; np.unique would load numpy.ma first
    chosen = chosen[chosen < len(ends)]
    return chosen[ends[chosen] < length]
