"""Choose small batches out of rows: those that differ most from the others stand alone, the rest is spread."""

from collections import Counter
from collections.abc import Iterator
from itertools import cycle
from typing import Any, Final

import pyarrow as pa

from muster._formats.rows import Rows

_SIZES: Final = (1, 2, 3, 10)
"""Of small batches: a row alone, and sizes that most functions treat alike if they treat rows one by one."""

_COLUMNS: Final = 50
"""How many columns are looked through for rows that differ from the others."""


def in_small_batches(rows: Rows, *, most: int) -> tuple[list[Rows], list[Rows]]:
    """Cut rows into about ``most`` small batches and what lies between them.

    Returns all pieces in order, which together are the rows, and those of them that are small.
    """
    total = len(rows.numbers)
    alone = dict.fromkeys(_odd(rows.table, most=most // 2), 1)
    step = max(total // max(most - len(alone), 1), 1)
    wanted = dict(zip(range(0, total, step), cycle(_SIZES), strict=False)) | alone
    pieces, small, end = [], [], 0
    for at in sorted(wanted):
        if at < end:
            continue
        if at > end:
            pieces.append(_cut(rows, end, at))
        room = min((other for other in alone if other > at), default=total) - at
        size = min(wanted[at], room)
        pieces.append(_cut(rows, at, at + size))
        small.append(pieces[-1])
        end = at + size
    return pieces + ([_cut(rows, end, total)] if end < total else []), small


def _cut(rows: Rows, first: int, stop: int) -> Rows:
    return Rows(rows.table.slice(first, stop - first), rows.numbers[first:stop])


def _odd(table: pa.Table, *, most: int) -> list[int]:
    """List the places of rows that stand out in a column, the most telling ones of each column first."""
    found = [list(_odd_in(column.to_pylist())) for column in table.columns[:_COLUMNS]]
    in_turns = (places[at] for at in range(max(map(len, found), default=0)) for places in found if at < len(places))
    return [*dict.fromkeys(in_turns)][:most]


def _odd_in(cells: list[Any]) -> Iterator[int]:
    """Find a missing cell, one of the rarest value, the largest and the smallest; text is measured by its length."""
    texts = [repr(cell) for cell in cells]
    if None in cells:
        yield cells.index(None)
    counts = Counter(texts)
    yield min(range(len(cells)), key=lambda at: counts[texts[at]])
    known = [at for at, cell in enumerate(cells) if cell is not None]
    if known:
        has_length = isinstance(cells[known[0]], str | bytes | list | dict)
        yield max(known, key=lambda at: len(cells[at]) if has_length else cells[at])
        yield min(known, key=lambda at: len(cells[at]) if has_length else cells[at])
