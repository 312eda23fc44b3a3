"""Answer requests in processes of this computer: one worker a core, each one request ahead."""

import contextlib
import os
import pickle
import platform
import selectors
import signal
import socket
from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any, Final

from muster._environment import SINGLE_THREADED
from muster._user_code.world import World
from muster.errors import EngineError

from ._bell import Bell
from ._prints import Print, Prints, to_standard_error
from ._starter import take
from ._zygote import MEMORY_RAN_OUT, NUMBERS, PID, SPENT
from .base import Began, Done, Failed, Joined, Left, Lost, MakeBody, Message, Slots

_AHEAD: Final = 1
_SURELY_BUFFERED: Final = 16 << 10
_DEATHS_AT_START: Final = 5


@dataclass(slots=True)
class _Worker:
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
    requests: dict[int, bytes] = field(default_factory=dict)
    """What it has not answered yet, for the worker that takes its place where it is spent."""
    is_spent: bool = False

    def pass_on(self, ticket: int | None, message: object) -> None:
        """Send a message; keep a large one until the worker is idle, as two ends that both send would deadlock."""
        self._pass(ticket, pickle.dumps((ticket, message)))

    def take_over(self, other: "_Worker") -> None:
        """Have what another has not answered."""
        for ticket in other.tickets:
            self._pass(ticket, other.requests[ticket])
            self.tickets.append(ticket)

    def _pass(self, ticket: int | None, data: bytes) -> None:
        if ticket is not None:
            self.requests[ticket] = data
        self.unsent.append((ticket, data))
        self.catch_up()

    def catch_up(self) -> None:
        """Send what can be sent."""
        while self.unsent and (len(self.unsent[0][1]) <= _SURELY_BUFFERED or (self.pid and not self.sent)):
            ticket, data = self.unsent.popleft()
            self.sent += ticket is not None
            with contextlib.suppress(ConnectionError):  # it died just now: the end of its pipe will say so
                self.pipe.send_bytes(data)


