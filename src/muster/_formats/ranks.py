"""The rank of each group among the sorted keys, in a block: it counts instead of the place of the group's first row."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from .blocks import PLACE, RANKS, Section, StoredSection, sections_of

_Numbers = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True, slots=True)
class Ranks:
    """Says the rank of each place; without places, each is its own rank."""

    places: _Numbers | None = None
    ranks: _Numbers | None = None

    def of(self, places: np.ndarray) -> np.ndarray:
        """Give the ranks of places. All of them must be there."""
        if self.places is None or self.ranks is None:
            return places
        return self.ranks[np.searchsorted(self.places, places)]

    def stretches(self, section: StoredSection, lo: int, hi: int) -> tuple[int, int]:
        """Choose the stretches of a section that may hold results of ranks from ``lo`` to ``hi``, inclusive.

        They follow each other: from the first to before the last. A section that holds no results has none.
        """
        ends = self._ends(section.said.get("places", ()))
        touched = np.flatnonzero((ends[:, 0] <= hi) & (ends[:, 1] >= lo)) + section.said.get("before", 0)
        return (int(touched[0]), int(touched[-1]) + 1) if len(touched) else (0, 0)

    def among(self, stretches: Sequence[Sequence[int]]) -> "Ranks":
        """Take those that are needed to read some stretches, of which there are the first and the last place."""
        if self.places is None or self.ranks is None:
            return self
        ends = self._ends(stretches)
        is_among = (self.ranks >= ends.min()) & (self.ranks <= ends.max())
        return Ranks(self.places[is_among], self.ranks[is_among])

    def _ends(self, stretches: Sequence[Sequence[int]]) -> np.ndarray:
        """Give the least and the greatest rank of each stretch, as results lie in the order of their ranks."""
        return self.of(np.array(stretches, np.int64).reshape(-1, 2))

    def section(self) -> Section:
        """Make a section of them."""
        table = pa.table({PLACE: pa.array(self.places, pa.int64()), "rank": pa.array(self.ranks, pa.int64())})
        return Section(table, [0, len(table)], {RANKS: True})


def ranks_at(path: str) -> Ranks:
    """Read ranks; without a path, each place is its own. Raises ``EngineError`` where they are damaged."""
    return _read(path, Path(path).stat().st_mtime_ns) if path else Ranks()


@functools.lru_cache(maxsize=1)  # all tasks of a worker that put results in order need the same
def _read(path: str, _version: int) -> Ranks:
    return _of(sections_of(path)[0])


def ranks_in(excerpt: str) -> Ranks:
    """Read the ranks that an excerpt has; where it has none, each place is its own."""
    return next((_of(section) for section in sections_of(excerpt) if RANKS in section.said), Ranks())


def _of(section: StoredSection) -> Ranks:
    table = section.read(0, 1)
    return Ranks(table.column(PLACE).to_numpy(), table.column("rank").to_numpy())
