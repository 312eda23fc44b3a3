"""Windows of a length of time, of a stream: rows wait until the watermark is behind their window."""

from typing import Any, Final

import numpy as np
import pandas as pd

from muster._model import WINDOW_END, WINDOW_START

from .gates import Gate, RowTypes, as_now, due
from .times import Ticks, check_has_none

_BEFORE_ALL: Final = -(1 << 62)
"""Before every time, in any unit; it fits into 64 bits."""


class StreamWindows(Gate):
    """Windows of one length, which begin at multiples of another one; both are in microseconds."""

    def __init__(self, *, time: str, size: int, every: int, late: str) -> None:
        """Know the column, the lengths, and what becomes of late rows."""
        super().__init__(late=late)
        self._time = time
        self._size = size
        self._every = every

    def __call__(self, df: pd.DataFrame, states: Any) -> pd.DataFrame:  # noqa: ANN401 (states by key)
        """Keep rows in their windows, and give none on; those that come too late are counted."""
        check_has_none(df, (WINDOW_START, WINDOW_END))
        ticks = self._times(df, self._time, self._size, self._every)
        rows, starts = self._in_windows(df.index.to_numpy(), ticks)
        size = ticks.length(self._size)
        own, labels = df.take(rows), df.index[rows]
        own = own.assign(**{WINDOW_START: ticks.times(starts, labels), WINDOW_END: ticks.times(starts + size, labels)})
        for start in np.unique(starts).tolist():
            of_window = own[starts == start]
            states[ticks.microseconds(start + size), int(of_window.index[0])] = of_window
        return pd.DataFrame() if len(df) else own

    def _in_windows(self, places: np.ndarray, ticks: Ticks) -> tuple[np.ndarray, np.ndarray]:
        """Give the number of a row, and when its window begins, for each open window that a row is in."""
        size, every = ticks.length(self._size), ticks.length(self._every)
        watermark = max(ticks.length(self.clock.watermark), _BEFORE_ALL)
        last, copies = ticks.numbers // every * every, size // every
        starts = last[:, np.newaxis] - every * np.arange(copies - 1, -1, -1)
        is_open = starts + size > watermark
        is_late = ~is_open.any(axis=1)
        if is_late.any():
            self._late_places = places[is_late]
            if self.late == "oldest":
                starts[is_late, 0] = (watermark - size) // every * every + every
                is_open[is_late, 0] = True
        rows = np.repeat(np.arange(len(places)), copies).reshape(is_open.shape)
        return rows[is_open], starts[is_open]

    def closed(self, states: Any, now: RowTypes) -> pd.DataFrame | None:  # noqa: ANN401 (likewise)
        """Give the rows of windows that are closed now."""
        keys = due(states, self.clock.watermark) if self.clock.closes else []
        return as_now(pd.concat([states.pop(key) for key in keys]), now) if keys else None


window = StreamWindows
"""What users call the step."""
