"""Answer requests in this very process, one at a time: for a debugger, and for the smallest of jobs."""

import contextlib
import os
import platform
from collections import deque
from collections.abc import Collection
from pathlib import Path
from typing import Any, Final

from muster._environment import LOCAL_WORKER, WORKER

from ._bell import Bell
from .base import Began, Body, Done, Failed, Joined, MakeBody, Message, Slots

_NAME: Final = "1"


class InlineEngine:
    """An engine without processes."""

    workers = 1
    machines = 1

    def __init__(self, make_body: MakeBody) -> None:
        """Make the worker body here."""
        self._folder = Path.cwd()
        self._environment = {name: os.environ.get(name) for name in (WORKER, LOCAL_WORKER)}
        os.environ.update(dict.fromkeys(self._environment, "0"))
        self._body: Body = make_body()
        self._has_joined = False
        self._current: int | None = None
        self._queue: deque[tuple[int | None, Any]] = deque()
        self._bell = Bell()
        self._bell.ring()

    def slots(self) -> Slots:
        """Take one request at a time."""
        return Slots(int(not any(ticket is not None for ticket, _ in self._queue)), 0)

    def brief(self, briefing: bytes) -> None:
        """Brief the body, when what was submitted before is answered."""
        self._queue.append((None, briefing))
        self._bell.ring()

    def submit(self, ticket: int, request: object, *, avoid: Collection[str] = (), fresh: bool = False) -> None:
        """Keep the request until somebody asks for messages."""
        del avoid, fresh
        self._queue.append((ticket, request))
        self._bell.ring()

    def put_aside(self, machine: str) -> None:
        """Do nothing: there would be no worker left."""

    def fileno(self) -> int:
        """Name the descriptor that can be read while there is something to do."""
        return self._bell.fileno()

    def messages(self) -> list[Message]:
        """Tell of the oldest request that it begins, and the next time answer it, however long that takes."""
        try:
            return self._next()
        finally:
            self._bell.ring_for(self._queue)

    def _next(self) -> list[Message]:
        if not self._has_joined:
            self._has_joined = True
            return [Joined(_NAME, platform.node())]
        while self._queue:
            ticket, request = self._queue[0]
            if ticket is not None and ticket != self._current:
                self._current = ticket
                return [Began(ticket, _NAME)]
            self._queue.popleft()
            if ticket is not None:
                self._current = None
                return [self._answered(ticket, request)]
            self._body.brief(request)
        return []

    def _answered(self, ticket: int, request: object) -> Message:
        try:
            return Done(ticket, self._body(request), _NAME)
        except Exception as error:  # noqa: BLE001 (an engine reports whatever its body raises)
            return Failed(ticket, error, _NAME)

    def close(self) -> None:
        """Release the user's functions, and go back to the folder that they may have left."""
        self._body.end()
        self._bell.close()
        for name, value in self._environment.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        with contextlib.suppress(OSError):  # it may be gone
            os.chdir(self._folder)
