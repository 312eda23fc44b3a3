"""Stand-ins for an engine, a clock and a cloud, for muster's own tests and for those of its users: no test waits.

``check_source`` and ``check_sink`` put a source and a sink of your own to the test, as muster relies on them.

What ``kills``, ``kills_on``, ``fails_on`` and ``seconds`` are given is a request. A ``Task`` has the function called on
the rows from ``lo`` up to ``hi``, which is not among them, of the input that is number ``file``, all counted from 0.
Where ``condemned`` is not empty, it is not called: the rows go to the rejects for that reason. Several small files may
be in one task: then ``members`` are tasks of a file each.

All other requests are questions. ``Describe`` and ``Build`` load the function; ``Beginning``, ``Head``, ``Scan``,
``Locate``, ``Observe``, ``DateFormats``, ``Footer`` and ``Agree`` look at the input; some put the output together. They
may become more or fewer with any version: go by ``Task`` alone.

A worker that dies of row 7, counted from 0, wherever the function is called on it; the row goes to the rejects::

    from muster.testing import FakeEngine, Task

    def kills(request):
        return isinstance(request, Task) and request.lo <= 7 < request.hi and not request.condemned

    result = muster.run(function, "in.csv", "out.csv", engine=FakeEngine(workers=3, kills=kills))
    assert result.bad_rows == 1

Other names in the signatures are for those who drive an engine or a cloud themselves. ``MakeBody`` makes the body of a
worker: it has ``brief(briefing)``, ``end()``, and is called with each request. ``Slots`` are how many workers of a
machine are ``idle``, and how many could take a request ``ahead``. A ``Message`` is what an engine tells: ``Began``,
``Done``, ``Failed``, ``Lost``, ``Joined``, ``Left`` or ``Told``. A ``Clock`` has ``seconds``, and ``reach(seconds)``,
which moves it on; a :class:`muster.testing.FakeClock` is one. A ``Census`` lists the machines that are ``existing``.
"""

from collections.abc import Callable, Mapping
from random import Random
from typing import Any

from muster._clouds.fake.cloud import FakeCloud
from muster._engines.base import CANCELLED, Began, Done, Failed, Joined, Left, Lost, MakeBody, Message, NobodyLeftError
from muster._engines.bell import Bell
from muster._engines.fake.clock import Agenda, FakeClock
from muster._engines.fake.script import Script
from muster._engines.fake.worker import FakeWorker, Machines
from muster._engines.lanes import Lanes
from muster._model import Slots, Task
from muster._run.staffing.bodies import make_body
from muster._streams.contracts import check_sink, check_source
from muster.errors import EngineError, UsageError

__all__ = ["FakeClock", "FakeCloud", "FakeEngine", "Task", "check_sink", "check_source"]


def _spares_all(*_: object) -> bool:
    return False


def _goes_well(*_: object) -> None:
    return None


def _takes_no_time(_: object) -> float:
    return 0.0


def _as_usual(_: str) -> float:
    return 1.0


