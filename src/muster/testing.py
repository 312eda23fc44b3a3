"""Stand-ins without processes, files or clocks, for muster's own tests and for those of its users."""

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush
from random import Random
from typing import Any

from muster._clouds.fake.cloud import FakeCloud
from muster._engines._bell import Bell
from muster._engines._lanes import Lanes
from muster._engines.base import CANCELLED, Began, Body, Done, Failed, Joined, Left, Lost, MakeBody, Message
from muster._progress.openings import Slots
from muster._run.assembly import make_body
from muster.errors import EngineError

__all__ = ["FakeClock", "FakeCloud", "FakeEngine"]


def _spares_all(*_: object) -> bool:
    return False


def _goes_well(*_: object) -> None:
    return None


def _takes_no_time(_: object) -> float:
    return 0.0


def _as_usual(_: str) -> float:
    return 1.0


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
    lanes: dict[int, int] = field(default_factory=dict)

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
        make_body: MakeBody = make_body,
        *,
        workers: int = 2,
        machines: int = 1,
        chance: Random | None = None,
        kills: Callable[[object], bool] = _spares_all,
        kills_on: Callable[[str, object], bool] = _spares_all,
        fails_on: Callable[[str, object], Exception | None] = _goes_well,
        seconds: Callable[[Any], float] = _takes_no_time,
        slowness: Callable[[str], float] = _as_usual,
        fails_after: int | None = None,
        clock: FakeClock | None = None,
    ) -> None:
        """Make the bodies of ``workers`` workers, each of which holds one request and one ahead.

        Without ``make_body`` they are those that do the tasks of a run: give ``muster.run`` the engine as ``engine``.

        ``chance`` picks who answers next; without it that is who is done first, where requests take as many ``seconds``
        on the ``clock`` as is said. A request for which ``kills`` says so ends its worker, which is replaced; so does
        one for which ``kills_on`` says so of the machine, ``machine 1`` and so on, that it is on. One for which
        ``fails_on`` has an error of that machine raises it, and its worker lives. ``slowness`` says how many times as
        long a machine takes. With ``fails_after``, the engine ends after so many answers, as one whose cluster is gone.
        """
        self.clock = clock or FakeClock()
        self._make_body = make_body
        self._chance = chance
        self._kills = kills
        self._kills_on = kills_on
        self._fails_on = fails_on
        self._slowness = slowness
        self._fails_after = fails_after
        self._seconds = seconds
        self._briefing: bytes | None = None
        names = [f"machine {number + 1}" for number in range(machines)]
        self._idle: dict[str, dict[_Worker, None]] = {name: {} for name in names}
        self._on_one: dict[str, dict[_Worker, None]] = {name: {} for name in names}
        self._slots: dict[str, Slots] = {}
        self._drained: set[str] = set()
        self._lanes = Lanes()
        self._busy: list[tuple[float, int, _Worker]] = []
        self._begun = self._answered = 0
        self._messages: list[Message] = []
        self._bell = Bell()
        self._bell.ring()
        for number in range(workers):
            self._bear(str(number + 1), names[number % machines])
        for name in names:
            self._see(name)

    def _bear(self, name: str, machine: str) -> None:
        if machine in self._drained:
            return
        worker = _Worker(name, machine, self._make_body())
        if self._briefing is not None:
            worker.body.brief(self._briefing)
        self._idle[machine][worker] = None
        self._messages.append(Joined(worker.name, machine))

    def slots(self) -> Mapping[str, Slots]:
        """Count idle workers, and those that hold one request, on machines that have any."""
        return self._slots

    def _see(self, machine: str) -> None:
        """Know what a machine takes by now."""
        slots = Slots(len(self._idle[machine]), len(self._on_one[machine]))
        if any(slots) and machine not in self._drained:
            self._slots[machine] = slots
        else:
            self._slots.pop(machine, None)

    def brief(self, briefing: bytes) -> None:
        """Brief every worker behind the requests that it holds, and each new one at once."""
        self._briefing = briefing
        for idle in self._idle.values():
            for worker in idle:
                worker.body.brief(briefing)
        for _, _, worker in self._busy:
            worker.inbox.append((None, briefing))

    def submit(
        self, ticket: int, request: object, *, machine: str, lane: int | None = None, fresh: bool = False
    ) -> None:
        """Hand a request to a worker that holds the fewest; ``fresh``: to one that has done nothing, if one is idle."""
        self._bell.ring()
        if machine not in self._idle or machine in self._drained:
            self._messages.append(Lost(ticket, "its machine is gone", began=False, lane=lane))
            return
        worker = self._choose(machine) if lane is None else self._worker_of(lane, machine)
        if fresh and lane is None and worker in self._idle[machine]:
            worker = self._renewed(worker)
        self._idle[machine].pop(worker, None)
        self._on_one[machine].pop(worker, None)
        worker.inbox.append((ticket, request))
        worker.held += 1
        if lane is not None:
            worker.lanes[ticket] = lane
        if worker.held == 1:
            self._begin(worker)
        self._see(machine)

    def _choose(self, machine: str) -> _Worker:
        for those in (self._idle[machine], self._on_one[machine]):
            for worker in reversed(those):
                return worker
        return min(self._workers_on(machine), key=lambda worker: worker.held)

    def _workers_on(self, machine: str) -> list[_Worker]:
        busy = [entry[2] for entry in self._busy if entry[2].machine == machine]
        return [*self._idle[machine], *busy]

    def _worker_of(self, lane: int, machine: str) -> _Worker:
        there = {worker.name: worker for worker in self._workers_on(machine)}
        name = self._lanes.worker_of(lane)
        if name not in there:
            name = min(there, key=lambda one: (self._lanes.count(one), there[one].held))
            self._lanes.give(lane, name)
        return there[name]

    def _renewed(self, worker: _Worker) -> _Worker:
        idle = self._idle[worker.machine]
        for one in idle:
            if not one.has_worked:
                return one
        del idle[worker]
        self._bury(worker, "a fresh worker takes its place")
        return next(reversed(idle))

    def cancel(self, ticket: int) -> None:
        """Take a request back; a worker that is on it dies."""
        for entry in self._busy:
            worker = entry[2]
            if worker.tickets[:1] == [ticket]:
                self._busy.remove(entry)
                heapify(self._busy)
                self._bury(worker, CANCELLED)
                break
            if ticket in worker.tickets:
                worker.inbox = deque(one for one in worker.inbox if one[0] != ticket)
                worker.held -= 1
                if worker.held == 1:
                    self._on_one[worker.machine][worker] = None
                lane = worker.lanes.pop(ticket, None)
                self._messages.append(Lost(ticket, CANCELLED, began=False, worker=worker.name, lane=lane))
                self._see(worker.machine)
                break
        self._bell.ring()

    def drain(self, machine: str) -> None:
        """Have the workers of a machine leave, busy ones when they have done what they hold."""
        self._drained.add(machine)
        for worker in list(self._idle[machine]):
            self._leave(worker)
        self._see(machine)
        self._bell.ring()

    def _leave(self, worker: _Worker) -> None:
        self._idle[worker.machine].pop(worker, None)
        self._messages.append(Left(worker.name, "its machine is drained", self._lanes.take_from(worker.name)))

    def _begin(self, worker: _Worker) -> None:
        """Have a worker begin with the request that is first."""
        on_one = self._on_one[worker.machine]
        if worker.held == 1:
            on_one[worker] = None
        else:
            on_one.pop(worker, None)
        self._begun += 1
        ticket, request = worker.next_request()
        self._messages.append(Began(ticket, worker.name))
        seconds = self._seconds(request) * self._slowness(worker.machine)
        entry = self.clock.seconds + seconds, self._begun, worker
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
        """Tell of workers that came or went, or else answer one request. Raises ``EngineError`` once it has ended."""
        if self._fails_after is not None and self._answered >= self._fails_after:
            raise EngineError("The cluster is gone. What was done is kept: type the same command again to go on.")
        if self._busy and all(isinstance(event, Began) for event in self._messages):
            self._answer()
        events, self._messages = self._messages, []
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
        self._answered += 1
        worker.has_worked = True
        try:
            self._messages.append(self._answer_of(worker, ticket, request))
        except Exception as error:  # noqa: BLE001 (an engine reports whatever its body raises)
            self._messages.append(Failed(ticket, error, worker.name))
        worker.lanes.pop(ticket, None)
        if worker.held:
            self._begin(worker)
            self._see(worker.machine)
            return
        self._on_one[worker.machine].pop(worker, None)
        for _, briefing in worker.inbox:
            worker.body.brief(briefing)
        worker.inbox.clear()
        if worker.machine in self._drained:
            self._leave(worker)
        else:
            self._idle[worker.machine][worker] = None
            self._see(worker.machine)

    def _answer_of(self, worker: _Worker, ticket: int, request: object) -> Message:
        error = self._fails_on(worker.machine, request)
        return Done(ticket, worker.body(request), worker.name) if error is None else Failed(ticket, error, worker.name)

    def _bury(self, worker: _Worker, reason: str) -> None:
        self._on_one[worker.machine].pop(worker, None)
        self._messages += [
            Lost(ticket, reason, began=not at, worker=worker.name, lane=worker.lanes.get(ticket))
            for at, ticket in enumerate(worker.tickets)
        ]
        self._messages.append(Left(worker.name, reason, self._lanes.take_from(worker.name)))
        self._bear(worker.name, worker.machine)
        self._see(worker.machine)

    def close(self) -> None:
        """Forget all requests."""
        self._busy.clear()
        self._on_one.clear()
        self._bell.close()
