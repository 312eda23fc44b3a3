"""Two processes that watch each other, so that a machine ends with its lease also where one of them does not go on.

The watchdog is the ancestor of all that runs on the machine, and the agent, which keeps the lease, is its child:

- Where the agent is killed, its orphans are the watchdog's, which ends them all at once.
- Where the watchdog is killed, the kernel asks the agent to end, and all ends in order.
- Where one is stopped, or both are, a timer of the kernel has them go on after a moment.
- Where the agent hangs, it puts off no more when it will have ended. Both see that time in memory that they share, by
  the boot clock, and the watchdog reads nothing else that could hang. When it is over, it ends all.
- Where the watchdog hangs, the agent sees that its heart does not beat, and ends all.

Elsewhere than on Linux nothing goes on by itself that was stopped, but each still sees the other's end.
"""

import ctypes
import mmap
import os
import signal
import struct
import sys
import time
from collections.abc import Callable
from typing import Final, NoReturn

from muster._process.timers import KernelTimer, kernel_timer

_SET_PARENT_DEATH_SIGNAL: Final = 1
_SET_CHILD_SUBREAPER: Final = 36
_TIME: Final = struct.Struct("d")
_OVERDUE, _BEAT = 0, _TIME.size
"""Where in the page it says until when the agent may take, and when the watchdog's heart beat last."""

_TICK: Final = 0.5
"""So soon it sees that the agent has ended, or hangs."""

_STOPPED_SECONDS: Final = 2.0
"""How long one that is stopped stays so."""

_SILENT_SECONDS: Final = 60.0
"""After how long without a beat a heart has stopped: a computer may be very busy, and no machine ends for that."""

CLOCK: Final = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
"""Counts on while the machine is suspended."""


class Pulse:
    """What the agent and its watchdog know of each other."""

    def __init__(self) -> None:
        """Begin; the agent has not yet said how long it may take."""
        self._page = mmap.mmap(-1, mmap.PAGESIZE)
        self._timer: KernelTimer | None = None
        self._watchdog = os.getpid()
        _TIME.pack_into(self._page, _OVERDUE, _now() + _SILENT_SECONDS)
        _TIME.pack_into(self._page, _BEAT, _now())

    def stay_awake(self) -> None:
        """Have the kernel continue this process when it is stopped."""
        self._timer = kernel_timer(signal.SIGCONT)  # none of the parent's is inherited
        self._push()

    def _push(self) -> None:
        if self._timer is not None:
            self._timer(_STOPPED_SECONDS)

    def allow(self, seconds: float) -> None:
        """Tell the watchdog, as the agent, to end all that is left so many seconds from now."""
        _TIME.pack_into(self._page, _OVERDUE, _now() + seconds)
        self._push()

    def beat(self) -> None:
        """Tell the agent, as the watchdog, that all is well."""
        _TIME.pack_into(self._page, _BEAT, _now())
        self._push()

    @property
    def is_overdue(self) -> bool:
        """Tell whether the agent should have ended all by now."""
        return _now() > self._read(_OVERDUE)

    @property
    def is_unwatched(self) -> bool:
        """Tell whether the agent has no watchdog any more."""
        return os.getppid() != self._watchdog or _now() > self._read(_BEAT) + _SILENT_SECONDS

    def _read(self, at: int) -> float:
        return float(_TIME.unpack_from(self._page, at)[0])


def _now() -> float:
    return time.clock_gettime(CLOCK)


def guarded(agent: Callable[[Pulse], NoReturn], *, clear_up: Callable[[str], object]) -> tuple[int, int]:
    """Fork an agent, which never returns, below a watchdog; name both processes. Raises ``OSError``.

    Where the agent does not exit with 0, the watchdog calls ``clear_up`` with the reason, to end all that is below it.
    """
    reading, writing = os.pipe()
    if not (watchdog := os.fork()):
        os.close(reading)
        _be_watchdog(agent, clear_up, writing)
    os.close(writing)
    with os.fdopen(reading) as told:
        if not (pid := told.read()):
            raise OSError("no process could be started for the agent")
        return int(pid), watchdog


def _be_watchdog(agent: Callable[[Pulse], NoReturn], clear_up: Callable[[str], object], writing: int) -> NoReturn:
    try:
        os.setsid()
        _control(_SET_CHILD_SUBREAPER, 1)
        _let_go()
        pulse, parent = Pulse(), os.getpid()
        child = os.fork()
        if not child:
            os.close(writing)
            _be_child(agent, pulse, parent)
        signal.signal(signal.SIGTERM, lambda *_: os.kill(child, signal.SIGTERM))
        pulse.stay_awake()
        os.write(writing, str(child).encode())
        os.close(writing)
        why = _watch(child, pulse)
        if why:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            clear_up(why)
    finally:
        os._exit(0)


def _be_child(agent: Callable[[Pulse], NoReturn], pulse: Pulse, parent: int) -> NoReturn:
    """Be the agent; whatever it does not expect is for the watchdog to clear up."""
    try:
        end_with_parent()
        _control(_SET_CHILD_SUBREAPER, 1)
        if os.getppid() == parent:
            pulse.stay_awake()
            agent(pulse)
    finally:
        os._exit(1)


def _let_go() -> None:
    """Let whoever started this go on, who waits for the end of what it was given."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nothing, descriptor)
    os.close(nothing)


def end_with_parent() -> None:
    """Have the kernel ask this process to end when its parent is killed, which then can end nothing itself."""
    _control(_SET_PARENT_DEATH_SIGNAL, signal.SIGTERM)


def _control(what: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(what, value, 0, 0, 0)


def _watch(agent: int, pulse: Pulse) -> str:
    """Wait until the agent has ended, or ought to have; say why all must end, where it has not done so itself."""
    while True:
        pulse.beat()
        ended, status = os.waitpid(agent, os.WNOHANG)
        if ended:
            return "" if status == 0 else "its agent was killed"
        if pulse.is_overdue:
            os.kill(agent, signal.SIGKILL)
            return "its agent did not answer, and its lease is over"
        time.sleep(_TICK)
