"""Windows of a number of rows, of a stream: rows of a key wait until there are so many."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from muster._model import WINDOW

from .gates import Gate
from .of_rows import keys_in
from .times import check_has_none


class StreamRowWindows(Gate):
    """Windows of so many rows of a key. The state of a key is the number of its open window, and the rows of that."""

    def __init__(self, *, key: Sequence[str], rows: int) -> None:
        """Know the columns of the key, and how many rows a window has."""
        super().__init__()
        self._key = tuple(key)
        self._rows = rows

    def __call__(self, df: pd.DataFrame, states: Any) -> pd.DataFrame:  # noqa: ANN401 (states by key)
        """Give the rows of windows that are full, labelled by their places: some are of epochs before."""
        check_has_none(df, (WINDOW,))
        codes, keys = keys_in(df, self._key)
        order = np.argsort(codes, kind="stable")
        borders = np.searchsorted(codes[order], np.arange(len(keys) + 1)).tolist()
        full = [
            self._full(key, df.take(order[lo:hi]), states)
            for key, lo, hi in zip(keys, borders, borders[1:], strict=False)
        ]
        full = [one for one in full if len(one)]
        return pd.concat(full) if full else pd.DataFrame() if len(df) else df.assign(**{WINDOW: codes})

    def _full(self, key: object, rows: pd.DataFrame, states: Any) -> pd.DataFrame:  # noqa: ANN401 (likewise)
        """Keep rows of a key, and give those of windows that are full by them."""
        number, waiting = states[key] or (0, ())
        waiting = (*waiting, rows)
        count = sum(map(len, waiting))
        if count < self._rows:
            states[key] = number, waiting
            return rows[:0]
        windows = count // self._rows
        whole: pd.DataFrame = pd.concat(waiting)
        end = windows * self._rows
        states[key] = number + windows, (whole[end:],) if end < count else ()
        return whole[:end].assign(**{WINDOW: number + np.arange(end) // self._rows})

    def look(self, lane: int, states: Any) -> None:  # noqa: ANN401 (likewise)
        """Take note of nothing: such a window ends with a row."""


window = StreamRowWindows
"""What users call the step."""
