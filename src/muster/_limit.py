"""A time limit on one call, which holds whatever the call does with signals."""

import mmap
import os
import signal
import struct
import threading
import time
from types import FrameType
from typing import Any, Final, Protocol

from muster._timers import kernel_timer

_DEADLINE: Final = struct.Struct("d")


class _Keeper(Protocol):
    def start(self, seconds: float) -> None: ...

    def stop(self) -> None: ...


class _Interrupt:
    """Raise ``TimeoutError`` in the call, for a process that must survive. Works in the main thread alone.

    The handler is set for each call, as the function may have set its own; afterwards the caller's is restored.
    """

    def __init__(self) -> None:
        self._outer: list[tuple[Any, float]] = []

    def start(self, seconds: float) -> None:
        if threading.current_thread() is threading.main_thread():
            previous = signal.signal(signal.SIGALRM, _time_is_up)
            self._outer.append((previous, signal.setitimer(signal.ITIMER_REAL, seconds)[0]))

    def stop(self) -> None:
        if threading.current_thread() is threading.main_thread():
            signal.setitimer(signal.ITIMER_REAL, 0)
            previous, left = self._outer.pop()
            signal.signal(signal.SIGALRM, previous)
            signal.setitimer(signal.ITIMER_REAL, left)


def _time_is_up(_signal: int, _frame: FrameType | None) -> None:
    raise TimeoutError("the function ran longer than the time limit")


class _Kill:
    """Have the kernel kill this process: no handler, no mask and no call into C can keep that from happening.

    The deadline lies in a page shared with the parent process, which so tells this death from others by SIGKILL.
    """

    def __init__(self, page: mmap.mmap) -> None:
        self._page = page
        self._timer = kernel_timer(signal.SIGKILL)

    def start(self, seconds: float) -> None:
        _DEADLINE.pack_into(self._page, 0, time.monotonic() + seconds)
        if self._timer is None:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.setitimer(signal.ITIMER_REAL, seconds)
        else:
            self._timer(seconds)

    def stop(self) -> None:
        if self._timer is None:
            signal.setitimer(signal.ITIMER_REAL, 0)
        else:
            self._timer(0.0)
        _DEADLINE.pack_into(self._page, 0, 0.0)


_keeper: _Keeper = _Interrupt()


class Limit:
    """A context that lasts at most so many seconds; ``None`` allows any time."""

    def __init__(self, seconds: float | None) -> None:
        """Allow this many seconds."""
        self._seconds = seconds

    def __enter__(self) -> None:
        """Start the clock."""
        if self._seconds:
            _keeper.start(self._seconds)

    def __exit__(self, *_: object) -> None:
        """Stop it."""
        if self._seconds:
            _keeper.stop()


def new_page() -> mmap.mmap:
    """Make the page that a worker and the process that forks it share."""
    return mmap.mmap(-1, mmap.PAGESIZE)


def kill_when_over(page: mmap.mmap) -> None:
    """Have this process killed from now on when a limit is over, and its deadline kept in a page."""
    global _keeper  # noqa: PLW0603 (a process is killed, or interrupted, as a whole)
    _keeper = _Kill(page)
    os.register_at_fork(after_in_child=_interrupt)  # a timer is not inherited, and the page is this process's


def _interrupt() -> None:
    global _keeper  # noqa: PLW0603 (likewise)
    _keeper = _Interrupt()


def is_over(page: mmap.mmap) -> bool:
    """Tell whether the process that was given this page was on a call that had reached its limit."""
    deadline: float = _DEADLINE.unpack_from(page)[0]
    return 0 < deadline <= time.monotonic()
