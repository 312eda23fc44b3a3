"""Timers of the kernel, which send this process a signal whatever it does, and whether it is running or stopped.

They need nothing but Python's standard library: hosts have them too.
"""

import contextlib
import ctypes
import sys
import time
from typing import Final

_SIGEV_SIGNAL: Final = 0
_SECONDS_AND_NANOSECONDS: Final = 4
"""``struct itimerspec``: seconds and nanoseconds of the interval, then of the time until the timer expires."""


class _SignalEvent(ctypes.Structure):
    """``struct sigevent`` of Linux, which is 64 bytes long."""

    _fields_ = (
        ("value", ctypes.c_void_p),
        ("signal", ctypes.c_int),
        ("notify", ctypes.c_int),
        ("padding", ctypes.c_byte * 48),
    )


class KernelTimer:
    """A POSIX timer that sends one signal; called with the seconds from now on, 0 stops it."""

    def __init__(self, number: int, library: ctypes.CDLL) -> None:
        """Make it. Raises ``OSError`` and ``AttributeError`` where there is none."""
        self._settime = library.timer_settime
        self._timer = ctypes.c_void_p()
        event = _SignalEvent(signal=number, notify=_SIGEV_SIGNAL)
        if library.timer_create(time.CLOCK_MONOTONIC, ctypes.byref(event), ctypes.byref(self._timer)):
            raise OSError(ctypes.get_errno(), "timer_create")

    def __call__(self, seconds: float) -> None:
        """Start it anew, or stop it."""
        whole = int(seconds)
        nanoseconds = max(int((seconds - whole) * 1e9), 0 < seconds < 1)  # 0 would mean no limit
        setting = (ctypes.c_long * _SECONDS_AND_NANOSECONDS)(0, 0, whole, nanoseconds)
        self._settime(self._timer, 0, setting, None)


def kernel_timer(number: int) -> KernelTimer | None:
    """Make a timer where the kernel has such; glibc before 2.34 keeps it in a library of its own."""
    if sys.platform != "linux":
        return None
    for name in (None, "librt.so.1"):
        with contextlib.suppress(OSError, AttributeError):
            return KernelTimer(number, ctypes.CDLL(name, use_errno=True))
    return None
