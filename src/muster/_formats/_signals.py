"""Keep Ctrl-C and other signals from being lost while Arrow reads CSV in a process that handles them in Python."""

import _signal  # type: ignore[import-not-found]  # it makes no members of enums: that takes longer than a small file
import contextlib
import signal
from collections.abc import Iterator

import pyarrow as pa

from muster._process.signals import answered


@contextlib.contextmanager
def held() -> Iterator[None]:
    """Let Ctrl-C and signals that end a program be handled when the context ends, and not within.

    Arrow takes some of them while it reads CSV, and a thread of its own passes them on: one that comes late is lost.
    Without Arrow's, Python's handler may run inside a callback of ours, and Arrow swallows what it raises there. So
    both wait. Only the main thread of a process that handles them in Python is affected; workers leave them to the
    kernel.
    """
    handlers = answered()
    if not handlers:
        yield
        return
    came: list[int] = []
    pa.enable_signal_handlers(enable=False)
    try:
        for number in handlers:
            _signal.signal(number, lambda number, _: came.append(number))
        yield
    finally:
        pa.enable_signal_handlers(enable=True)
        for number, handler in handlers.items():
            _signal.signal(number, handler)
        for number in came:
            signal.raise_signal(number)
