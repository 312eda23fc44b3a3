"""Sessions: the steps that say of each row of a key which one it is in."""

import numpy as np
import pandas as pd

from muster._model import WINDOW_END, WINDOW_START

from .times import check_has_none, ticks_of


class TimesThere:
    """Looks whether each row has a time, before rows of a key come together: else all rows of the key were bad."""

    def __init__(self, *, time: str, has_key: bool) -> None:
        """Know the column; without a key, all rows get one."""
        self._time = time
        self._has_key = has_key

    def __call__(self, df: pd.DataFrame) -> pd.DataFrame:
        """Give the rows as they are."""
        check_has_none(df, (WINDOW_START, WINDOW_END))
        ticks_of(df, self._time)
        return df if self._has_key else df.assign(**{WINDOW_START: np.zeros(len(df), np.int64)})


class Sessions:
    """Sessions of a key: a row belongs to the one before it, by time, if less than a gap lies between them."""

    def __init__(self, *, time: str, gap: int) -> None:
        """Know the column, and the gap, in microseconds."""
        self._time = time
        self._gap = gap

    def __call__(self, df: pd.DataFrame) -> pd.DataFrame:
        """Say of each row when its session begins, with its first row, and ends: a gap behind its last one."""
        ticks = ticks_of(df, self._time, self._gap)
        gap = ticks.length(self._gap)
        order = np.argsort(ticks.numbers, kind="stable")
        in_order = ticks.numbers[order]
        begins = np.diff(in_order, prepend=in_order[:1] - gap) >= gap
        firsts = np.flatnonzero(begins)
        lasts = np.append(firsts[1:], len(order))[: len(firsts)] - 1
        of = np.cumsum(begins) - 1
        starts, ends = np.empty_like(in_order), np.empty_like(in_order)
        starts[order], ends[order] = in_order[firsts][of], in_order[lasts][of] + gap
        return df.assign(**{WINDOW_START: ticks.times(starts, df.index), WINDOW_END: ticks.times(ends, df.index)})


times = TimesThere
window = Sessions
"""What users call the step."""
