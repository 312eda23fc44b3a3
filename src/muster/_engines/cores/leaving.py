"""End a worker as Python ends a program: threads first, then what is registered for the end, then unwritten files."""

import atexit
import contextlib
import ctypes
import gc
import io
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from typing import Any, Final, NoReturn

from muster._private.secrets import scrubbed

_DEVICES: Final = (io.BufferedWriter, io.BufferedRandom)
"""The layers that buffer; raw files hold nothing back."""

_STANDARD: Final = (1, 2)


def leave(status: int, *, end: Callable[[], None]) -> NoReturn:
    """End this process; ``end`` releases the user's functions and what they hold.

    Python's own end would also take down every module and object, which takes longer than a small job.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    shut_down_threads: Callable[[], None] = threading._shutdown  # type: ignore[attr-defined]  # noqa: SLF001 (as Python itself does at its end)
    for step in (shut_down_threads, atexit._run_exitfuncs, end, _close_files, _flush):  # noqa: SLF001 (likewise)
        try:
            step()
        except BaseException:  # noqa: BLE001 (of the user's code; the steps that follow are no less wanted for that)
            with contextlib.suppress(Exception):
                print(scrubbed(traceback.format_exc()), end="", file=sys.stderr)  # noqa: T201 (as Python does)
    os._exit(status)


def _close_files() -> None:
    """Close open files, the outer layers first: text and compressed files write to those below them."""
    for file in sorted(_unclosed(), key=lambda file: type(file) in _DEVICES):
        with contextlib.suppress(Exception):
            file.close()


def _unclosed() -> Iterator[Any]:
    for thing in gc.get_objects():
        if issubclass(type(thing), io.IOBase) and not issubclass(type(thing), io.RawIOBase):
            with contextlib.suppress(Exception):
                if not thing.closed and thing.writable() and not _is_standard(thing):
                    yield thing


def _is_standard(file: Any) -> bool:  # noqa: ANN401 (any kind of file)
    try:
        return file.fileno() in _STANDARD
    except OSError:
        return False


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    ctypes.CDLL(None).fflush(None)  # what compiled code has printed
