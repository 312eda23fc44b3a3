"""The pipe to a worker, as its engine has it: neither sending nor receiving waits for the worker."""

import contextlib
import math
import pickle
import socket
from typing import Any, Final

from muster._engines.frames import Frames, framed

_NOTHING: Final = memoryview(b"")


class Pipe:
    """Messages to a worker and back, which has a ``Connection`` at its end.

    A worker may be stopped, or be slow, in the middle of a message: what has come of it is kept until the rest comes.
    """

    def __init__(self, descriptor: int) -> None:
        """Have an end of a pair of sockets, which is closed with this."""
        self._end = socket.socket(fileno=descriptor)
        self._end.settimeout(0)  # which Frames knows of the descriptor, and this object has to know, too
        self._frames = Frames(descriptor, stall_seconds=math.inf)  # one that was stopped may go on some day
        self._rest = _NOTHING

    def fileno(self) -> int:
        """Name the descriptor that can be read, or written, when there is something to do."""
        return self._end.fileno()

    @property
    def is_sending(self) -> bool:
        """Whether there was no room yet for all of the last message."""
        return bool(self._rest)

    def send(self, message: bytes) -> None:
        """Begin to send a message, where the one before was sent whole."""
        self._rest = memoryview(framed(message))
        self.send_on()

    def send_on(self) -> None:
        """Send as much of the message as there is room for."""
        with contextlib.suppress(BlockingIOError):
            while self._rest:
                try:
                    self._rest = self._rest[self._end.send(self._rest) :]
                except ConnectionError:  # it died just now: the end of its pipe will say so
                    self._rest = _NOTHING
            self._rest = _NOTHING  # an empty view would keep all of the message

    def receive(self) -> Any:  # noqa: ANN401 (whatever was sent)
        """Take the next message; ``None``, which nobody sends, where it has not come whole yet.

        Raises ``EOFError`` where none will come, ``GarbledError`` and ``UnpicklingError`` for what is none.
        """
        frame = self._frames.next()
        return None if frame is None else pickle.loads(frame)  # noqa: S301 (from a worker of this process)

    def close(self) -> None:
        """Hang up."""
        self._end.close()
