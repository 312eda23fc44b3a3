"""Sessions of a stream: rows wait until nothing can come any more that belongs to theirs."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import pandas as pd

from muster._formats.keyed import numbered
from muster._model import WINDOW_END, WINDOW_START, Grouping

from .gates import Gate, RowTypes, as_now, due, stored
from .times import Ticks, check_has_none, column_of, ticks_of

_TIME: Final = "__time__"
"""The column in which rows keep when they have come, where that is their time."""


class StreamSessions(Gate):
    """Sessions of keys: between two of a key, nothing comes for a gap, in microseconds."""

    def __init__(self, *, key: Sequence[str], time: str, gap: int, late: str) -> None:
        """Know the columns, the gap, and what becomes of late rows."""
        super().__init__(late=late)
        self._key = tuple(key)
        self._time = time
        self._gap = gap

    def __call__(self, df: pd.DataFrame, states: Any) -> pd.DataFrame:  # noqa: ANN401 (states by key)
        """Keep rows, and give none on; those whose session would be closed already are counted."""
        check_has_none(df, (WINDOW_START, WINDOW_END))
        ticks = self._times(df, self._time, self._gap)
        ends = ticks.numbers + ticks.length(self._gap)
        is_late = ticks.microseconds(ends, up=True) <= self.clock.watermark
        if is_late.any():
            self._late_places = df.index.to_numpy()[is_late]
        own = df[~is_late] if self._time else df.assign(**{_TIME: ticks.times(ticks.numbers, df.index)})
        if len(own):
            states[ticks.microseconds(int(ends[~is_late].min()), up=True), int(own.index[0])] = own
        return pd.DataFrame() if len(df) else self._marked(own, ticks, ends)

    def closed(self, states: Any, now: RowTypes) -> pd.DataFrame | None:  # noqa: ANN401 (likewise)
        """Give the rows of sessions that are closed now; other rows of the frames they were in go on waiting."""
        watermark = self.clock.watermark
        if not self.clock.closes or not due(states, watermark):
            return None
        waiting = stored(states)
        whole = pd.concat(list(waiting.values()))
        of = np.repeat(np.arange(len(waiting)), [len(frame) for frame in waiting.values()])
        ticks = ticks_of(whole, self._time or _TIME, self._gap)
        starts, ends = self._sessions(whole, ticks)
        last = ticks.microseconds(ends, up=True)
        is_closed = last <= watermark
        for number, key in enumerate(waiting):
            is_own = of == number
            if key[0] > watermark and not (is_own & is_closed).any():
                continue
            states.pop(key)
            left = is_own & ~is_closed
            if left.any():
                rest = whole[left]
                states[int(last[left].min()), int(rest.index[0])] = rest
        gone = Ticks(starts[is_closed], ticks.unit, ticks.zone)
        return self._marked(as_now(whole[is_closed], now), gone, ends[is_closed]) if is_closed.any() else None

    def _sessions(self, rows: pd.DataFrame, ticks: Ticks) -> tuple[np.ndarray, np.ndarray]:
        """Give when the session of each row begins, and ends."""
        codes = np.zeros(len(rows), np.int64)
        if self._key:
            columns = [column_of(rows, name).reset_index(drop=True) for name in self._key]
            codes = numbered(columns, Grouping(self._key, dropna=False), sort=False).astype(np.int64)
        gap, order = ticks.length(self._gap), np.lexsort((ticks.numbers, codes))
        in_order, of = ticks.numbers[order], codes[order]
        begins = np.ones(len(order), bool)
        begins[1:] = (np.diff(in_order) >= gap) | (np.diff(of) != 0)
        firsts = np.flatnonzero(begins)
        lasts = np.append(firsts[1:], len(order)) - 1
        session = np.cumsum(begins) - 1
        starts, ends = np.empty_like(in_order), np.empty_like(in_order)
        starts[order], ends[order] = in_order[firsts][session], in_order[lasts][session] + gap
        return starts, ends

    def _marked(self, rows: pd.DataFrame, starts: Ticks, ends: np.ndarray) -> pd.DataFrame:
        marked = rows.assign(
            **{
                WINDOW_START: starts.times(starts.numbers, rows.index),
                WINDOW_END: starts.times(ends, rows.index),
            }
        )
        return marked if self._time else marked.drop(columns=_TIME)


window = StreamSessions
"""What users call the step."""
