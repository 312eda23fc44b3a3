"""The first message in each direction: it says that muster is at the other end, in the same version as here.

A login shell may print before it starts the program it was asked for, so what stands before the mark is the shell's.
Who is called says it first, and no more until it is answered; who calls answers with its own, and all it has to say.
"""

import functools
import hashlib
import importlib.metadata
import os
import time
from pathlib import Path
from typing import Final

from muster._words import printable

WIRE: Final = 3
"""The way in which messages are written: raised whenever it changes."""

SECONDS: Final = 60.0
"""How long a machine may take to say hello: a connection, a login shell and a Python that starts, all of them slow."""

_MARK: Final = b"\0muster\0"
_LONGEST: Final = 200
"""A hello is one line of about 60 letters."""

_MOST_NOISE: Final = 1 << 16
"""What a login shell prints before is kept to be shown, and no more than that."""

_MOST_SHOWN: Final = 200
"""Letters: three lines of a terminal."""


class SilenceError(Exception):
    """Nobody said hello in time."""


class StrangerError(Exception):
    """The other end is another muster, or none."""


@functools.cache
def own() -> str:
    """Say who is here: the way of writing, the version, and a fingerprint of muster's own code."""
    package = Path(__file__).parents[2]
    digest = hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        digest.update(str(path.relative_to(package)).encode() + b"\0" + path.read_bytes())
    return f"wire {WIRE}, muster {importlib.metadata.version('muster-run')}, code {digest.hexdigest()[:12]}"


def say(descriptor: int) -> None:
    """Say hello, to whoever reads."""
    os.write(descriptor, _MARK + own().encode() + b"\n")


def answer(descriptor: int) -> None:
    """Wait for the hello of whoever called, before which nothing can stand. Raises ``StrangerError``, ``EOFError``."""
    greeting = Greeting(seconds=float("inf"))
    while not greeting.take(descriptor, most=1):  # what stands behind it are messages
        if greeting.is_noisy:
            raise StrangerError(f"another muster than the one there ({own()}), without a hello")


class Greeting:
    """What comes from the other end up to its hello."""

    def __init__(self, *, seconds: float = SECONDS) -> None:
        """Begin to wait for a hello, which has to come within ``seconds``."""
        self._seconds = seconds
        self._deadline = time.monotonic() + seconds
        self._heard = b""

    @property
    def left(self) -> float:
        """Tell how many seconds are left."""
        return max(0.0, self._deadline - time.monotonic())

    @property
    def noise(self) -> str:
        """Tell what was said before the hello, shortened, in one line."""
        text = " ".join(self._heard.partition(_MARK)[0].decode(errors="replace").split())
        return printable(text if len(text) <= _MOST_SHOWN else text[:_MOST_SHOWN] + "...")

    @property
    def is_noisy(self) -> bool:
        """Tell whether there is something that is no hello."""
        return not _MARK.startswith(self._heard[: len(_MARK)])

    def check_time(self) -> None:
        """Raise ``SilenceError`` when the time for a hello is over."""
        if self.left <= 0:
            said = f"; it said only: {self.noise}" if self.noise else ""
            raise SilenceError(f"no hello came within {self._seconds:g} s{said}")

    def take(self, descriptor: int, *, most: int = 1 << 12) -> bool:
        """Take what there is to read, of so many bytes at most; tell whether that completes a hello.

        Raises ``EOFError`` at the end of what is said, ``StrangerError`` when the hello is another muster's.
        """
        told = os.read(descriptor, most)
        if not told:
            raise EOFError
        self._heard += told
        before, mark, hello = self._heard.partition(_MARK)
        if not mark:  # of more than is shown, the end alone can hold the beginning of a mark
            self._heard = before[:_MOST_NOISE] + before[_MOST_NOISE:][-len(_MARK) :]
            return False
        if b"\n" not in hello and len(hello) < _LONGEST:
            return False
        who = hello.partition(b"\n")[0].decode(errors="replace")
        if who != own():
            raise StrangerError(f"another muster than here: {who} there, {own()} here")
        return True
