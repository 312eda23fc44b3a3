"""A time limit on one call, which works whatever the call does with signals."""

import mmap
import os
import signal
import struct
import threading
import time
from types import FrameType, TracebackType
from typing import Any, Final, Protocol

from muster.errors import MusterError

from .timers import kernel_timer

_DEADLINE: Final = struct.Struct("d")
_TIME_IS_UP: Final = "the function ran longer than the time limit"
_AGAIN_SECONDS: Final = 1.0
"""How long a call may take to unwind. Then the exception is raised again, as the call may have swallowed it."""

_AT_ONCE_SECONDS: Final = 0.001
"""For a timer whose time has passed meanwhile: 0 would switch it off."""
_DEEPEST: Final = 5
"""How many frames lie between the clock's own code and what it calls, such as those of ``signal.signal``."""


class TimeIsUp(KeyboardInterrupt):
    """Raised in a call whose time is over; ``TimeLimit`` turns it into a ``TimeoutError``.

    It is a ``KeyboardInterrupt`` because event loops swallow everything else that is raised in callbacks and tasks.
    """


class _Keeper(Protocol):
    def start(self, seconds: float) -> None: ...

    def stop(self) -> bool:
        """Stop the clock; return whether the time was over."""


class _Interrupt:
    """Raise ``TimeIsUp`` in the call, for a process that must survive. Works in the main thread alone.

    The handler is set for each call, as the function may have set its own; afterwards the caller's is restored.
    """

    def __init__(self) -> None:
        self._alarms: list[_Alarm] = []

    def start(self, seconds: float) -> None:
        if threading.current_thread() is threading.main_thread():
            self._alarms.append(_Alarm(seconds))

    def stop(self) -> bool:
        return threading.current_thread() is threading.main_thread() and self._alarms.pop().stop()


class _Alarm:
    """The limit on one call. It may be within another call that has a limit, whose timer goes on afterwards."""

    def __init__(self, seconds: float) -> None:
        self._has_rung = False
        self._began = time.monotonic()
        self._outer: Any = signal.signal(signal.SIGALRM, self._ring)
        self._left = signal.setitimer(signal.ITIMER_REAL, seconds, _AGAIN_SECONDS)

    def stop(self) -> bool:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, self._outer)
        seconds, again = self._left
        spent = time.monotonic() - self._began
        signal.setitimer(signal.ITIMER_REAL, seconds and max(seconds - spent, _AT_ONCE_SECONDS), again)
        return self._has_rung

    def _ring(self, _signal: int, frame: FrameType | None) -> None:
        self._has_rung = True
        for _ in range(_DEEPEST):  # while the timer itself is started or stopped, there is no call to interrupt
            if frame is not None and frame.f_code in _OWN_CODE:
                return
            frame = frame and frame.f_back
        raise TimeIsUp(_TIME_IS_UP)


class _Kill:
    """Have the kernel kill this process with SIGKILL, which no handler, no mask and no call into C can delay.

    The deadline lies in a page shared with the parent process, which can so tell this from other deaths by SIGKILL.
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

    def stop(self) -> bool:
        if self._timer is None:
            signal.setitimer(signal.ITIMER_REAL, 0)
        else:
            self._timer(0.0)
        _DEADLINE.pack_into(self._page, 0, 0.0)
        return False  # else this process would be dead


_keeper: _Keeper = _Interrupt()


class TimeLimit:
    """A context that lasts at most so many seconds; ``None`` allows any time."""

    def __init__(self, seconds: float | None) -> None:
        self._seconds = seconds

    def __enter__(self) -> None:
        """Start the clock."""
        if self._seconds:
            _keeper.start(self._seconds)

    def __exit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the clock. Raises ``TimeoutError`` where the time was over, even if the call swallowed ``TimeIsUp``."""
        if self._seconds and _keeper.stop() and not isinstance(error, MusterError):
            raise TimeoutError(_TIME_IS_UP).with_traceback(trace) from None


_OWN_CODE: Final = frozenset(
    method.__code__
    for method in (
        TimeLimit.__enter__,
        TimeLimit.__exit__,
        _Interrupt.start,
        _Interrupt.stop,
        _Alarm.__init__,
        _Alarm.stop,
    )
)


def new_page() -> mmap.mmap:
    """Make the page that a worker and the process that forks it share."""
    return mmap.mmap(-1, mmap.PAGESIZE)


def kill_when_over(page: mmap.mmap) -> None:
    """Kill this process when a limit is over, from now on, instead of interrupting it; keep the deadline in a page."""
    global _keeper  # noqa: PLW0603 (a process is killed, or interrupted, as a whole)
    _keeper = _Kill(page)
    os.register_at_fork(after_in_child=_interrupt)  # a child inherits no timer, and must not write to this page


def _interrupt() -> None:
    global _keeper  # noqa: PLW0603 (likewise)
    _keeper = _Interrupt()


def is_over(page: mmap.mmap) -> bool:
    """Tell whether the process that has this page was in a call that had reached its limit."""
    deadline: float = _DEADLINE.unpack_from(page)[0]
    return 0 < deadline <= time.monotonic()
