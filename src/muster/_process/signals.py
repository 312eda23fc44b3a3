"""Signals that end a program raise an exception, as Ctrl-C does, so that the stack unwinds and nothing is left behind.

Only the first one does: a terminal that closes, or a machine that shuts down, sends several, and a second one would
interrupt the cleaning up. A second Ctrl-C does count, as somebody is waiting: then workers are not waited for.
"""

import _signal  # type: ignore[import-not-found]  # it makes no members of enums: two dozen are asked for in each task
import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Final

_PASSING: Final = (
    *("SIGCHLD", "SIGCONT", "SIGINFO", "SIGTSTP", "SIGTTIN", "SIGTTOU", "SIGURG", "SIGWINCH"),
    *("SIGPIPE", "SIGXFSZ"),  # Python ignores them: what is written then raises
    *(() if sys.platform == "linux" else ("SIGIO",)),
)
_FAULTS: Final = ("SIGABRT", "SIGBUS", "SIGEMT", "SIGFPE", "SIGILL", "SIGSEGV", "SIGSYS", "SIGTRAP")
"""Signals of a fault in the process itself, after which it cannot go on."""

_UNSTOPPABLE: Final = ("SIGKILL", "SIGSTOP")
_OTHERS: Final = frozenset(getattr(signal, name, 0) for name in (*_PASSING, *_FAULTS, *_UNSTOPPABLE, "SIGINT"))

ENDING: Final[tuple[int, ...]] = tuple(sorted(number for number in signal.valid_signals() if number not in _OTHERS))
"""Signals that end a program without a handler. SIGINT is not among them: Python raises ``KeyboardInterrupt``."""

_UNWINDING: Final = (int(signal.SIGINT), *map(int, ENDING))
_AGAIN_SECONDS: Final = 0.1
"""Seconds after which a signal whose exception was swallowed is sent again."""
_BY_HAND: Final = frozenset({signal.SIGINT, signal.SIGQUIT})
"""Signals that somebody has typed: Ctrl-C and Ctrl-\\."""


def ignores(pid: int, number: int) -> bool:
    """Tell whether a process ignores a signal, where the kernel tells: Linux does."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text(errors="replace").splitlines():
            name, _, mask = line.partition(":")
            if name == "SigIgn":
                return bool(int(mask, 16) >> (number - 1) & 1)
    return False


class Terminated(KeyboardInterrupt):
    """Raised when a signal comes that ends a program; its text names the signal. Event loops let it pass, as Ctrl-C."""

    def __init__(self, number: int, swallowed: Callable[[int], None] = lambda _: None) -> None:
        """Keep its number, and what to call if this exception is swallowed."""
        super().__init__(_name_of(number))
        self.number = number
        self._swallowed = swallowed

    def __del__(self) -> None:
        """Report that nothing holds this exception any more: if the program goes on, it was swallowed."""
        self._swallowed(self.number)


def _name_of(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # one of the many that have no name
        return f"signal {number}"


class _First:
    """The handler of ending signals in one process: the first one raises."""

    def __init__(self) -> None:
        self._process = os.getpid()
        self._has_come = False
        self._number = 0
        """The first signal: it counts also where its exception is swallowed and another comes before it returns."""
        self.is_over = False

    def __call__(self, number: int, _frame: FrameType | None) -> None:
        if os.getpid() != self._process:  # in a child that the user's function has forked: end as usual
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        elif not (self._has_come or self.is_over):
            self._has_come = True
            self._number = self._number or number
            raise Terminated(self._number, self._swallowed)

    def _swallowed(self, number: int) -> None:
        """Send the signal again: compiled code, destructors and callbacks swallow what is raised within them."""
        if not self.is_over and os.getpid() == self._process:
            self._has_come = False
            main = threading.main_thread().ident or 0
            again = threading.Timer(_AGAIN_SECONDS, signal.pthread_kill, (main, number))
            again.daemon = True
            again.start()


def obey() -> list[int]:
    """Raise ``Terminated`` from now on when a signal comes that would end this process; return those signals.

    One that is ignored, as under ``nohup``, stays ignored, and handlers of others stay.
    """
    first = _First()
    numbers = [number for number in ENDING if signal.getsignal(number) is signal.SIG_DFL]
    for number in numbers:
        signal.signal(number, first)
    return numbers


def settle() -> None:
    """Ignore ending signals from now on: this process is ending by itself."""
    for number in ENDING:
        handler = signal.getsignal(number)
        if isinstance(handler, _First):
            handler.is_over = True


@contextlib.contextmanager
def obeyed() -> Iterator[None]:
    """Raise ``Terminated`` when a signal comes that would end the caller's program; send it again afterwards."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = obey()
    try:
        yield
    except Terminated as asked:
        settle()
        _let_be(numbers)
        if asked.number in numbers:
            signal.raise_signal(asked.number)
        raise
    finally:
        if numbers:
            settle()
        _let_be(numbers)


def _let_be(numbers: list[int]) -> None:
    for number in numbers:
        if isinstance(signal.getsignal(number), _First):
            signal.signal(number, signal.SIG_DFL)


@contextlib.contextmanager
def undisturbed(warning: str) -> Iterator[None]:
    """Hold signals back while something must not be left half-done, and deliver the first one afterwards.

    A first Ctrl-C meanwhile prints the warning; a second one is delivered at once.
    """
    handlers = answered()
    came: list[int] = []

    def hold(number: int, frame: FrameType | None) -> None:
        if number in _BY_HAND and not _BY_HAND.isdisjoint(came):
            answer = handlers[number]
            assert callable(answer)  # noqa: S101 (those alone are held)
            answer(number, frame)
        elif number in _BY_HAND:
            with contextlib.suppress(OSError):  # and not by print, which may have been interrupted itself
                os.write(2, f"\n{warning}\n".encode())
        came.append(number)

    for number in handlers:
        signal.signal(number, hold)
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        for number in came[:1]:
            signal.raise_signal(number)


def answered() -> "dict[int, signal._HANDLER]":
    """Find the handlers of ending signals and of Ctrl-C that Python would call in this thread."""
    if threading.current_thread() is not threading.main_thread():
        return {}
    handlers = ((number, _signal.getsignal(number)) for number in _UNWINDING)
    return {number: handler for number, handler in handlers if callable(handler)}
