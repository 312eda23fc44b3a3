"""What Ray runs on each machine: an actor that carries an engine of that machine's processes, and relays.

One actor a machine, and not one a worker: its processes are forked from one that has imported what they need, so that
many are ready as soon as one is; they share its memory; and the cause of a death is known where it happens.
"""

import contextlib
import os
import pickle
import select
import socket
import sys
import threading
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from typing import Final, Protocol

from .base import Engine, Event, portable

Place = tuple[tuple[str, ...], str]
Message = tuple[int | None, bytes]
"""A ticket with a request and whether a fresh worker shall answer it, or ``None`` with a briefing."""

_WAKE: Final = b"!"


class Pollable(Engine, Protocol):
    """An engine that tells by a descriptor when it has something to say."""

    def fileno(self) -> int:
        """Name the descriptor."""


MakeStation = Callable[[int], Pollable]


class Station:
    """The actor: one thread works with the engine, calls from outside leave messages and take events."""

    def __init__(self, make_engine: bytes, *, workers: int, place: Place | None) -> None:
        """Make the engine of this machine, where the files are shared as in the process that asks."""
        if place is not None:
            path, folder = place
            sys.path[:] = path
            with contextlib.suppress(OSError):
                os.chdir(folder)
        self._engine: Pollable = pickle.loads(make_engine)(workers)  # noqa: S301 (from the muster process that runs the job)
        self._inbox: SimpleQueue[Message] = SimpleQueue()
        self._outbox: SimpleQueue[bytes] = SimpleQueue()
        self._bell, self._ring = socket.socketpair()
        self._bell.settimeout(0)
        threading.Thread(target=self._work, daemon=True).start()

    def tell(self, messages: Sequence[Message]) -> None:
        """Leave briefings and requests for the engine."""
        for message in messages:
            self._inbox.put(message)
        self._ring.send(_WAKE)

    def hear(self) -> list[bytes]:
        """Wait for events; each is pickled, as is the error that the engine ends with."""
        heard = [self._outbox.get()]
        with contextlib.suppress(Empty):
            while True:
                heard.append(self._outbox.get_nowait())
        return heard

    def _work(self) -> None:
        waiting = select.poll()
        for descriptor in (self._engine.fileno(), self._bell.fileno()):
            waiting.register(descriptor, select.POLLIN)
        try:
            while True:
                waiting.poll()
                with contextlib.suppress(BlockingIOError):
                    self._bell.recv(1 << 10)
                self._pass_on()
                for event in self._engine.wait(0):
                    self._say(event)
        except Exception as error:  # noqa: BLE001 (whatever ends the engine is for the runner to know)
            self._say(portable(error))

    def _pass_on(self) -> None:
        with contextlib.suppress(Empty):
            while True:
                ticket, data = self._inbox.get_nowait()
                if ticket is None:
                    self._engine.brief(data)
                else:
                    request, fresh = pickle.loads(data)  # noqa: S301 (likewise)
                    self._engine.submit(ticket, request, fresh=fresh)

    def _say(self, said: Event | Exception) -> None:
        self._outbox.put(pickle.dumps(said))