class FakeEngine:
    """An engine whose workers are objects of this process; it reorders answers and loses workers as it is told.

    Each call of ``messages`` answers one request, unless there is a ``tick``. The same ``chance`` gives the same
    messages again, so that a race that was seen once can be looked at. With ``seconds`` and a ``clock`` thousands of
    workers take no time at all.
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
        tick: float = 0.0,
    ) -> None:
        """Make the bodies of ``workers`` workers, each of which holds one request and one ahead.

        Without ``make_body`` they are those that do the tasks of a run: give ``muster.run`` the engine as ``engine``.

        ``chance`` picks who answers next; without it that is who is done first, where requests take as many ``seconds``
        on the ``clock`` as is said. A request for which ``kills`` says so ends its worker, which is replaced; so does
        one for which ``kills_on`` says so of the machine, ``machine 1`` and so on, that it is on. One for which
        ``fails_on`` has an error of that machine raises it, and its worker lives; several machines have a disk each, so
        that one whose disk is full (an ``OSError`` of ``ENOSPC``) is put aside, and the others go on. ``slowness`` says
        how many times as long a machine takes. With ``fails_after``, the engine ends after so many answers, as one
        whose cluster is gone. What is done within a ``tick``, in seconds of the clock, is told together. Raises
        ``UsageError`` for no workers, or no machines.
        """
        for name, number in (("workers", workers), ("machines", machines)):
            if type(number) is not int or number < 1:
                raise UsageError(f"FakeEngine({name}={number!r}): it must be a whole number, 1 or more.")
        self.clock = clock or FakeClock()
        self._script = Script(
            kills=kills,
            kills_on=kills_on,
            fails_on=fails_on,
            seconds=seconds,
            slowness=slowness,
            fails_after=fails_after,
        )
        self._tick = tick
        self._make_body = make_body
        self._briefing: bytes | None = None
        names = [f"machine {number + 1}" for number in range(machines)]
        self.has_own_disks = machines > 1
        self._machines = Machines(names)
        self._lanes = Lanes()
        self._busy = Agenda(self.clock, chance)
        self._answered = 0
        self._untold: list[Message] = []
        self._has_news = True
        """Whether something is to be told before the next request is answered: other than that one began."""
        self._is_closed = False
        self._bell = Bell()
        self._bell.ring()
        for number in range(workers):
            self._bear(str(number + 1), names[number % machines])

    def _bear(self, name: str, machine: str) -> None:
        if self._machines[machine].is_drained:
            return
        worker = FakeWorker(name, machine, self._make_body())
        if self._briefing is not None:
            worker.body.brief(self._briefing)
        self._place(worker)
        self._tell(Joined(worker.name, machine))

    def _place(self, worker: FakeWorker) -> None:
        """Know what a worker, and with it its machine, takes by now."""
        self._machines[worker.machine].place(worker)
        self._machines.see(worker.machine)

    def _tell(self, *messages: Message) -> None:
        self._untold += messages
        self._has_news = True
        self._bell.ring()

    def slots(self) -> Mapping[str, Slots]:
        """Count idle workers, and those that hold one request, on machines that have any."""
        self._check_is_open()
        return {} if self._is_gone else self._machines.slots

    def brief(self, briefing: bytes) -> None:
        """Brief every worker behind the requests that it holds, and each new one at once."""
        self._check_is_open()
        self._briefing = briefing
        for worker in self._machines.idle():
            worker.body.brief(briefing)
        for worker in self._busy.workers:
            worker.inbox.append((None, briefing))

    def submit(
        self, ticket: int, request: object, *, machine: str, lane: int | None = None, fresh: bool = False
    ) -> None:
        """Hand a request to a worker that holds the fewest; ``fresh``: to one that has done nothing, if one is idle."""
        self._bell.ring()
        if self._is_gone or not self._machines.takes_something(machine):
            self._tell(Lost(ticket, "its machine is gone", began=False, lane=lane))
            return
        worker = self._choose(machine) if lane is None else self._worker_of(lane, machine)
        if fresh and lane is None and not worker.held:
            worker = self._renewed(worker)
        worker.take(ticket, request, lane)
        if worker.held == 1:
            self._begin(worker)
        self._place(worker)

    def _choose(self, machine: str) -> FakeWorker:
        return self._machines[machine].least_busy() or min(self._workers_on(machine), key=lambda worker: worker.held)

    def _workers_on(self, machine: str) -> list[FakeWorker]:
        return [*self._machines[machine].idle, *(worker for worker in self._busy.workers if worker.machine == machine)]

    def _worker_of(self, lane: int, machine: str) -> FakeWorker:
        there = {worker.name: worker for worker in self._workers_on(machine)}
        name = self._lanes.worker_of(lane)
        if name not in there:
            name = min(there, key=lambda one: (self._lanes.count(one), there[one].held))
            self._lanes.give(lane, name)
        return there[name]

    def _renewed(self, worker: FakeWorker) -> FakeWorker:
        idle = self._machines[worker.machine].idle
        for one in idle:
            if not one.has_worked:
                return one
        self._bury(worker, "a fresh worker takes its place")
        return next(reversed(idle))

    def cancel(self, ticket: int) -> None:
        """Take a request back; a worker that is on it dies."""
        worker = next((worker for worker in self._busy.workers if ticket in worker.tickets), None)
        if worker is None:
            return
        if worker.tickets[0] == ticket:
            self._busy.remove(worker)
            self._bury(worker, CANCELLED)
            return
        lane = worker.withdraw(ticket)
        self._place(worker)
        self._tell(Lost(ticket, CANCELLED, began=False, worker=worker.name, lane=lane))

    def drain(self, machine: str) -> None:
        """Have the workers of a machine leave, busy ones when they have done what they hold."""
        if not self._machines.takes_something(machine):
            return
        self._machines[machine].is_drained = True
        for worker in list(self._machines[machine].idle):
            self._leave(worker)
        self._machines.see(machine)
        self._bell.ring()

    def _leave(self, worker: FakeWorker) -> None:
        self._machines[worker.machine].remove(worker)
        worker.body.end()
        self._tell(Left(worker.name, "its machine is drained", self._lanes.take_from(worker.name)))

    def _begin(self, worker: FakeWorker) -> None:
        """Have a worker begin with the request that is first."""
        ticket, request = worker.next_request()
        self._untold.append(Began(ticket, worker.name))
        self._busy.begin(worker, self._script.duration(worker.machine, request))

    def lose_worker(self) -> None:
        """Have the worker with the most requests die; ``messages`` tells of it."""
        if self._busy:
            worker = max(self._busy.workers, key=lambda worker: worker.held)
            self._busy.remove(worker)
            self._bury(worker, "the worker was lost")

    def fileno(self) -> int:
        """Name the descriptor that can be read while there is something to tell or to answer."""
        return self._bell.fileno()

    def messages(self) -> list[Message]:
        """Tell of workers that came or went, or else answer one request. Raises ``EngineError`` once it has ended."""
        if not self._untold:
            self._check_is_there()
        if self._busy and not self._has_news and not self._is_gone:
            self._answer(self._busy.next())
            ends = self.clock.seconds + self._tick
            while not self._has_news and self._busy.has_another(ends):
                self._answer(self._busy.next())
        messages, self._untold, self._has_news = self._untold, [], False
        self._bell.ring_for(self._busy or self._is_gone or self._have_all_left)
        return messages

    def _check_is_there(self) -> None:
        if self._is_gone:
            raise EngineError("The cluster is gone. What was done is kept: type the same command again to go on.")
        if self._have_all_left:
            raise NobodyLeftError

    @property
    def _is_gone(self) -> bool:
        return self._script.ends_after(self._answered)

    @property
    def _have_all_left(self) -> bool:
        return not self._busy and self._machines.are_drained

    def _answer(self, worker: FakeWorker) -> None:
        ticket, request = worker.next_request()
        if self._script.kills_a_worker(worker.machine, request):
            self._bury(worker, "the request killed its worker")
            return
        self._untold.append(self._answer_of(worker, ticket, request))
        self._answered += 1
        worker.finish_request()
        if worker.held:
            self._begin(worker)
            self._place(worker)
            return
        worker.read_briefings()
        if self._machines[worker.machine].is_drained:
            self._leave(worker)
        else:
            self._place(worker)

    def _answer_of(self, worker: FakeWorker, ticket: int, request: object) -> Message:
        try:
            error = self._script.fails_on(worker.machine, request)
            answer = worker.body(request) if error is None else None
        except Exception as raised:  # noqa: BLE001 (an engine reports whatever its body raises)
            error = raised
        return Done(ticket, answer, worker.name) if error is None else Failed(ticket, error, worker.name)

    def _bury(self, worker: FakeWorker, reason: str) -> None:
        self._machines[worker.machine].remove(worker)
        worker.body.end()  # a worker that dies releases all it has; this one shares its process with others
        self._tell(
            *(
                Lost(ticket, reason, began=not at, worker=worker.name, lane=worker.lanes.get(ticket))
                for at, ticket in enumerate(worker.tickets)
            ),
            Left(worker.name, reason, self._lanes.take_from(worker.name)),
        )
        self._bear(worker.name, worker.machine)
        self._machines.see(worker.machine)

    def close(self) -> None:
        """End all workers, and forget what they hold. May be repeated."""
        if self._is_closed:
            return
        self._is_closed = True
        for worker in (*self._machines.idle(), *self._busy.workers):
            worker.body.end()
        self._busy.clear()
        self._bell.close()

    def _check_is_open(self) -> None:
        if self._is_closed:
            raise EngineError("This FakeEngine was closed by the run that it served: it serves one. Make another.")
