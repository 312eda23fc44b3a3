"""Answer requests in this very process, one at a time: for a debugger, and for the smallest of jobs."""

import contextlib
import os
import platform
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from muster._model import Slots
from muster._process.environment import numbered

from .base import (
    CANCELLED,
    Began,
    Body,
    Done,
    Failed,
    Joined,
    Left,
    Lost,
    MakeBody,
    Message,
    NobodyLeftError,
    is_this_computer,
)
from .bell import Bell

_NAME: Final = "1"


class InlineEngine:
    """An engine without processes."""

    def __init__(self, make_body: MakeBody) -> None:
        """Make the worker body here."""
        self._folder = Path.cwd()
        numbers = numbered(0, 0)
        self._environment = {name: os.environ.get(name) for name in numbers}
        os.environ.update(numbers)
        self._body: Body = make_body()
        self._has_joined = False
        self._current: int | None = None
        self._queue: deque[tuple[int | None, Any]] = deque()
        self._lanes: dict[int, int] = {}
        self._untold: list[Message] = []
        self._all_lanes: set[int] = set()
        self._is_draining = self._has_left = False
        self._bell = Bell()
        self._bell.ring()

    def slots(self) -> Mapping[str, Slots]:
        """Take one request at a time."""
        if self._is_draining:
            return {}
        return {platform.node(): Slots(int(not any(ticket is not None for ticket, _ in self._queue)), 0)}

    def brief(self, briefing: bytes) -> None:
        """Brief the body, when what was submitted before is answered."""
        self._queue.append((None, briefing))
        self._bell.ring()

    def submit(
        self, ticket: int, request: object, *, machine: str, lane: int | None = None, fresh: bool = False
    ) -> None:
        """Keep the request until somebody asks for messages."""
        del fresh
        self._bell.ring()
        if self._is_draining or not is_this_computer(machine):
            self._untold.append(Lost(ticket, "its machine is gone", began=False, lane=lane))
            return
        self._queue.append((ticket, request))
        if lane is not None:
            self._lanes[ticket] = lane
            self._all_lanes.add(lane)

    def cancel(self, ticket: int) -> None:
        """Forget a request. As one that is answered is never interrupted here, it has at most been told to begin."""
        kept = deque(one for one in self._queue if one[0] != ticket)
        if len(kept) < len(self._queue):
            self._queue = kept
            began = self._current == ticket
            self._untold.append(Lost(ticket, CANCELLED, began=began, worker=_NAME, lane=self._lanes.pop(ticket, None)))
            self._current = None if began else self._current
            self._bell.ring()

    def drain(self, machine: str) -> None:
        """Take nothing new."""
        if is_this_computer(machine):
            self._is_draining = True
            self._bell.ring()

    def fileno(self) -> int:
        """Name the descriptor that can be read while there is something to do."""
        return self._bell.fileno()

    def messages(self) -> list[Message]:
        """Tell of the oldest request that it begins, and the next time answer it, however long that takes."""
        try:
            return self._next()
        finally:
            self._bell.ring_for(self._queue or self._untold or self._is_draining)

    def _next(self) -> list[Message]:
        if not self._has_joined:
            self._has_joined = True
            return [Joined(_NAME, platform.node())]
        if self._untold:
            untold, self._untold = self._untold, []
            return untold
        while self._queue:
            ticket, request = self._queue[0]
            if ticket is not None and ticket != self._current:
                self._current = ticket
                return [Began(ticket, _NAME)]
            self._queue.popleft()
            if ticket is not None:
                self._current = None
                self._lanes.pop(ticket, None)
                return [self._answered(ticket, request)]
            self._body.brief(request)
        return self._leave() if self._is_draining else []

    def _leave(self) -> list[Message]:
        if self._has_left:
            raise NobodyLeftError
        self._has_left = True
        return [Left(_NAME, "its machine is drained", tuple(sorted(self._all_lanes)))]

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
