"""Stand-ins without processes, files or clocks, for muster's own tests and for those of its users."""

from collections import deque
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush
from random import Random
from typing import Any

from muster._engines._bell import Bell
from muster._engines.base import Began, Body, Done, Failed, Joined, Left, Lost, MakeBody, Message, Slots


def _spares_all(*_: object) -> bool:
    return False


def _goes_well(*_: object) -> None:
    return None


def _takes_no_time(_: object) -> float:
    return 0.0


class FakeClock:
    """A clock that stands still until somebody waits by it."""

    def __init__(self) -> None:
        """Begin at 0 seconds."""
        self.seconds = 0.0

    def reach(self, seconds: float) -> None:
        """Move on to a time, unless it has passed."""
        self.seconds = max(self.seconds, seconds)


@dataclass(slots=True, eq=False)
class _Worker:
    name: str
    machine: str
    body: Body
    inbox: deque[tuple[int | None, Any]] = field(default_factory=deque)
    held: int = 0
    has_worked: bool = False

    @property
    def tickets(self) -> list[int]:
        return [ticket for ticket, _ in self.inbox if ticket is not None]

    def next_request(self) -> tuple[int, Any]:
        """Take the briefings that come first, and look at the request behind them."""
        ticket, request = self.inbox[0]
        while ticket is None:
            self.inbox.popleft()
            self.body.brief(request)
            ticket, request = self.inbox[0]
        return ticket, request


