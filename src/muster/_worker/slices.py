"""Stretches of the rows of a frame, for functions that are called with each of them."""

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

_WARNS_OF_CHANGES: Final = hasattr(pd.DataFrame, "_is_copy")
"""pandas 2.2 does, where a function changes what is a slice of another frame."""

_LARGE: Final = 1024
"""From so many rows on, a stretch is cut alone and not copied: what that takes is little beside a call on them."""

_TOGETHER: Final = 32_768
"""So many rows are copied at a time, at most, to cut small stretches out of them."""


class Slices:
    """Cuts stretches out of a frame or a Series. Small ones are cut in the order in which they stand, one at a time.

    As pandas goes through groups, that takes a third of the time of ``iloc``, which is most of what a call on a few
    rows costs. What is cut is not kept, so that the next stretch finds the memory of the one before in the cache.
    """

    def __init__(self, rows: Any, lo: ArrayLike, hi: ArrayLike) -> None:  # noqa: ANN401 (a frame or a Series)
        """Take the rows from each ``lo`` to its ``hi``."""
        self._rows = rows
        self._lo = np.asarray(lo, np.int64)
        self._sizes = np.asarray(hi, np.int64) - self._lo
        self._is_small = ((self._sizes > 0) & (self._sizes < _LARGE)).tolist()
        self._next = -1
        """The number of the stretch that is cut next."""
        self._cut: Iterator[tuple[Any, Any]] = iter(())

    def __getitem__(self, number: int) -> Any:  # noqa: ANN401 (likewise)
        """Give the stretch of a number, which a function may change."""
        if not self._is_small[number]:
            return self._alone(number)
        found = next(self._cut, None) if number == self._next else None
        if found is None:
            self._cut = self._from(number)
            found = next(self._cut)
        self._next = number + 1
        return found[1]

    def _alone(self, number: int) -> Any:  # noqa: ANN401 (likewise)
        lo = int(self._lo[number])
        rows = self._rows.iloc[lo : lo + int(self._sizes[number])]
        if _WARNS_OF_CHANGES:
            rows._is_copy = None  # noqa: SLF001 (the rows are nobody else's)
        return rows

    def _from(self, first: int) -> Iterator[tuple[Any, Any]]:
        """Cut the small stretches from one on, before the next that is large or has no rows."""
        sizes = self._sizes[first : first + _TOGETHER]
        ends = np.cumsum(sizes)
        is_over = (ends > _TOGETHER) | (sizes >= _LARGE) | (sizes == 0)
        count = int(np.argmax(is_over)) if is_over.any() else len(sizes)
        numbers = np.repeat(np.arange(count), sizes[:count])
        within = np.arange(len(numbers)) - np.repeat(ends[:count] - sizes[:count], sizes[:count])
        at = self._lo[first + numbers] + within
        return iter(self._rows.take(at).groupby(numbers, sort=False))
