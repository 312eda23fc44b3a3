"""Results of a few rows each, of which replies are made together: for each alone, that takes longer than its rows."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd

from .cells import LONGEST_NUMBER
from .frames import arrays_of
from .results import Reply, index_of, owned, reply_of, reply_of_columns

_FEW: Final = 1024
"""Up to so many rows, a reply takes longer to make for its columns than for its rows."""

_MOST_FRAMES: Final = 512
_MOST_ROWS: Final = 8192
"""So many frames, or rows of frames, wait at most: their columns take several times the memory of their reply."""


@dataclass(slots=True)
class Unmade:
    """The columns of a frame of a few rows, of which no reply is made yet."""

    labels: "pd.Index[Any]"
    columns: Sequence[Any]
    rows: int
    use: str
    index: str
    likeness: tuple[list[Any], list[Any]]
    """What other frames must have in common with it, so that a reply can be made of them together: names and types."""


def reply_in_time(result: Any, *, use: str) -> Reply | Unmade:  # noqa: ANN401 (frames of three kinds)
    """Make a reply of many rows, and of what may be refused; leave others for later.

    Both hold copies, as a function may fill the same memory again at its next call. Raises as ``reply_of`` does.
    """
    if type(result) is not pd.DataFrame or len(result) > _FEW or not (names := _plain_names(result.columns)):
        return owned(reply_of(result, use=use))
    columns = arrays_of(result)
    types = [column.dtype for column in columns]
    if not _are_sure(types):
        return owned(reply_of(result, use=use))
    copies = [np.array(column) if isinstance(column.dtype, np.dtype) else column.copy() for column in columns]
    index = result.index
    return Unmade(
        labels=result.columns,
        columns=copies,
        rows=len(result),
        use=use,
        index="" if index.name is None and index.nlevels == 1 else index_of(result),
        likeness=(names, types),
    )


_last: "tuple[pd.Index[Any], list[Any] | None] | None" = None
"""The labels that were looked at last, and their names: results often are slices of one frame, and share its labels."""


def _plain_names(labels: "pd.Index[Any]") -> list[Any] | None:
    """List the names of columns; ``None`` unless all are text, and each stands once."""
    global _last  # noqa: PLW0603 (a cache of one)
    last = _last
    if last is not None and labels.is_(last[0]):
        return last[1]
    names = labels.tolist()
    has_text = isinstance(labels.dtype, pd.StringDtype) and all(isinstance(name, str) for name in names)
    plain = names if has_text and len({*names}) == len(names) else None
    _last = labels, plain
    return plain


_sure: list[Any] = []
"""The types of columns that Arrow held last: results of one function are alike."""


def _are_sure(types: list[Any]) -> bool:
    """Tell whether Arrow holds every value that columns of these types may have."""
    global _sure  # noqa: PLW0603 (a cache of one)
    if types == _sure:
        return True
    if not all(map(_is_sure, types)):
        return False
    _sure = types
    return True


def _is_sure(dtype: Any) -> bool:  # noqa: ANN401 (NumPy's or pandas', which have no type in common)
    """Tell whether Arrow holds every value that a column of this type may have, whatever other values are there."""
    if isinstance(dtype, np.dtype):
        return dtype.kind in "biufmM" and dtype.itemsize <= LONGEST_NUMBER and dtype.isnative
    return isinstance(dtype, pd.StringDtype) and dtype.storage == "pyarrow"


def made(alike: Sequence[Unmade]) -> Reply:
    """Make one reply of frames that are alike."""
    first, rows = alike[0], sum(one.rows for one in alike)
    columns = first.columns
    if len(alike) > 1:
        columns = [_behind_each_other(column) for column in zip(*(one.columns for one in alike), strict=True)]
    return reply_of_columns(first.labels, columns, rows=rows, use=first.use, index=first.index)


def _behind_each_other(columns: Sequence[Any]) -> Any:  # noqa: ANN401 (an array of NumPy or pandas)
    first = columns[0]
    return np.concatenate(columns) if isinstance(first, np.ndarray) else type(first)._concat_same_type(columns)  # noqa: SLF001 (of pandas' interface for arrays)


class Waiting:
    """Frames that are alike, of which one reply will be made."""

    def __init__(self) -> None:
        """Begin with none."""
        self.frames: list[Unmade] = []
        self._rows = 0

    def takes(self, one: Unmade) -> bool:
        """Tell whether a frame is like those that wait, if any do, and there is room for it."""
        if not self.frames:
            return True
        has_room = len(self.frames) < _MOST_FRAMES and self._rows + one.rows <= _MOST_ROWS
        return has_room and one.likeness == self.frames[0].likeness

    def add(self, one: Unmade) -> None:
        """Have a frame wait with the others."""
        self.frames.append(one)
        self._rows += one.rows

    def made(self) -> Reply:
        """Make a reply of all that wait; then none does."""
        frames, self.frames, self._rows = self.frames, [], 0
        return made(frames)


class Pile:
    """Replies in order, each with a mark; neighbours that are alike and bear the same mark may become one."""

    def __init__(self) -> None:
        """Begin with none."""
        self.ready: list[tuple[Reply, int]] = []
        self.waiting = Waiting()
        self.mark = 0
        """That of all who wait."""

    def add(self, reply: Reply | Unmade, *, mark: int) -> None:
        """Put a reply behind the others, or a frame of which one will be made."""
        if isinstance(reply, Reply):
            self.made().append((reply, mark))
            return
        if mark != self.mark or not self.waiting.takes(reply):
            self.made()
        self.waiting.add(reply)
        self.mark = mark

    def extend(self, other: "Pile") -> None:
        """Put all of another pile behind these."""
        for reply, mark in other.ready:
            self.add(reply, mark=mark)
        for frame in other.waiting.frames:
            self.add(frame, mark=other.mark)

    def made(self) -> list[tuple[Reply, int]]:
        """Make a reply of the frames that wait, and give all with their marks."""
        if self.waiting.frames:
            self.ready.append((self.waiting.made(), self.mark))
        return self.ready