class FakeEngine:
    """An engine whose workers are objects of this process; it reorders answers and loses workers as it is told.

    Each call of ``messages`` answers one request. The same ``chance`` gives the same messages again, so that a race
    that was seen once can be looked at. With ``seconds`` and a ``clock`` thousands of workers take no time at all.
    """

    def __init__(  # noqa: PLR0913 (each of which a test may leave out)
        self,
        make_body: MakeBody,
        *,
        workers: int = 2,
        machines: int = 1,
        chance: Random | None = None,
        kills: Callable[[object], bool] = _spares_all,
        kills_on: Callable[[str, object], bool] = _spares_all,
        fails_on: Callable[[str, object], Exception | None] = _goes_well,
        seconds: Callable[[Any], float] = _takes_no_time,
        clock: FakeClock | None = None,
    ) -> None:
        """Make the bodies of ``workers`` workers, each of which holds one request and one ahead.

        ``chance`` picks who answers next; without it that is who is done first, where requests take as many ``seconds``
        on the ``clock`` as is said. A request for which ``kills`` says so ends its worker, which is replaced; so does
        one for which ``kills_on`` says so of the machine, ``machine 1`` and so on, that it is on. One for which
        ``fails_on`` has an error of that machine raises it, and its worker lives.
        """
        self.workers = workers
        self.machines = machines
        self.clock = clock or FakeClock()
        self._make_body = make_body
        self._chance = chance
        self._kills = kills
        self._kills_on = kills_on
        self._fails_on = fails_on
        self._put_aside: set[str] = set()
        self._seconds = seconds
        self._briefing: bytes | None = None
        self._idle: dict[_Worker, None] = {}
        self._on_one: dict[_Worker, None] = {}
        self._busy: list[tuple[float, int, _Worker]] = []
        self._begun = 0
        self._events: list[Message] = []
        self._bell = Bell()
        self._bell.ring()
        for number in range(workers):
            self._bear(str(number + 1), f"machine {number % machines + 1}")

    def _bear(self, name: str, machine: str) -> None:
        if machine in self._put_aside:
            return
        worker = _Worker(name, machine, self._make_body())
        if self._briefing is not None:
            worker.body.brief(self._briefing)
        self._idle[worker] = None
        self._events.append(Joined(worker.name, machine))

    def slots(self) -> Slots:
        """Count idle workers, and those that hold one request."""
        return Slots(len(self._idle), len(self._on_one))

    def brief(self, briefing: bytes) -> None:
        """Brief every worker behind the requests that it holds, and each new one at once."""
        self._briefing = briefing
        for worker in self._idle:
            worker.body.brief(briefing)
        for _, _, worker in self._busy:
            worker.inbox.append((None, briefing))

    def submit(self, ticket: int, request: object, *, avoid: Collection[str] = (), fresh: bool = False) -> None:
        """Hand a request to a worker that holds the fewest; ``fresh``: to one that has done nothing, if one is idle."""
        worker = self._choose(avoid)
        if fresh and worker in self._idle:
            worker = self._renewed(worker)
        self._idle.pop(worker, None)
        self._on_one.pop(worker, None)
        worker.inbox.append((ticket, request))
        worker.held += 1
        if worker.held == 1:
            self._begin(worker)
        self._bell.ring()

    def _choose(self, avoid: Collection[str]) -> _Worker:
        for those in (self._idle, self._on_one):
            for worker in reversed(those):
                if worker.machine not in avoid:
                    return worker
        busy = [entry[2] for entry in self._busy]
        others = [worker for worker in busy if worker.machine not in avoid]
        return min(others or [*self._idle, *busy], key=lambda worker: worker.held)

    def _renewed(self, worker: _Worker) -> _Worker:
        alike = [one for one in self._idle if one.machine == worker.machine]
        for one in alike:
            if not one.has_worked:
                return one
        del self._idle[worker]
        self._bury(worker, "a fresh worker takes its place")
        return next(reversed(self._idle))

    def put_aside(self, machine: str) -> None:
        """Have the workers of a machine leave for good."""
        self._put_aside.add(machine)
        for entry in [entry for entry in self._busy if entry[2].machine == machine]:
            self._busy.remove(entry)
            self._bury(entry[2], "its machine is put aside", began=False)
        heapify(self._busy)
        for worker in [worker for worker in self._idle if worker.machine == machine]:
            del self._idle[worker]
            self._bury(worker, "its machine is put aside", began=False)
        self._bell.ring()

    def _begin(self, worker: _Worker) -> None:
        """Have a worker begin with the request that is first."""
        if worker.held == 1:
            self._on_one[worker] = None
        else:
            self._on_one.pop(worker, None)
        self._begun += 1
        ticket, request = worker.next_request()
        self._events.append(Began(ticket, worker.name))
        entry = self.clock.seconds + self._seconds(request), self._begun, worker
        if self._chance:
            self._busy.append(entry)
        else:
            heappush(self._busy, entry)

    def lose_worker(self) -> None:
        """Have the worker with the most requests die; ``messages`` tells of it."""
        if not self._busy:
            return
        entry = max(self._busy, key=lambda entry: entry[2].held)
        self._busy.remove(entry)
        heapify(self._busy)
        self._bury(entry[2], "the worker was lost")
        self._bell.ring()

    def fileno(self) -> int:
        """Name the descriptor that can be read while there is something to tell or to answer."""
        return self._bell.fileno()

    def messages(self) -> list[Message]:
        """Tell of workers that came or went, or else answer one request."""
        if self._busy and all(isinstance(event, Began) for event in self._events):
            self._answer()
        events, self._events = self._events, []
        self._bell.ring_for(self._busy)
        return events

    def _answer(self) -> None:
        if self._chance:
            done, _, worker = self._busy.pop(self._chance.randrange(len(self._busy)))
        else:
            done, _, worker = heappop(self._busy)
        self.clock.reach(done)
        ticket, request = worker.next_request()
        if self._kills(request) or self._kills_on(worker.machine, request):
            self._bury(worker, "the request killed its worker")
            return
        worker.inbox.popleft()
        worker.held -= 1
        worker.has_worked = True
        try:
            self._events.append(self._answer_of(worker, ticket, request))
        except Exception as error:  # noqa: BLE001 (an engine reports whatever its body raises)
            self._events.append(Failed(ticket, error, worker.name))
        if worker.held:
            self._begin(worker)
            return
        self._on_one.pop(worker, None)
        for _, briefing in worker.inbox:
            worker.body.brief(briefing)
        worker.inbox.clear()
        self._idle[worker] = None

    def _answer_of(self, worker: _Worker, ticket: int, request: object) -> Message:
        error = self._fails_on(worker.machine, request)
        return Done(ticket, worker.body(request), worker.name) if error is None else Failed(ticket, error, worker.name)

    def _bury(self, worker: _Worker, reason: str, *, began: bool = True) -> None:
        self._on_one.pop(worker, None)
        self._events += [
            Lost(ticket, reason, began=began and not at, worker=worker.name) for at, ticket in enumerate(worker.tickets)
        ]
        self._events.append(Left(worker.name, reason))
        self._bear(worker.name, worker.machine)

    def close(self) -> None:
        """Forget all requests."""
        self._busy.clear()
        self._on_one.clear()
        self._bell.close()
