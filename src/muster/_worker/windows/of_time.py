"""Windows of a length of time: the step that says of each row which ones it is in."""

import numpy as np
import pandas as pd

from muster._model import WINDOW_END, WINDOW_START

from .times import check_has_none, ticks_of


class TimeWindows:
    """Windows of one length, which begin at multiples of another one, counted from 1970.

    A row comes once for each window that it is in: the earliest first.
    """

    def __init__(self, *, time: str, size: int, every: int) -> None:
        """Know the column, and the lengths, in microseconds: ``every`` divides ``size``."""
        self._time = time
        self._size = size
        self._every = every

    def __call__(self, df: pd.DataFrame) -> pd.DataFrame:
        """Say of each row when its window begins and ends; the end is not in it."""
        check_has_none(df, (WINDOW_START, WINDOW_END))
        ticks = ticks_of(df, self._time, self._size, self._every)
        size, every = ticks.length(self._size), ticks.length(self._every)
        last = ticks.numbers // every * every
        copies = size // every
        if copies > 1:
            df = df.take(np.repeat(np.arange(len(df)), copies))
            last = (last[:, np.newaxis] - every * np.arange(copies - 1, -1, -1)).reshape(-1)
        return df.assign(**{WINDOW_START: ticks.times(last, df.index), WINDOW_END: ticks.times(last + size, df.index)})


window = TimeWindows
"""What users call the step."""
