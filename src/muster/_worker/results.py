"""What the function gave for groups, or for rows by their keys, as sections of a block."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa

from muster._formats import between
from muster._formats.blocks import INDEX, PLACE, Section, by_number
from muster._formats.results import Reply
from muster._formats.unmade import Unmade, Waiting

_STRETCH_BYTES: Final = 128 << 10
"""How much of results is read together, at least: so a block is read in little more than what is needed of it."""


class Results:
    """What the function gave, each row with its place in the output."""

    def __init__(self, *, goes_on: bool, width: int = 1) -> None:
        """Begin with none; whether other steps read them.

        ``width``: how many places, from a multiple of it on, are counted together. Where it is 1, each place is that of
        a group, and groups come in order; else rows are sorted by their places.
        """
        self._goes_on = goes_on
        self._width = width
        self.rows = 0
        """How many there are."""
        self.bytes = 0
        """How much memory they take, but for those that wait."""
        self._waiting = Waiting()
        self._places: list[int | np.ndarray] = []
        """Of those that wait."""
        self._made: dict[Any, list[tuple[Reply, np.ndarray]]] = {}
        self.index = ""

    def add(self, reply: Reply | Unmade, place: int | np.ndarray) -> None:
        """Take the result of a call, with the place of all of its rows or of each: small ones become one table."""
        self.rows += reply.rows
        self.index = self.index or reply.index
        if isinstance(reply, Reply):
            self.add_all(reply, np.full(reply.rows, place))
            return
        if not self._waiting.takes(reply):
            self._make()
        self._waiting.add(reply)
        self._places.append(place)

    def _make(self) -> None:
        """Make a reply of what waits."""
        if frames := self._waiting.frames:
            rows, places = [one.rows for one in frames], self._places
            self._places = []
            self.add_all(self._waiting.made(), _of_each_row(places, rows))

    def add_all(self, reply: Reply, places: np.ndarray) -> None:
        """Take results in one table, with the place of each row."""
        if reply.schema is not None:
            self.bytes += reply.table.nbytes
            bare = reply.table.schema.serialize().to_pybytes()
            self._made.setdefault((reply.schema, bare), []).append((reply, places))

    def sections(self) -> list[Section]:
        """Put the results together by what they look like, each kind in the order of the output."""
        self._make()
        sections = [self._section(kept) for kept in self._made.values()]
        if not sections:
            return []
        all_places = np.concatenate([one.table.column(PLACE) for one in sections]) // self._width * self._width
        places, rows = _counted(np.sort(all_places, kind="stable"))  # most are in order
        index = pa.table({PLACE: pa.array(places, pa.int64()), "rows": pa.array(rows, pa.int64())})
        return [*sections, Section(index, [0, len(index)], {INDEX: True})]

    def _section(self, kept: list[tuple[Reply, np.ndarray]]) -> Section:
        schema = kept[0][0].schema
        places = np.concatenate([own for _, own in kept])
        replies, behind = [reply for reply, _ in kept], pa.array(places, pa.int64())
        said: dict[str, Any] = {"schema": schema}
        if self._goes_on and schema is not None:
            table, _, said = between.section(replies, schema, behind, PLACE)
        else:
            table = by_number(pa.concat_tables([reply.table for reply in replies]), behind, PLACE)
        if self._width > 1:
            order = np.argsort(places, kind="stable")
            table, places = table.take(pa.array(order)), places[order]
        step = max(1, _STRETCH_BYTES * len(table) // max(table.nbytes, 1))
        borders = [*range(0, len(table), step), len(table)]
        ends = [[int(places[lo]), int(places[min(lo + step, len(table)) - 1])] for lo in borders[:-1]]
        return Section(table, borders, {**said, "places": ends})


def _counted(ordered: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """List each of the numbers once, and how often it is there; ``numpy.unique`` takes ten times as long."""
    begins = np.flatnonzero(np.diff(ordered, prepend=-1))
    return ordered[begins], np.diff(begins, append=len(ordered))


def _of_each_row(places: Sequence[int | np.ndarray], rows: Sequence[int]) -> np.ndarray:
    """Give the place of each row of some calls that each have one place, or one for each of their rows."""
    if all(isinstance(place, int) for place in places):
        return np.repeat(np.array(places, np.int64), rows)
    return np.concatenate([np.full(count, place) for place, count in zip(places, rows, strict=True)])
