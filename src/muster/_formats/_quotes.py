"""Put the cells of CSV in quotes that need them, a whole column at once, by its bytes."""

from typing import Final

import numpy as np
import pyarrow as pa

_QUOTE: Final = ord('"')


def with_quotes(cells: pa.LargeStringArray, delimiter: str, *, alone: bool) -> pa.LargeStringArray:
    """Put cells in quotes that hold a delimiter, a quote or a line end; quotes in them are doubled.

    No cell may be missing. One that is empty and ``alone`` in its row is put in quotes, too: an empty line is no row.
    """
    text, borders = in_memory(cells)
    specials = np.flatnonzero((text == _QUOTE) | (text == ord(delimiter)) | (text == ord("\n")) | (text == ord("\r")))
    before = np.searchsorted(specials, borders)  # how many lie before the beginning of each cell, and of them all
    needy = np.diff(before) > 0
    if alone:
        needy |= np.diff(borders) == 0
    if not needy.any():
        return cells
    is_quote = text[specials] == _QUOTE
    doubled_before = _sums(is_quote)[before]
    moved = borders + 2 * _sums(needy) + doubled_before
    doubled_each = np.diff(doubled_before)[needy]
    # A doubled quote stands behind all that was put in before it, and behind the quote that opens its cell.
    put_in_before = np.repeat(2 * np.arange(len(doubled_each)) + 1, doubled_each) + np.arange(doubled_each.sum())
    quotes = (moved[:-1][needy], moved[1:][needy] - 1, specials[is_quote] + put_in_before)
    return _array(_put_in(text, np.concatenate(quotes), int(moved[-1])), moved)


def in_memory(cells: pa.LargeStringArray) -> tuple[np.ndarray, np.ndarray]:
    """Give the bytes of all cells, and where each of them begins, and the last one ends."""
    _, offsets, text = cells.buffers()
    borders = np.frombuffer(offsets, np.int64)[cells.offset : cells.offset + len(cells) + 1]
    if text is None:  # which Arrow leaves out where all cells are empty
        return np.empty(0, np.uint8), borders - borders[0]
    return np.frombuffer(text, np.uint8)[borders[0] : borders[-1]], borders - borders[0]


def _sums(mask: np.ndarray) -> np.ndarray:
    """Count what is marked before each place, and before the end."""
    sums = np.zeros(len(mask) + 1, np.int64)
    np.cumsum(mask, out=sums[1:])
    return sums


def _put_in(text: np.ndarray, quotes: np.ndarray, size: int) -> np.ndarray:
    """Make a text of so many bytes that has quotes at some places, and all the text in the rest."""
    whole, is_text = np.full(size, _QUOTE, np.uint8), np.ones(size, bool)
    is_text[quotes] = False
    whole[is_text] = text
    return whole


def _array(text: np.ndarray, borders: np.ndarray) -> pa.LargeStringArray:
    return pa.LargeStringArray.from_buffers(len(borders) - 1, pa.py_buffer(borders), pa.py_buffer(text))
