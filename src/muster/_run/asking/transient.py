"""Failures that may pass, of a machine or of a store: which are tried again, and after which pause."""

import errno
import time
from collections.abc import Callable
from typing import Final, Generic, TypeVar

from muster._progress.suspects import Setback
from muster.errors import UnreachableError

T = TypeVar("T")

TRIES: Final = 3
"""How often a task is tried that could not be read or written: what fails each time will not mend itself."""

_PAUSES: Final = (0.5, 2.0)
"""Seconds before the second and the third try: the library of a store has tried some times by itself."""

_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
_LASTING: Final = _FULL | {
    *(errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG),
    *(errno.ELOOP, errno.EFBIG, errno.EBADF),
}
DISK_IS_FULL: Final = "its disk is full"


def has_no_room(error: BaseException) -> bool:
    """Tell whether a disk was full, also where whoever says it gives no number."""
    return isinstance(error, OSError) and (error.errno in _FULL or "No space left on device" in str(error))


def may_pass(error: BaseException) -> bool:
    """Tell whether a failure is neither the rows' fault nor the function's, so that another try may do better."""
    return isinstance(error, OSError | UnreachableError)


def is_lasting(error: BaseException) -> bool:
    """Tell whether another try on the same machine would fail in the same way."""
    return isinstance(error, OSError) and (error.errno in _LASTING or has_no_room(error))


def pause_after(error: BaseException, setback: Setback) -> float | None:
    """Tell how many seconds to wait before a task is tried again; ``None`` where that is in vain."""
    if setback.times >= TRIES or (is_lasting(error) and not setback.is_elsewhere_untried):
        return None
    if setback.is_elsewhere_untried and isinstance(error, OSError):  # a store is the same from everywhere
        return 0.0
    return _PAUSES[setback.times - 1]


class Deferred(Generic[T]):
    """Things that are kept until their time has come."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin with none."""
        self._clock = clock
        self._due: list[tuple[float, T]] = []

    def __len__(self) -> int:
        """Count them."""
        return len(self._due)

    def add(self, thing: T, *, seconds: float) -> None:
        """Keep a thing for so long."""
        self._due.append((self._clock() + seconds, thing))

    def seconds_left(self) -> float:
        """Tell in how many seconds the next one comes, infinitely many where there is none."""
        if not self._due:
            return float("inf")
        return max(min(due for due, _ in self._due) - self._clock(), 0.0)

    def take(self) -> list[T]:
        """Take those whose time has come."""
        now = self._clock()
        come = [thing for due, thing in self._due if due <= now]
        self._due = [(due, thing) for due, thing in self._due if due > now]
        return come

    def take_all(self) -> list[T]:
        """Take all of them, before their time."""
        things, self._due = [thing for _, thing in self._due], []
        return things
