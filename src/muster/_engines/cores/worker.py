"""A worker as its engine sees it: its pipe, what it holds, and what of that it can be sent now."""

import contextlib
import pickle
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

_SURELY_TAKEN: Final = 64 << 10
"""Bytes that a pipe takes while nobody reads them: a socket of Linux has three times as much by default."""

_TAKEN_BY_EACH: Final = 2 << 10
"""What the kernel counts for each message besides its bytes; many small ones would fill it unseen."""


@dataclass(slots=True)
class Worker:
    """A process, or one that is about to be, and the requests that are with it or wait for it."""

    pipe: "Connection[Any, Any]"
    name: str
    pid: int = 0
    tickets: deque[int] = field(default_factory=deque)
    current: int | None = None
    """The ticket that it is on, once ``messages`` has told that it began."""
    sent: int = 0
    """How many of the tickets were sent."""
    has_worked: bool = False
    """Whether it has answered a request: then it holds what it has loaded, and what the function has left behind."""
    unsent: deque[tuple[int | None, bytes]] = field(default_factory=deque)
    unread: deque[tuple[int | None, int]] = field(default_factory=deque)
    """What was sent and may not have been read yet, with the bytes that it takes up in the pipe; never many."""
    requests: dict[int, bytes] = field(default_factory=dict)
    """What it has not answered yet, for the worker that takes its place where it is spent."""
    lanes: dict[int, int] = field(default_factory=dict)
    """The lanes of those requests that are in one."""
    cancelled: set[int] = field(default_factory=set)
    """Requests that were sent to it and are to be answered by nobody."""
    is_spent: bool = False
    is_ended: bool = False
    """Whether it was killed for a request that is cancelled: nothing more that it holds begins."""

    def pass_on(self, ticket: int | None, message: object) -> None:
        """Send a message; keep a large one until the worker is idle, as two ends that both send would deadlock."""
        self._pass(ticket, pickle.dumps((ticket, message)))

    def take_over(self, other: "Worker") -> None:
        """Have what another has not answered."""
        for ticket in other.tickets:
            self.tickets.append(ticket)
            self._pass(ticket, other.requests[ticket])
        self.lanes, self.cancelled = other.lanes, other.cancelled

    def withdraw(self, ticket: int) -> bool:
        """Forget a request that has not been sent yet; tell whether it had not."""
        kept = deque(one for one in self.unsent if one[0] != ticket)
        if len(kept) == len(self.unsent):
            return False
        self.unsent = kept
        self.tickets.remove(ticket)
        del self.requests[ticket]
        return True

    def _pass(self, ticket: int | None, data: bytes) -> None:
        if ticket is not None:
            self.requests[ticket] = data
        self.unsent.append((ticket, data))
        self.catch_up()

    def catch_up(self) -> None:
        """Send what can be sent: to an idle worker anything, to a busy one what its pipe surely takes.

        A busy worker may be sending an answer that is larger than its pipe, and reads nothing until that is read here.
        """
        while self.unsent:
            ticket, data = self.unsent[0]
            taken = len(data) + _TAKEN_BY_EACH
            unread = sum(bytes_taken for _, bytes_taken in self.unread)
            if unread + taken > _SURELY_TAKEN and not (self.pid and not self.sent):
                return
            self.unsent.popleft()
            self.sent += ticket is not None
            self.unread.append((ticket, taken))
            with contextlib.suppress(ConnectionError):  # it died just now: the end of its pipe will say so
                self.pipe.send_bytes(data)

    def has_answered(self, ticket: int) -> None:
        """Know that a worker has answered a request: it has read that, and all that was sent before."""
        self.tickets.remove(ticket)
        del self.requests[ticket]
        self.lanes.pop(ticket, None)
        self.cancelled.discard(ticket)
        self.current = None
        self.has_worked = True
        self.sent -= 1
        while self.unread.popleft()[0] != ticket:
            pass
        self.catch_up()
