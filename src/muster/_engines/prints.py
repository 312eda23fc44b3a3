"""What workers print: each has a pipe of its own, which is read at once, and passed on in whole lines.

So lines of several workers do not mix, what a worker had flushed when it was killed is not lost, and whoever prints
more than is taken waits.
"""

import contextlib
import os
import selectors
import socket
import sys
import threading
import time
from collections.abc import Callable
from typing import Final

Print = Callable[[str, bytes], None]
"""Takes whole lines, and which worker has printed them; no name where it was none of them."""

_AT_ONCE: Final = 1 << 16
"""What a pipe of Linux holds."""

_LONGEST_LINE: Final = 1 << 20
"""A line that is longer is passed on in pieces, each as a line, instead of being gathered in memory."""

_GATHER_SECONDS: Final = 0.05
"""How long lines are gathered: to pass on each by itself would be slow, and make a terminal flicker."""

_MOST_GATHERED: Final = 1 << 18
"""Bytes: more is passed on before its time, so that memory stays small."""


def to_standard_error(worker: str, lines: bytes) -> None:
    """Print there, without a word of whose it is."""
    del worker
    with contextlib.suppress(ValueError, OSError):  # it is closed, or nobody reads it
        sys.stderr.write(lines.decode(errors="backslashreplace"))
        sys.stderr.flush()


class Prints:
    """Reads pipes in a thread of its own, from the first pipe on until it is closed."""

    def __init__(self, take: Print) -> None:
        """Pass lines on to ``take``, which is called in that thread."""
        self._take = take
        self._selector = selectors.DefaultSelector()
        self._unended: dict[int, bytearray] = {}
        self._gathered: list[tuple[str, bytes]] = []
        self._due = 0.0
        self._wakes, self._bell = socket.socketpair()
        self._selector.register(self._wakes, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._work, name="muster-prints", daemon=True)
        self._thread.start()

    def pipe(self, worker: str) -> int:
        """Make the pipe of a worker; return the end that it shall print to, which the caller closes here."""
        ours, theirs = os.pipe()
        self.read(worker, ours)
        return theirs

    def read(self, worker: str, descriptor: int) -> None:
        """Read a pipe from now on, and close it at its end."""
        self._selector.register(descriptor, selectors.EVENT_READ, worker)

    def close(self) -> None:
        """Pass on all that has been printed until now, and read no more."""
        self._bell.close()
        self._thread.join()

    def _work(self) -> None:
        while self._turn():
            pass
        while self._read_what_is_there(0):  # of processes that are left behind, and hold a pipe open, no end comes
            pass
        for key in list(self._selector.get_map().values()):
            if isinstance(key.fileobj, int):
                self._end(key.fileobj, key.data)
        self._pass_on()
        self._selector.close()
        self._wakes.close()

    def _turn(self) -> bool:
        """Read what comes next; tell whether there is more to wait for."""
        waits = max(self._due - time.monotonic(), 0) if self._gathered else None
        goes_on = self._read_what_is_there(waits) is not None
        if self._gathered and (time.monotonic() >= self._due or self._size >= _MOST_GATHERED):
            self._pass_on()
        return goes_on

    @property
    def _size(self) -> int:
        return sum(len(lines) for _, lines in self._gathered)

    def _read_what_is_there(self, timeout: float | None) -> int | None:
        """Read from all pipes that have something; tell from how many, or nothing where the bell rings."""
        count, rings = 0, False
        for key, _ in self._selector.select(timeout):
            if key.fileobj is self._wakes:
                self._selector.unregister(self._wakes)
                rings = True
            elif isinstance(key.fileobj, int):
                count += 1
                self._read_from(key.fileobj, key.data)
        return None if rings else count

    def _read_from(self, descriptor: int, worker: str) -> None:
        data = os.read(descriptor, _AT_ONCE)
        if not data:
            self._end(descriptor, worker)
            return
        unended = self._unended.setdefault(descriptor, bytearray())
        unended += data
        stop = unended.rfind(b"\n") + 1
        if not stop and len(unended) > _LONGEST_LINE:
            unended += b"\n"
            stop = len(unended)
        if stop:
            self._gather(worker, bytes(unended[:stop]))
            del unended[:stop]

    def _end(self, descriptor: int, worker: str) -> None:
        """Read no more; what was no whole line becomes one."""
        if unended := self._unended.pop(descriptor, None):
            self._gather(worker, bytes(unended) + b"\n")
        self._selector.unregister(descriptor)
        os.close(descriptor)

    def _gather(self, worker: str, lines: bytes) -> None:
        if not self._gathered:
            self._due = time.monotonic() + _GATHER_SECONDS
        self._gathered.append((worker, lines))

    def _pass_on(self) -> None:
        gathered, self._gathered = self._gathered, []
        together: list[tuple[str, list[bytes]]] = []
        for worker, lines in gathered:
            if not together or together[-1][0] != worker:
                together.append((worker, []))
            together[-1][1].append(lines)
        for worker, pieces in together:
            with contextlib.suppress(Exception):  # whatever shows it: workers would wait for who reads no more
                self._take(worker, b"".join(pieces))


def labelled(take: Callable[[str], None]) -> Print:
    """Begin each line with the worker's name, where several print."""

    def label(worker: str, lines: bytes) -> None:
        text = lines.decode(errors="backslashreplace")
        if worker:
            mark = f"worker {worker}: "
            text = mark + text[:-1].replace("\n", f"\n{mark}") + "\n"
        take(text)

    return label


def unlabelled(take: Callable[[str], None]) -> Print:
    """Pass lines on as they are, where but one worker prints."""
    return lambda _, lines: take(lines.decode(errors="backslashreplace"))
