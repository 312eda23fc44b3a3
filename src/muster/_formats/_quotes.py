"""Put the cells of CSV in quotes that need them, a whole column at once, by its bytes."""

from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

_QUOTE: Final = ord('"')


def with_quotes(cells: pa.LargeStringArray, delimiter: str, *, alone: bool) -> pa.LargeStringArray:
    """Put cells in quotes that hold a delimiter, a quote or a line end; quotes in them are doubled.

    No cell may be missing. One that is empty and ``alone`` in its row is put in quotes, too: an empty line is no row.
    """
    text, borders = in_memory(cells)
    specials = _specials(text, delimiter)
    cell_of_each = np.searchsorted(borders, specials, side="right") - 1
    is_needy = np.zeros(len(cells), bool)
    is_needy[cell_of_each] = True
    if alone:
        is_needy |= np.diff(borders) == 0
    needy = np.flatnonzero(is_needy)
    if not len(needy):
        return cells
    is_quote = text[specials] == _QUOTE
    added = np.bincount(cell_of_each[is_quote], minlength=len(cells)) + 2 * is_needy
    moved = borders.copy()
    moved[1:] += np.cumsum(added)
    places = np.concatenate(([0], borders[needy], borders[needy + 1], specials[is_quote], [len(text)]))
    places.sort(kind="stable")  # which puts the four in order that are in order themselves
    return pa.LargeStringArray.from_buffers(len(cells), pa.py_buffer(moved), joined(text, places, b'"'))


def needs_quotes(cells: pa.LargeStringArray, delimiter: str) -> bool:
    """Tell whether a cell holds a delimiter, a quote or a line end."""
    return len(_specials(in_memory(cells)[0], delimiter)) > 0


def _specials(text: np.ndarray, delimiter: str) -> np.ndarray:
    """Find the bytes for which a cell needs quotes."""
    data = text.tobytes()  # whether it has a byte at all is found many times as fast as where
    there = [special for special in {_QUOTE, ord(delimiter), *b"\n\r"} if special in data]
    if not there:
        return np.empty(0, np.int64)
    mask = text == there[0]
    for special in there[1:]:
        mask |= text == special
    return np.flatnonzero(mask)


def in_memory(cells: pa.LargeStringArray) -> tuple[np.ndarray, np.ndarray]:
    """Give the bytes of all cells, and where each of them begins, and the last one ends."""
    _, offsets, text = cells.buffers()
    borders = np.frombuffer(offsets, np.int64)[cells.offset : cells.offset + len(cells) + 1]
    if text is None:  # which Arrow leaves out where all cells are empty
        return np.empty(0, np.uint8), borders - borders[0]
    return np.frombuffer(text, np.uint8)[borders[0] : borders[-1]], borders - borders[0]


def joined(text: np.ndarray, borders: np.ndarray, between: bytes) -> pa.Buffer:
    """Cut a text at its borders, the first and the last of which are its ends, and put ``between`` at the others."""
    pieces = pa.LargeBinaryArray.from_buffers(
        pa.large_binary(), len(borders) - 1, [None, pa.py_buffer(borders), pa.py_buffer(text)]
    )
    all_of_them = pa.ListArray.from_arrays([0, len(pieces)], pieces)
    return pc.binary_join(all_of_them, pa.scalar(between, pa.large_binary())).buffers()[-1]
