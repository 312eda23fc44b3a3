"""Keep signals from being lost while Arrow reads in the process that the user's Ctrl-C is for."""

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
    Without that, Python's handler may run inside a callback of ours, and Arrow swallows what it raises there. Only a
    process that handles them in Python is affected, and only its main thread; workers leave them to the kernel.
    """
    handlers = answered()
    if not handlers:
        yield
        return
    came: list[int] = []
    pa.enable_signal_handlers(enable=False)
    try:
        for one in handlers:
            _signal.signal(one, lambda number, _: came.append(number))
        yield
    finally:
        pa.enable_signal_handlers(enable=True)
        for one, handler in handlers.items():
            _signal.signal(one, handler)
        for number in came:
            signal.raise_signal(number)
