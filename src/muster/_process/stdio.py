"""The standard streams, each of which may be closed, full, or read by nobody: that must not change how a run ends."""

import contextlib
import errno
import io
import os
import sys
from collections.abc import Iterator
from typing import Any, Final, TextIO, cast

_DESCRIPTORS: Final = (0, 1, 2)


class _Forgiving:
    """Drops what the stream cannot take; ``strict`` is the stream itself, which raises, for what must not be lost."""

    def __init__(self, stream: TextIO | None) -> None:
        self.strict = stream

    def write(self, text: str) -> int:
        with contextlib.suppress(OSError):
            if self.strict is not None:
                self.strict.write(text)
        return len(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError):
            if self.strict is not None:
                self.strict.flush()

    def isatty(self) -> bool:
        return self.strict is not None and self.strict.isatty()

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 (whatever else a stream has)
        return getattr(self.strict, name)


def forgive() -> None:
    """Have printing never raise in this process from now on, also where it reaches nobody."""
    _open_what_is_closed()
    sys.stdout, sys.stderr = (cast("TextIO", _Forgiving(stream)) for stream in (sys.stdout, sys.stderr))


@contextlib.contextmanager
def forgiving() -> Iterator[None]:
    """``forgive`` for as long as the context lasts. At its end Python does not report what it could not write."""
    streams = sys.stdout, sys.stderr
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors="backslashreplace")  # the name of a file need not be text
    forgive()
    try:
        yield
    finally:
        sys.stdout, sys.stderr = streams
        for stream in streams:
            _let_go(stream)


def say(text: str) -> None:
    """Print a line that the user asked for. Raises ``OSError`` where standard output does not take it."""
    stream = sys.stdout.strict if isinstance(sys.stdout, _Forgiving) else sys.stdout
    if stream is None:
        raise OSError(errno.EBADF, "it is closed", "standard output")
    try:
        print(text, file=stream, flush=True)
    except OSError as error:
        raise OSError(error.errno, error.strerror, "standard output") from error


def _open_what_is_closed() -> None:
    """Point closed descriptors at /dev/null: else the next ``open`` returns 1, and prints go into a data file."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in _DESCRIPTORS:
        if descriptor == nowhere:
            os.set_inheritable(descriptor, True)  # noqa: FBT003 (it takes no names)
        elif not _is_open(descriptor):
            os.dup2(nowhere, descriptor)
    if nowhere not in _DESCRIPTORS:
        os.close(nowhere)


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


def _let_go(stream: TextIO | None) -> None:
    """Write what is left to be written, or give it up: Python would try it again at its end, and exit with 120."""
    if stream is None:
        return
    try:
        stream.flush()
    except OSError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
