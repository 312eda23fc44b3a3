"""What steps that keep the windows of a stream have in common: rows wait in states until their window is closed.

A step is called with rows, and keeps them: what stands behind it gets all rows of a window at once, in the epoch in
which it closes. Which rows wait is the state of a lane: frames, each under when its window ends and its first row's
place. So tasks that have rows of some keys alone never write the same one.
"""

from typing import Any, Final, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa

from muster._model import FOR_EVER, NEVER, NO_TIME, Column, WindowClock, WindowsSeen

from .times import Ticks, ticks_of, ticks_of_arrival

_DAY: Final = 86_400_000_000
"""How far ahead, in microseconds, the time of a row counts as now: a clock, or its zone, may be wrong by less.

What is further ahead is a mistake of that row alone, and tells nothing of the time.
"""


class GateRows(NamedTuple):
    """Rows as they lie between stages."""

    table: pa.Table
    columns: tuple[Column, ...]
    agreed: bytes
    """Arrow's schema of them, where steps have made them."""
    places: np.ndarray


class RowTypes(NamedTuple):
    """What the columns of rows are at present."""

    columns: tuple[Column, ...]
    agreed: bytes
    """As of ``GateRows``."""


class Gate:
    """Knows what time it is, and what it has seen since it was told that."""

    def __init__(self, *, late: str = "drop") -> None:
        """Know what becomes of rows that come too late."""
        self.late = late
        self.begin(NO_TIME, has_all_keys=True)

    def begin(self, clock: WindowClock, *, has_all_keys: bool) -> None:
        """Take the clock of a task, which may have the rows of some keys of a lane alone."""
        self.clock = clock
        self.has_all_keys = has_all_keys
        self._latest = NEVER
        self._due: dict[int, int] = {}
        self._late_places = np.empty(0, np.int64)

    def keep(self, rows: GateRows, states: Any) -> bool:  # noqa: ANN401 (states by key)
        """Keep rows as they are, and give none on; tell whether it did: else it is called with a frame of them."""
        del rows, states
        return False

    def closed(self, states: Any, now: RowTypes) -> pd.DataFrame | None:  # noqa: ANN401 (likewise)
        """Give the rows of windows that are closed now, each labelled by its place; ``None`` where there are none.

        Types may have changed since the rows came: ``now`` has those of rows that come at present.
        """
        del states, now
        return None

    def look(self, lane: int, states: Any) -> None:  # noqa: ANN401 (likewise)
        """Take note of when the first open window of a lane ends."""
        self._due[lane] = min((end for end, _ in keys_of(states)), default=FOR_EVER)

    def seen(self, stage: int, *, late_rows: int) -> WindowsSeen:
        """Tell what was seen."""
        return WindowsSeen(stage, self._latest, late_rows, self._due)

    def take_late(self) -> np.ndarray:
        """Give the places of those rows of the last call that came too late."""
        late, self._late_places = self._late_places, np.empty(0, np.int64)
        return late

    def _times(self, df: pd.DataFrame, time: str, *spans: int) -> Ticks:
        """Give the times of rows, and take note of the latest that is not in the future."""
        ticks = ticks_of(df, time, *spans) if time else ticks_of_arrival(self.clock.now, len(df))
        now = ticks.length(self.clock.now + (0 if ticks.zone is not None else self.clock.ahead))
        known = ticks.numbers[ticks.numbers <= now + ticks.length(_DAY)]
        if len(known):
            self._latest = max(self._latest, int(ticks.microseconds(min(known.max(), now))))
        return ticks


def as_now(rows: pd.DataFrame, now: RowTypes) -> pd.DataFrame:
    """Make decimals of integers whose column is read as decimals now: as integers, their sum may be too large."""
    decimals = {column.name for column in now.columns if column.fixed == "float64"}
    return rows.astype({name: "float64" for name in decimals.intersection(rows) if rows[name].dtype.kind in "iu"})


def keys_of(states: Any) -> list[Any]:  # noqa: ANN401 (states by key)
    """List the keys of states; nobody has asked for their states by that."""
    return [*dict.keys(states)]


def due(states: Any, watermark: int) -> list[Any]:  # noqa: ANN401 (likewise)
    """List the keys of rows whose windows end at a time or before, the first one first."""
    return sorted(key for key in keys_of(states) if key[0] <= watermark)


def stored(states: Any) -> dict[Any, pd.DataFrame]:  # noqa: ANN401 (likewise)
    """Give all rows that wait, by their keys; nobody has asked for their states by that."""
    return dict(sorted(dict.items(states), key=lambda one: one[0]))
