"""A worker that is an object of this process, and the machines that such workers are on."""

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from muster._engines.base import Body
from muster._model import Slots


@dataclass(slots=True, eq=False)
class FakeWorker:
    """A body, and the requests and briefings that it holds, in order."""

    name: str
    machine: str
    body: Body
    inbox: deque[tuple[int | None, Any]] = field(default_factory=deque)
    """Requests with their tickets; briefings without."""
    held: int = 0
    """How many requests are among them."""
    has_worked: bool = False
    lanes: dict[int, int] = field(default_factory=dict)
    """The lanes of those requests that are in one."""

    @property
    def tickets(self) -> list[int]:
        """List the requests that it holds, in order."""
        return [ticket for ticket, _ in self.inbox if ticket is not None]

    def take(self, ticket: int, request: object, lane: int | None) -> None:
        """Hold one request more."""
        self.inbox.append((ticket, request))
        self.held += 1
        if lane is not None:
            self.lanes[ticket] = lane

    def withdraw(self, ticket: int) -> int | None:
        """Hold a request no more; tell its lane."""
        self.inbox = deque(one for one in self.inbox if one[0] != ticket)
        self.held -= 1
        return self.lanes.pop(ticket, None)

    def next_request(self) -> tuple[int, Any]:
        """Take the briefings that come first, and look at the request behind them."""
        ticket, request = self.inbox[0]
        while ticket is None:
            self.inbox.popleft()
            self.body.brief(request)
            ticket, request = self.inbox[0]
        return ticket, request

    def finish_request(self) -> None:
        """Know that the first request is answered."""
        ticket, _ = self.inbox.popleft()
        self.held -= 1
        self.has_worked = True
        if self.lanes and ticket is not None:
            self.lanes.pop(ticket, None)

    def read_briefings(self) -> None:
        """Take all briefings, where no request is left."""
        for _, briefing in self.inbox:
            self.body.brief(briefing)
        self.inbox.clear()


class FakeMachine:
    """The workers of a machine that could take a request at once or ahead; who holds more is not among them."""

    __slots__ = ("idle", "is_drained", "on_one")

    def __init__(self) -> None:
        """Begin without workers."""
        self.idle: dict[FakeWorker, None] = {}
        self.on_one: dict[FakeWorker, None] = {}
        self.is_drained = False

    def place(self, worker: FakeWorker) -> None:
        """Put a worker where it belongs by what it holds."""
        self.remove(worker)
        if worker.held == 0:
            self.idle[worker] = None
        elif worker.held == 1:
            self.on_one[worker] = None

    def remove(self, worker: FakeWorker) -> None:
        """Forget a worker."""
        self.idle.pop(worker, None)
        self.on_one.pop(worker, None)

    def least_busy(self) -> FakeWorker | None:
        """Choose a worker that holds at most one request, an idle one first."""
        for those in (self.idle, self.on_one):
            for worker in reversed(those):
                return worker
        return None


class Machines:
    """Machines by name, and what each takes now: kept, as thousands of workers would take long to count."""

    def __init__(self, names: Iterable[str]) -> None:
        """Begin with machines that have no workers."""
        self._of = {name: FakeMachine() for name in names}
        self._slots: dict[str, Slots] = {}

    @property
    def slots(self) -> Mapping[str, Slots]:
        """Tell what they take, those that take anything."""
        return self._slots

    def __getitem__(self, name: str) -> FakeMachine:
        """Find a machine. Raises ``KeyError``."""
        return self._of[name]

    @property
    def are_drained(self) -> bool:
        """Tell whether all are."""
        return all(machine.is_drained for machine in self._of.values())

    def takes_something(self, name: str) -> bool:
        """Tell whether there is such a machine that is not drained."""
        return name in self._of and not self._of[name].is_drained

    def idle(self) -> list[FakeWorker]:
        """List the idle workers of all."""
        return [worker for machine in self._of.values() for worker in machine.idle]

    def see(self, name: str) -> None:
        """Know what a machine takes by now."""
        machine = self._of[name]
        idle, ahead = len(machine.idle), len(machine.on_one)
        if (idle or ahead) and not machine.is_drained:
            self._slots[name] = Slots(idle, ahead)
        else:
            self._slots.pop(name, None)
