"""Stand-ins without processes, files or clocks, for muster's own tests and for those of its users."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final

from muster._engines.base import Body, Done, Event, Failed, Lost, MakeBody, Slots, SlotsChanged

_AHEAD: Final = 1


def _spares_all(_: object) -> bool:
    return False


@dataclass(slots=True)
class _Worker:
    body: Body
    inbox: deque[tuple[int | None, Any]] = field(default_factory=deque)

    @property
    def tickets(self) -> list[int]:
        return [ticket for ticket, _ in self.inbox if ticket is not None]


class FakeEngine:
    """An engine whose workers are objects of this process; it reorders answers and loses workers as it is told.

    Each ``wait`` answers one request. The same ``chance`` gives the same events again, so that a race that was seen
    once can be looked at.
    """

    machines = 1

    def __init__(
        self,
        make_body: MakeBody,
        *,
        workers: int = 2,
        chance: Random | None = None,
        kills: Callable[[object], bool] = _spares_all,
    ) -> None:
        """Make the bodies of ``workers`` workers, each of which holds one request and one ahead.

        ``chance`` picks who answers next; without it that is who was asked first. A request for which ``kills`` says
        so ends its worker, which is replaced.
        """
        self.workers = workers
        self._make_body = make_body
        self._chance = chance
        self._kills = kills
        self._briefing: bytes | None = None
        self._live = [_Worker(make_body()) for _ in range(workers)]
        self._lost: list[Event] = []

    def slots(self) -> Slots:
        """Count idle workers, and those that hold one request."""
        held = [len(worker.tickets) for worker in self._live]
        return Slots(held.count(0), sum(0 < count <= _AHEAD for count in held))

    def brief(self, briefing: bytes) -> None:
        """Brief every worker behind the requests that it holds, and each new one at once."""
        self._briefing = briefing
        for worker in self._live:
            worker.inbox.append((None, briefing))

    def submit(self, ticket: int, request: object) -> None:
        """Hand a request to the worker that holds the fewest."""
        min(self._live, key=lambda worker: len(worker.tickets)).inbox.append((ticket, request))

    def lose_worker(self) -> None:
        """Have the worker with the most requests die; ``wait`` tells of it."""
        self._lost += self._bury(max(self._live, key=lambda worker: len(worker.tickets)), "the worker was lost")

    def wait(self, timeout: float | None = None) -> list[Event]:
        """Tell of lost workers, or else answer one request; this never waits."""
        del timeout
        if self._lost:
            lost, self._lost = self._lost, []
            return lost
        busy = [worker for worker in self._live if worker.tickets]
        if not busy:
            return []
        worker = self._chance.choice(busy) if self._chance else min(busy, key=lambda worker: worker.tickets[0])
        return self._answer(worker)

    def _answer(self, worker: _Worker) -> list[Event]:
        ticket, request = worker.inbox[0]
        while ticket is None:
            worker.body.brief(worker.inbox.popleft()[1])
            ticket, request = worker.inbox[0]
        if self._kills(request):
            return self._bury(worker, "the request killed its worker")
        worker.inbox.popleft()
        try:
            return [Done(ticket, worker.body(request))]
        except Exception as error:  # noqa: BLE001 (an engine reports whatever its body raises)
            return [Failed(ticket, error)]

    def _bury(self, worker: _Worker, reason: str) -> list[Event]:
        at = self._live.index(worker)
        self._live[at] = _Worker(self._make_body())
        if self._briefing is not None:
            self._live[at].body.brief(self._briefing)
        return [*(Lost(ticket, reason, began=not at) for at, ticket in enumerate(worker.tickets)), SlotsChanged()]

    def close(self) -> None:
        """Forget all requests."""
        for worker in self._live:
            worker.inbox.clear()
