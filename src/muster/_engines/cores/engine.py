"""Answer requests in processes of this computer: one worker a core, each one request ahead."""

import contextlib
import os
import pickle
import platform
import selectors
import signal
import socket
from collections.abc import Mapping, Sequence
from typing import Final

from muster._engines.base import (
    CANCELLED,
    Began,
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
from muster._engines.bell import Bell
from muster._engines.frames import GarbledError
from muster._engines.lanes import Lanes
from muster._engines.prints import Print, Prints, to_standard_error
from muster._model import Slots
from muster._process.environment import given_back
from muster._user_code.world import World
from muster.errors import EngineError

from .causes import cause_of
from .pipe import Pipe
from .serving import SPENT
from .starter import take
from .worker import Worker
from .zygote import NUMBERS, PID

_READ: Final = selectors.EVENT_READ
_WRITE: Final = selectors.EVENT_WRITE

_AHEAD: Final = 1
"""One task waits with each worker, so that it never waits for the next; more would be lost with it."""

_ORPHANED: Final = "its parent process died"
_DEATHS_AT_START: Final = 5
"""In a row, without one that became ready: it is no chance any more. Each start takes up to a second."""

_SPENT: Final = "a fresh worker takes its place, after as many calls as --calls-per-worker allows"


class CoresEngine:
    """An engine of processes that are forked from a zygote, so that pandas is imported once.

    A worker that dies is replaced; the request that it was on is reported as lost.
    """

    def __init__(
        self, make_body: MakeBody, *, workers: int, preload: Sequence[str] = (), printed: Print = to_standard_error
    ) -> None:
        """Start ``workers`` processes, whose prints are told; this returns before they are ready.

        ``make_body`` must be importable: it is carried to the zygote by name.
        """
        self._workers = workers
        world = World.here()
        self._first = world.first_worker
        self._world = world
        self._prints = Prints(printed)
        self._setup = pickle.dumps((tuple(preload), given_back(world.environment), world, make_body))
        self._briefing: bytes | None = None
        self._live: dict[int, Worker] = {}
        self._selector = selectors.DefaultSelector()
        self._lanes = Lanes()
        self._is_draining = False
        self._deaths_at_start = 0
        self._end: EngineError | None = None
        """Why there are no workers any more, once what came before is told."""
        self._untold: list[Message] = []
        self._bell = Bell()
        self._selector.register(self._bell, _READ)
        self._start()

    def _start(self) -> None:
        world = self._world
        folder = os.path.dirname(world.script.file)  # noqa: PTH120 (light)
        self._zygote = take(environment=world.environment, flags=world.flags, folder=folder)
        self._prints.read("", self._zygote.printed)
        self._zygote.control.sendall(PID.pack(len(self._setup)) + self._setup)
        for number in range(self._workers):
            self._fork(str(number + 1))

    def _fork(self, name: str) -> Worker:
        ours, theirs = socket.socketpair()
        local = int(name) - 1
        numbers = NUMBERS.pack(self._first + local, local)
        output = self._prints.pipe(name)
        with ours, theirs, open(output, "wb"):  # noqa: PTH123 (a descriptor, which is closed here)
            socket.send_fds(self._zygote.control, [b"F", numbers], [theirs.fileno(), output])
            worker = Worker(Pipe(ours.detach()), name)
        self._live[worker.pipe.fileno()] = worker
        self._selector.register(worker.pipe.fileno(), _READ)
        if self._briefing is not None:
            self._pass_on(worker, None, self._briefing)
        return worker

    def _pass_on(self, worker: Worker, ticket: int | None, message: object) -> None:
        worker.pass_on(ticket, message)
        self._watch(worker)

    def _watch(self, worker: Worker) -> None:
        """Be told by its pipe when there is room in it, while there is more to send."""
        if worker.is_behind != worker.awaits_room:
            worker.awaits_room = worker.is_behind
            self._selector.modify(worker.pipe.fileno(), _READ | _WRITE if worker.is_behind else _READ)

    def fileno(self) -> int:
        """Name the descriptor that can be read when ``messages`` has something."""
        return self._selector.fileno()

    def slots(self) -> Mapping[str, Slots]:
        """Count the workers that are ready and idle, and those that can take a request ahead."""
        if self._is_draining or self._end is not None:
            return {}
        ready = [len(worker.tickets) for worker in self._live.values() if worker.pid and not worker.is_ended]
        return {platform.node(): Slots(ready.count(0), sum(1 for held in ready if 0 < held <= _AHEAD))}

    def brief(self, briefing: bytes) -> None:
        """Brief every worker, and each new one before its first request."""
        self._briefing = briefing
        for worker in self._live.values():
            self._pass_on(worker, None, briefing)

    def submit(
        self, ticket: int, request: object, *, machine: str, lane: int | None = None, fresh: bool = False
    ) -> None:
        """Hand a request to the worker that holds the fewest, a ready one first."""
        if self._is_draining or self._end is not None or not is_this_computer(machine):
            self._tell(Lost(ticket, "its machine is gone", began=False, lane=lane))
            return
        worker = self._least_busy() if lane is None else self._worker_of(lane)
        if fresh and lane is None:
            worker = self._fresh() or self._replaced(worker)
        if lane is not None:
            worker.lanes[ticket] = lane
        worker.tickets.append(ticket)  # first: Ctrl-C may come right behind, and interrupts those that hold some
        self._pass_on(worker, ticket, request)
        self._note_beginning(worker)

    def _least_busy(self) -> Worker:
        return min(self._live.values(), key=lambda worker: (worker.is_ended, not worker.pid, len(worker.tickets)))

    def _worker_of(self, lane: int) -> Worker:
        """Find the worker that has a lane; at first, the one with the fewest lanes."""
        if (name := self._lanes.worker_of(lane)) is None:
            name = min(
                self._live.values(),
                key=lambda worker: (worker.is_ended, not worker.pid, self._lanes.count(worker.name)),
            ).name
            self._lanes.give(lane, name)
        return next(worker for worker in self._live.values() if worker.name == name)

    def cancel(self, ticket: int) -> None:
        """Take a request back, or end the worker that is on it; one that is sent but not begun, as soon as it is."""
        worker = next((worker for worker in self._live.values() if ticket in worker.tickets), None)
        if worker is None:
            return
        if worker.withdraw(ticket):
            lane = worker.lanes.pop(ticket, None)
            self._tell(Lost(ticket, CANCELLED, began=False, worker=worker.name, lane=lane))
            return
        worker.cancelled.add(ticket)
        self._end_if_cancelled(worker)

    def _end_if_cancelled(self, worker: Worker) -> None:
        if worker.pid and not worker.is_ended and worker.tickets and worker.tickets[0] in worker.cancelled:
            worker.is_ended = True
            with contextlib.suppress(ProcessLookupError):
                os.killpg(worker.pid, signal.SIGKILL)  # what it started must not go on either

    def drain(self, machine: str) -> None:
        """Take nothing new; workers that are idle leave now, others when they have done what they hold."""
        if not is_this_computer(machine):
            return
        self._is_draining = True
        for worker in list(self._live.values()):
            self._let_go_of_idle(worker)
        self._end_if_left()

    def _end_if_left(self) -> None:
        """Have nothing more happen where all workers have left, also those that were never ready."""
        if self._is_draining and not self._live and self._end is None:
            self._end = NobodyLeftError()
            self._bell.ring()

    def _let_go_of_idle(self, worker: Worker) -> None:
        if self._is_draining and not worker.tickets:
            self._forget(worker)
            if worker.pid:
                self._tell(Left(worker.name, "its machine is drained", self._lanes.take_from(worker.name)))

    def _note_beginning(self, worker: Worker) -> None:
        """Have ``messages`` tell that a worker is on the first of its requests, where that is so since just now."""
        self._end_if_cancelled(worker)
        if worker.pid and not worker.is_ended and worker.tickets and worker.tickets[0] != worker.current:
            worker.current = worker.tickets[0]
            self._tell(Began(worker.current, worker.name))

    def _tell(self, *untold: Message) -> None:
        """Have ``messages`` tell something that came about otherwise."""
        self._untold += untold
        self._bell.ring_for(self._untold)

    def _fresh(self) -> Worker | None:
        """Find a worker that has had nothing to do yet, a ready one first."""
        idle = [worker for worker in self._live.values() if not (worker.has_worked or worker.tickets)]
        return min(idle, key=lambda worker: not worker.pid, default=None)

    def _replaced(self, worker: Worker) -> Worker:
        """Replace a worker by a new one, unless it is at work."""
        if worker.tickets:
            return worker
        self._tell(*self._bury(worker, "a fresh worker takes its place"))
        return self._fresh() or worker

    def messages(self) -> list[Message]:
        """Collect what workers sent, and bury those that died. Raises where none can start, or all have left.

        What was told before comes first: an answer that is thrown away would be worked out once more.
        """
        messages = self._take_untold()
        if self._end is None:
            # Who is ready is fixed first: a restart gives new workers the descriptors of those that it buries.
            ready = [(key.fd, self._live.get(key.fd), events) for key, events in self._selector.select(0)]
            for descriptor, worker, events in ready:
                if worker is not None and self._live.get(descriptor) is worker:
                    messages += self._attended(worker, events)
            messages += self._take_untold()
            self._end_if_left()
        if self._end is not None and not messages:
            raise self._end
        return messages

    def _take_untold(self) -> list[Message]:
        untold, self._untold = self._untold, []
        self._bell.ring_for(self._end)
        return untold

    def _attended(self, worker: Worker, events: int) -> list[Message]:
        """Send a worker what there is room for, and read what has come, one message at most."""
        if events & _WRITE:
            worker.catch_up()
            self._watch(worker)
        return self._heard(worker) if events & _READ else []

    def _heard(self, worker: Worker) -> list[Message]:
        try:
            said = worker.pipe.receive()
        except (EOFError, GarbledError, pickle.UnpicklingError):
            return self._bury(worker)
        if said is None:
            return []
        if not worker.pid:
            worker.pid = said
            self._deaths_at_start = 0
            self._note_beginning(worker)
            return [Joined(worker.name, platform.node())]
        ticket, succeeded, answer = said
        if ticket is None:
            worker.is_spent = answer == SPENT
            return []
        worker.has_answered(ticket)
        self._note_beginning(worker)
        self._let_go_of_idle(worker)
        return [(Done if succeeded else Failed)(ticket, answer, worker.name)]

    def _bury(self, worker: Worker, reason: str = "") -> list[Message]:
        self._forget(worker)
        cause = self._cause_of_death(worker.pid)
        reason = reason or cause
        if not worker.pid:
            self._deaths_at_start += 1
            if self._deaths_at_start >= _DEATHS_AT_START:
                self._end = EngineError(
                    f"Workers die before they are ready ({reason}). Their messages stand above; with --workers 0 the"
                    " job runs in muster's own process. More: muster help faq"
                )
                return []
        if worker.is_spent or not worker.pid:
            return self._replace_spent(worker)
        lost = self._lost(worker, reason, is_to_blame=cause != _ORPHANED)
        if self._is_draining:
            return lost
        try:
            self._fork(worker.name)
        except OSError:
            lost += self._restart()
        return lost

    def _replace_spent(self, worker: Worker) -> list[Message]:
        """Have a fresh worker do what one that is spent, or could not start, has not begun.

        Not what is in a lane, where the old one has begun: with it went what it held of that lane.
        """
        said: list[Message] = []
        if worker.pid:
            for ticket in [ticket for ticket in worker.tickets if ticket in worker.lanes]:
                worker.tickets.remove(ticket)
                said.append(Lost(ticket, _SPENT, began=False, worker=worker.name, lane=worker.lanes.pop(ticket)))
            said.append(Left(worker.name, _SPENT, self._lanes.take_from(worker.name)))
        if self._is_draining and not worker.tickets:
            return said
        try:
            fresh = self._fork(worker.name)
            fresh.take_over(worker)
            self._watch(fresh)
        except OSError:
            return [*said, *self._lost(worker, _ORPHANED, is_to_blame=False), *self._restart()]
        return said

    def _forget(self, worker: Worker) -> None:
        del self._live[worker.pipe.fileno()]
        self._selector.unregister(worker.pipe.fileno())
        worker.pipe.close()

    def _cause_of_death(self, pid: int) -> str:
        if not pid:
            return "it could not start"
        try:
            self._zygote.control.sendall(b"W" + PID.pack(pid))
            answer = self._zygote.control.recv(PID.size, socket.MSG_WAITALL)
        except OSError:
            answer = b""
        return cause_of(PID.unpack(answer)[0]) if answer else _ORPHANED

    def _restart(self) -> list[Message]:
        """Begin anew after the zygote itself died, and its workers with it; not where all shall leave."""
        messages: list[Message] = []
        for worker in list(self._live.values()):
            self._forget(worker)
            if worker.pid:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(worker.pid, signal.SIGKILL)  # it died with its parent, but not what it started
            messages += self._lost(worker, _ORPHANED, is_to_blame=False)
        self._zygote.end()
        if not self._is_draining:
            self._start()
        return messages

    def _lost(self, worker: Worker, reason: str, *, is_to_blame: bool) -> list[Message]:
        first = next(iter(worker.tickets), None)
        if worker.is_ended:  # for a request that it may have answered just before
            is_to_blame = first in worker.cancelled
            reason = CANCELLED
        lost: list[Message] = [
            Lost(
                ticket, reason, began=is_to_blame and ticket == first, worker=worker.name, lane=worker.lanes.get(ticket)
            )
            for ticket in worker.tickets
        ]
        lanes = self._lanes.take_from(worker.name)
        return [*lost, Left(worker.name, reason, lanes)] if worker.pid or lanes else lost

    def close(self) -> None:
        """Have the workers end in order, and the zygote: what they are on is interrupted, as by Ctrl-C."""
        for worker in list(self._live.values()):
            if worker.tickets and worker.pid:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(worker.pid, signal.SIGINT)
            self._forget(worker)
        self._selector.close()
        self._bell.close()
        self._zygote.dismiss()
        self._prints.close()
