"""A worker as its engine sees it: its pipe, what it holds, and what of that it can be sent now."""

import pickle
from collections import deque
from dataclasses import dataclass, field

from .pipe import Pipe


@dataclass(slots=True)
class Worker:
    """A process, or one that is about to be, and the requests that are with it or wait for it."""

    pipe: Pipe
    name: str
    pid: int = 0
    tickets: deque[int] = field(default_factory=deque)
    current: int | None = None
    """The ticket that it is on, once ``messages`` has told that it began."""
    has_worked: bool = False
    """Whether it has answered a request: then it holds what it has loaded, and what the function has left behind."""
    unsent: deque[tuple[int | None, bytes]] = field(default_factory=deque)
    """What its pipe has no room for yet."""
    requests: dict[int, bytes] = field(default_factory=dict)
    """What it has not answered yet, for the worker that takes its place where it is spent."""
    lanes: dict[int, int] = field(default_factory=dict)
    """The lanes of those requests that are in one."""
    cancelled: set[int] = field(default_factory=set)
    """Requests that were sent to it and are to be answered by nobody."""
    awaits_room: bool = False
    """Whether its pipe is watched for room, as there is more to send."""
    is_spent: bool = False
    is_ended: bool = False
    """Whether it was killed for a request that is cancelled: nothing more that it holds begins."""

    def pass_on(self, ticket: int | None, message: object) -> None:
        """Send a message, as soon as there is room for it."""
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
        """Send what there is room for."""
        self.pipe.send_on()
        while self.unsent and not self.pipe.is_sending:
            self.pipe.send(self.unsent.popleft()[1])

    @property
    def is_behind(self) -> bool:
        """Whether there is more to send once there is room."""
        return self.pipe.is_sending or bool(self.unsent)

    def has_answered(self, ticket: int) -> None:
        """Know that a worker has answered a request."""
        self.tickets.remove(ticket)
        del self.requests[ticket]
        self.lanes.pop(ticket, None)
        self.cancelled.discard(ticket)
        self.current = None
        self.has_worked = True
