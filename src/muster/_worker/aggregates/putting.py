"""Aggregations of the user's own, put together: the value of each key, from what was begun of it and from its rows."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa

from muster._formats.cells import one_chunk

from .cells import IS, OFFSETS, PARTIALS, ROWS, runs_of
from .codes import Codes
from .own import CELL, FEWEST, OwnCaller, OwnFailure, OwnRows, unpickled
from .plan import MeasurePlan


class LaneParts(NamedTuple):
    """What there is of some lanes: rows, and partials of rows; each with its key, its file, and its number there."""

    table: pa.Table
    codes: Codes
    bases: np.ndarray
    numbers: np.ndarray
    cells: Mapping[int, pa.ChunkedArray]
    """The columns that aggregations need, by their places in the input; none where no row travels by itself."""

    def where(self, kind: int) -> np.ndarray:
        """Mark what is of a kind: where the table does not say it, all are rows."""
        if IS not in self.table.column_names:
            return np.full(len(self.codes), kind == ROWS)
        own: np.ndarray = np.asarray(one_chunk(self.table.column(IS)).fill_null(0)) == kind
        return own


class Putting:
    """Puts together what there is of each key, in the order of the input.

    A piece is a partial, or rows that are one call: those of a cell where they are many, and all between two such.
    """

    def __init__(self, kept: LaneParts, plan: MeasurePlan, caller: OwnCaller) -> None:
        """Sort it by keys."""
        self._kept = kept
        self._plan = plan
        self._caller = caller
        are_partials = kept.where(PARTIALS)
        used = np.flatnonzero(are_partials | kept.where(ROWS))
        runs = runs_of(kept.codes[used], kept.bases[used], kept.numbers[used])
        self._order = used[runs.order]
        names = kept.table.column_names
        self._offsets = one_chunk(kept.table.column(OFFSETS)) if OFFSETS in names else pa.nulls(len(kept.codes))
        keys = kept.codes[self._order[runs.lo]]
        is_partial, is_large = are_partials[self._order[runs.lo]], runs.hi - runs.lo >= FEWEST
        is_alone = is_partial | is_large
        begins = np.flatnonzero((np.diff(keys, prepend=-1) != 0) | is_alone | np.roll(is_alone, 1))
        self._borders = np.append(runs.lo[begins], len(used)).tolist()
        self._is_partial, self._is_sent = is_partial[begins].tolist(), is_large[begins].tolist()
        self._starts = np.searchsorted(keys[begins], np.arange(int(keys.max(initial=-1)) + 2)).tolist()
        self._rows = self._cut(~are_partials[self._order])

    def _cut(self, are_rows: np.ndarray) -> OwnRows:
        """Cut the rows into pieces; those of partials have none."""
        order, at = self._order[are_rows], np.concatenate([[0], np.cumsum(are_rows)])[self._borders]
        frame = pd.DataFrame()
        if len(order):
            needed = {place: cells.take(pa.array(order)) for place, cells in self._kept.cells.items()}
            frame = self._plan.frame_of_needed(needed, self._kept.numbers[order])
        return self._caller.rows_of(frame, at[:-1], at[1:])

    def value(self, key: int) -> list[Any] | OwnFailure:
        """Work out the outputs of a key, by its number."""
        piece = self._starts[key]
        if self._starts[key + 1] == piece + 1 and not (self._is_partial[piece] or self._is_sent[piece]):
            return self._caller.value(self._rows, piece)
        together: list[Any] | None = None
        for later in self._partials(key):
            if isinstance(later, OwnFailure):
                return later
            combined = later if together is None else self._caller.together(together, later)
            if isinstance(combined, OwnFailure):
                return combined
            together = combined
        return self._caller.outputs(together or [])

    def _partials(self, key: int) -> Iterator[list[Any] | OwnFailure]:
        """Give the partials of the pieces of a key."""
        for piece in range(self._starts[key], self._starts[key + 1]):
            if self._is_partial[piece]:
                at = int(self._order[self._borders[piece]])
                names = [f"p:{one}" for one in range(len(self._plan.own))]
                yield [unpickled(self._kept.table.column(name)[at].as_py()) for name in names]
                continue
            begun = self._caller.begin(self._rows, piece)
            yield self._sent(begun) if self._is_sent[piece] else begun

    def _sent(self, partials: list[Any] | OwnFailure) -> list[Any] | OwnFailure:
        """Take partials as if another task had made them: what cannot be sent is an error in every run."""
        return partials if isinstance(partials, OwnFailure) else [*map(unpickled, self._caller.pickled(partials))]

    def shown(self, key: int) -> Iterator[tuple[int, int, str]]:
        """Show the rows of a key: of each the place where its file begins, its number there, and values as text.

        Of rows that partials were made of there are no values here any more.
        """
        lo, hi = self._borders[self._starts[key]], self._borders[self._starts[key + 1]]
        for at in self._order[lo:hi].tolist():
            base, number = int(self._kept.bases[at]), int(self._kept.numbers[at])
            if (offsets := self._offsets[at].as_py()) is None:
                values = {self._plan.needed[place].name: own[at].as_py() for place, own in self._kept.cells.items()}
                yield base, number, str(values)
            else:
                yield from ((base, number // CELL * CELL + offset, "") for offset in offsets)
