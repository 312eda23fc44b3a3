"""Results of a few rows each, of which replies are made together: for each alone, that takes longer than its rows."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final, cast

import numpy as np

from . import _pandas
from ._results import Reply, index_of, reply_of

if TYPE_CHECKING:
    import pandas as pd

_LONGEST: Final = 8
"""Bytes of the longest number that Arrow knows; NumPy has ``longdouble``, too."""

_FEW: Final = 1024
"""Up to so many rows, a reply takes longer to make for its columns than for its rows."""


@dataclass(frozen=True, slots=True)
class Unmade:
    """A frame of a few rows, of which no reply is made yet."""

    frame: "pd.DataFrame"
    use: str
    index: str

    @property
    def rows(self) -> int:
        """Count its rows."""
        return len(self.frame)

    @property
    def likeness(self) -> tuple[list[Any], list[Any]]:
        """Tell what other frames must have in common with it, so that a reply can be made of them together."""
        return list(self.frame.columns), list(self.frame.dtypes)


def reply_in_time(result: Any, *, use: str) -> Reply | Unmade:  # noqa: ANN401 (frames of three kinds)
    """Make a reply of many rows, and of what may turn out to have none; leave others for later.

    Raises as ``reply_of`` does. A function may change later what it has returned: a shallow copy stays as it is.
    """
    if len(result) <= _FEW and _is_plain(result) and _pandas.copies_on_write():
        return Unmade(result.copy(deep=False), use, index_of(result))
    return reply_of(result, use=use)


def _is_plain(result: Any) -> bool:  # noqa: ANN401 (likewise)
    """Tell whether it is sure that a reply can be made of a result, and of which values."""
    import pandas as pd

    has_names = type(result) is pd.DataFrame and result.shape[1] and isinstance(result.columns.dtype, pd.StringDtype)
    return bool(has_names and all(map(_is_sure, result.dtypes)))


def _is_sure(dtype: Any) -> bool:  # noqa: ANN401 (NumPy's or pandas', which have no type in common)
    """Tell whether Arrow holds every value that a column of this type may have, whatever other values are there."""
    import pandas as pd

    if isinstance(dtype, np.dtype):
        return dtype.kind in "biufmM" and dtype.itemsize <= _LONGEST and dtype.isnative
    return isinstance(dtype, pd.StringDtype) and dtype.storage == "pyarrow"


def made(replies: Iterable[Reply | Unmade], *, apart: bool) -> list[Reply]:
    """Make the replies that are not made yet: one of neighbours that are alike, or one of each if they stay apart."""
    import pandas as pd

    together: list[Reply] = []
    for is_unmade, group in groupby(replies, key=lambda one: isinstance(one, Unmade) and (apart or one.likeness)):
        if not is_unmade:
            together += cast("Iterable[Reply]", group)
            continue
        alike = cast("list[Unmade]", list(group))
        frames = [one.frame for one in alike]
        frames = frames if apart or len(frames) == 1 else [pd.concat(frames, ignore_index=True)]
        together += [reply_of(frame, use=alike[0].use) for frame in frames]
    return together