def count_cores() -> int:
    """Count the cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class CoresEngine:
    """An engine of processes that are forked from a zygote, so that pandas is imported once.

    A worker that dies is replaced; the request that it was on is reported as lost.
    """

    machines = 1

    def __init__(
        self, make_body: MakeBody, *, workers: int, preload: Sequence[str] = (), printed: Print = to_standard_error
    ) -> None:
        """Start ``workers`` processes, whose prints are told; this returns before they are ready.

        ``make_body`` must be importable: it is carried to the zygote by name.
        """
        self.workers = workers
        world = World.here()
        self._first = world.first_worker
        self._environment, self._flags = world.environment, world.flags
        self._prints = Prints(printed)
        chosen = {name: world.environment[name] for name in SINGLE_THREADED if name in world.environment}
        self._setup = pickle.dumps((tuple(preload), chosen, world, make_body))
        self._briefing: bytes | None = None
        self._live: dict[int, _Worker] = {}
        self._selector = selectors.DefaultSelector()
        self._deaths_at_start = 0
        self._untold: list[Message] = []
        self._bell = Bell()
        self._selector.register(self._bell, selectors.EVENT_READ)
        self._start()

    def _start(self) -> None:
        self._zygote = take(environment=self._environment, flags=self._flags)
        self._prints.read("", self._zygote.printed)
        self._zygote.control.sendall(PID.pack(len(self._setup)) + self._setup)
        for number in range(self.workers):
            self._fork(str(number + 1))

    def _fork(self, name: str) -> _Worker:
        ours, theirs = socket.socketpair()
        local = int(name) - 1
        numbers = NUMBERS.pack(self._first + local, local)
        output = self._prints.pipe(name)
        with ours, theirs, open(output, "wb"):  # noqa: PTH123 (a descriptor, which is closed here)
            socket.send_fds(self._zygote.control, [b"F", numbers], [theirs.fileno(), output])
            worker = _Worker(Connection(ours.detach()), name)
        if self._briefing is not None:
            worker.pass_on(None, self._briefing)
        self._live[worker.pipe.fileno()] = worker
        self._selector.register(worker.pipe.fileno(), selectors.EVENT_READ)
        return worker

    def fileno(self) -> int:
        """Name the descriptor that can be read when ``messages`` has something."""
        return self._selector.fileno()

    def slots(self) -> Slots:
        """Count the workers that are ready and idle, and those that can take a request ahead."""
        ready = [len(worker.tickets) for worker in self._live.values() if worker.pid]
        return Slots(ready.count(0), sum(1 for held in ready if 0 < held <= _AHEAD))

    def brief(self, briefing: bytes) -> None:
        """Brief every worker, and each new one before its first request."""
        self._briefing = briefing
        for worker in self._live.values():
            worker.pass_on(None, briefing)

    def submit(self, ticket: int, request: object, *, avoid: Collection[str] = (), fresh: bool = False) -> None:
        """Hand a request to the worker that holds the fewest, a ready one first; there is but one machine."""
        del avoid
        worker = min(self._live.values(), key=lambda worker: (not worker.pid, len(worker.tickets)))
        if fresh:
            worker = self._fresh() or self._replaced(worker)
        worker.pass_on(ticket, request)
        worker.tickets.append(ticket)
        self._note_beginning(worker)

    def _note_beginning(self, worker: _Worker) -> None:
        """Have ``messages`` tell that a worker is on the first of its requests, where that is so since just now."""
        if worker.pid and worker.tickets and worker.tickets[0] != worker.current:
            worker.current = worker.tickets[0]
            self._tell(Began(worker.current, worker.name))

    def _tell(self, *untold: Message) -> None:
        """Have ``messages`` tell something that came about otherwise."""
        self._untold += untold
        self._bell.ring_for(self._untold)

    def _fresh(self) -> _Worker | None:
        """Find a worker that has had nothing to do yet, a ready one first."""
        idle = [worker for worker in self._live.values() if not (worker.has_worked or worker.tickets)]
        return min(idle, key=lambda worker: not worker.pid, default=None)

    def _replaced(self, worker: _Worker) -> _Worker:
        """Replace a worker by a new one, unless it is at work."""
        if worker.tickets:
            return worker
        self._tell(*self._bury(worker, "a fresh worker takes its place"))
        return self._fresh() or worker

    def put_aside(self, machine: str) -> None:
        """Do nothing: there would be no worker left."""

    def messages(self) -> list[Message]:
        """Collect what workers sent, and bury those that died."""
        events, self._untold = self._untold, []
        self._bell.hush()
        for key, _ in self._selector.select(0):
            worker = self._live.get(key.fd)
            if worker is None:
                continue
            try:
                message = worker.pipe.recv()
            except (EOFError, OSError, pickle.UnpicklingError):  # OSError where it died in the middle of an answer
                events += self._bury(worker)
                continue
            if not worker.pid:
                worker.pid = message
                worker.catch_up()
                self._deaths_at_start = 0
                events.append(Joined(worker.name, platform.node()))
                self._note_beginning(worker)
                continue
            ticket, succeeded, answer = message
            if ticket is None:
                worker.is_spent = answer == SPENT
                continue
            worker.tickets.remove(ticket)
            del worker.requests[ticket]
            worker.current = None
            worker.has_worked = True
            worker.sent -= 1
            worker.catch_up()
            events.append((Done if succeeded else Failed)(ticket, answer, worker.name))
            self._note_beginning(worker)
        events, self._untold = [*events, *self._untold], []
        self._bell.hush()
        return events

    def _bury(self, worker: _Worker, reason: str = "") -> list[Message]:
        self._forget(worker)
        cause = self._cause_of_death(worker.pid)
        reason = reason or cause
        if not worker.pid:
            self._deaths_at_start += 1
            if self._deaths_at_start >= _DEATHS_AT_START:
                raise EngineError(
                    f"Workers die before they are ready ({reason}). Their messages stand above; with --workers 0 the"
                    " job runs in muster's own process. More: muster help faq"
                )
        if worker.is_spent:
            return self._replace_spent(worker)
        lost = _lost(worker, reason, is_to_blame=worker.pid != 0)
        try:
            self._fork(worker.name)
        except OSError:
            lost += self._restart()
        return lost

    def _replace_spent(self, worker: _Worker) -> list[Message]:
        """Have a fresh worker do what one that is spent has not begun."""
        try:
            self._fork(worker.name).take_over(worker)
        except OSError:
            return [*_lost(worker, "its parent process died", is_to_blame=False), *self._restart()]
        return [Left(worker.name, "a fresh worker takes its place, after as many calls as --calls-per-worker allows")]

    def _forget(self, worker: _Worker) -> None:
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
        return _said(PID.unpack(answer)[0]) if answer else "its parent process died"

    def _restart(self) -> list[Message]:
        """Begin anew after the zygote itself died, and its workers with it."""
        events: list[Message] = []
        for worker in list(self._live.values()):
            self._forget(worker)
            if worker.pid:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(worker.pid, signal.SIGKILL)  # it died with its parent, but not what it started
            events += _lost(worker, "its parent process died", is_to_blame=False)
        self._zygote.end()
        self._start()
        return events

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


def _lost(worker: _Worker, reason: str, *, is_to_blame: bool) -> list[Message]:
    lost: list[Message] = [
        Lost(ticket, reason, began=at == 0 and is_to_blame, worker=worker.name)
        for at, ticket in enumerate(worker.tickets)
    ]
    return [*lost, Left(worker.name, reason)] if worker.pid else lost


def _said(status: int) -> str:
    if not os.WIFSIGNALED(status):
        if os.waitstatus_to_exitcode(status) == MEMORY_RAN_OUT:
            return "memory ran out"
        return f"the worker exited by itself with status {os.waitstatus_to_exitcode(status)}"
    number = os.WTERMSIG(status)
    if number == signal.SIGALRM:
        return "the function ran longer than the time limit"
    hint = {signal.SIGKILL: ", as the kernel does when memory runs out", signal.SIGSEGV: ", a crash in compiled code"}
    return f"the worker was killed by {signal.Signals(number).name}{hint.get(signal.Signals(number), '')}"
