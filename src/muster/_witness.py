"""What tells a file of this computer from what becomes of it, beside its size and time, which programs set back."""

import contextlib
import fcntl
import os
import signal
import time
from typing import Final, NamedTuple

_SECOND: Final = 1_000_000_000
_COARSE: Final = 2 * _SECOND
"""Nanoseconds: such steps have the clocks of some file systems, whose times have no fraction then."""

_FINE: Final = 12_000_000
"""Nanoseconds: such steps have those of the others at the most, as the kernel's clock ticks."""


class Witness(NamedTuple):
    """The number of a file, and when its inode was changed last, in nanoseconds: no program sets these back."""

    inode: int = 0
    changed: int = 0


def witness(path: str) -> Witness:
    """Look at a file; zeros where none is."""
    try:
        status = os.stat(path)  # noqa: PTH116 (light)
    except OSError:
        return Witness()
    return Witness(status.st_ino, status.st_ctime_ns)


def settled(path: str, *, patience: float) -> tuple[Witness, bool]:
    """Look at a file that may have been written just now: once any later change shows, as the clock has moved on.

    Waits for that, at most ``patience`` seconds; also tells whether it is so.
    """
    deadline = time.time_ns() + int(patience * _SECOND)
    while True:
        seen, now = witness(path), time.time_ns()
        rest = seen.changed + (_FINE if seen.changed % _SECOND else _COARSE) - now
        if rest <= 0 or now + rest > deadline:
            return seen, rest <= 0
        time.sleep(rest / _SECOND)


def is_being_written(path: str) -> bool:
    """Tell whether a process of this computer has a file open for writing, where the kernel tells that.

    It does so by a lease, which it gives on a file that nobody writes to, to its owner. That is given back at once.
    """
    with contextlib.suppress(OSError, AttributeError), open(path, "rb") as file:  # noqa: PTH123 (light)
        fcntl.fcntl(file, fcntl.F_SETSIG, signal.SIGURG)  # who opens it just then sends that, which ends no process
        try:
            fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        except BlockingIOError:
            return True
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    return False
