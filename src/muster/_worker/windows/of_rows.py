"""Windows of a number of rows: the step that says of each row which one it is in."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from muster._formats.keyed import numbered
from muster._model import WINDOW, Grouping

from .times import check_has_none, column_of


class RowWindows:
    """Windows of so many rows of a key, in the order of the input. The state of a key is how many rows it has had."""

    def __init__(self, *, key: Sequence[str], rows: int) -> None:
        """Know the columns of the key, and how many rows a window has."""
        self._key = tuple(key)
        self._rows = rows

    def __call__(self, df: pd.DataFrame, states: Any) -> pd.DataFrame:  # noqa: ANN401 (states by key)
        """Say of each row the number of its window, from 0 for each key."""
        check_has_none(df, (WINDOW,))
        codes, keys = keys_in(df, self._key)
        within = pd.Series(codes).groupby(codes, sort=False).cumcount().to_numpy()
        before = np.array([states[key] for key in keys], np.int64)
        counts = np.bincount(codes, minlength=len(keys))
        for key, had in zip(keys, (before + counts).tolist(), strict=True):
            states[key] = had
        rows = before[codes] + within if len(df) else np.empty(0, np.int64)
        return df.assign(**{WINDOW: rows // self._rows})


def keys_in(df: pd.DataFrame, names: Sequence[str]) -> tuple[np.ndarray, list[Any]]:
    """Give rows the numbers of their keys, and name each key: what is missing is ``None``, as NaN equals nothing."""
    if not names:
        return np.zeros(len(df), np.int64), [None] if len(df) else []
    columns = [column_of(df, name) for name in names]
    codes = numbered(columns, Grouping(tuple(names), dropna=False), sort=False).astype(np.int64)
    _, firsts = np.unique(codes, return_index=True)
    named = (column.iloc[firsts].astype(object) for column in columns)
    return codes, list(zip(*(column.where(column.notna(), None) for column in named), strict=True))


window = RowWindows
"""What users call the step."""
