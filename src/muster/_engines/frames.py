"""Messages with their length before them, as a ``Connection`` writes them, read without waiting for the rest of one."""

import os
import struct
import time
from collections.abc import Callable
from typing import Final

_LENGTH: Final = struct.Struct("!i")
_LONGER_LENGTH: Final = struct.Struct("!Q")
_IS_LONGER: Final = -1
"""In place of the length: it follows in eight bytes, as four are too few."""
_MOST_SHORT: Final = 0x7FFFFFFF
"""The largest length that is written in four bytes."""
_LONGEST: Final = 64 << 30
"""Larger than any answer, smaller than a length made of text that somebody prints between messages."""

_AT_ONCE: Final = 64 << 20
"""No more memory is taken at once than this: a length is only announced, and what comes may be no message at all."""


class GarbledError(Exception):
    """What came is not what muster says there."""


def framed(message: bytes) -> bytes:
    """Put its length before a message."""
    size = len(message)
    if size <= _MOST_SHORT:
        return _LENGTH.pack(size) + message
    return _LENGTH.pack(_IS_LONGER) + _LONGER_LENGTH.pack(size) + message


class Frames:
    """What comes from a descriptor, message by message. Nothing is waited for."""

    def __init__(self, descriptor: int, *, stall_seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin with the length of a message; the middle of one may be awaited for ``stall_seconds``.

        From now on the descriptor blocks nobody.
        """
        self._descriptor = descriptor
        self._stall_seconds = stall_seconds
        self._clock = clock
        os.set_blocking(descriptor, False)
        self._length: struct.Struct | None = _LENGTH
        self._expect(_LENGTH.size)

    def _expect(self, size: int) -> None:
        self._size, self._at = size, 0
        self._taken = bytearray(min(size, _AT_ONCE))
        self._heard_at = self._clock()

    def next(self) -> bytearray | None:
        """Take the next message, if all of it has come.

        Raises ``EOFError`` where no more will come, ``GarbledError`` for what is no message.
        """
        while self._is_whole():
            taken, length = self._taken, self._length
            if length is None:
                self._length = _LENGTH
                self._expect(_LENGTH.size)
                return taken
            (size,) = length.unpack(taken)
            is_longer = length is _LENGTH and size == _IS_LONGER
            if not is_longer and not 0 <= size <= _LONGEST:
                raise GarbledError(f"it announces a message of {size} bytes")
            self._length = _LONGER_LENGTH if is_longer else None
            self._expect(_LONGER_LENGTH.size if is_longer else size)
        return None

    def _is_whole(self) -> bool:
        """Read on, as far as there is something to read."""
        while self._at < self._size:
            if self._at == len(self._taken):
                self._taken.extend(bytes(min(self._size - self._at, _AT_ONCE)))
            try:
                with memoryview(self._taken) as view, view[self._at :] as rest:
                    got = os.readv(self._descriptor, [rest])
            except BlockingIOError:
                self._check_time()
                return False
            except OSError as error:
                raise EOFError from error
            if not got:  # also where the process died in the middle of a message
                raise EOFError
            self._at += got
            self._heard_at = self._clock()
        return True

    def _check_time(self) -> None:
        is_between = self._length is _LENGTH and not self._at
        if not is_between and self._clock() - self._heard_at > self._stall_seconds:
            raise GarbledError(f"{self._at} of {self._size} bytes came, and then nothing for {self._stall_seconds:g} s")
