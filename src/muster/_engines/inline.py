"""Answer requests in this very process, one at a time: for a debugger, and for the smallest of jobs."""

import platform
import signal
import threading
from collections import deque
from collections.abc import Collection
from types import FrameType
from typing import Any, Final

from .base import Began, Body, Done, Event, Failed, Joined, MakeBody, Slots

_NAME: Final = "1"


class InlineEngine:
    """An engine without processes."""

    workers = 1
    machines = 1

    def __init__(self, make_body: MakeBody) -> None:
        """Make the worker body here; a time limit interrupts its call, where this is the main thread."""
        self._body: Body = make_body()
        self._has_joined = False
        self._current: int | None = None
        self._queue: deque[tuple[int | None, Any]] = deque()
        self._is_main = threading.current_thread() is threading.main_thread()
        if self._is_main:
            self._previous = signal.signal(signal.SIGALRM, _time_is_up)

    def slots(self) -> Slots:
        """Take one request at a time."""
        return Slots(int(not any(ticket is not None for ticket, _ in self._queue)), 0)

    def brief(self, briefing: bytes) -> None:
        """Brief the body, when what was submitted before is answered."""
        self._queue.append((None, briefing))

    def submit(self, ticket: int, request: object, *, avoid: Collection[str] = ()) -> None:
        """Keep the request until somebody waits."""
        del avoid
        self._queue.append((ticket, request))

    def put_aside(self, machine: str) -> None:
        """Do nothing: there would be no worker left."""

    def wait(self, timeout: float | None = None) -> list[Event]:
        """Tell of the oldest request that it begins, and the next time answer it, however long that takes."""
        del timeout
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

    def _answered(self, ticket: int, request: object) -> Event:
        try:
            return Done(ticket, self._body(request), _NAME)
        except Exception as error:  # noqa: BLE001 (an engine reports whatever its body raises)
            return Failed(ticket, error, _NAME)

    def close(self) -> None:
        """Give the alarm signal back."""
        if self._is_main:
            signal.signal(signal.SIGALRM, self._previous)


def _time_is_up(_signal: int, _frame: FrameType | None) -> None:
    raise TimeoutError("the function ran longer than the time limit")
