"""Answer requests in processes of this computer: one worker a core, each one request ahead."""

import contextlib
import os
import pickle
import select
import signal
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any, Final

from muster.errors import EngineError

from ._zygote import PID
from .base import Done, Event, Failed, Lost, MakeBody, Slots, SlotsChanged

_ZYGOTE: Final = "import sys; from muster._engines._zygote import main; main(int(sys.argv[1]))"
_AHEAD: Final = 1
_DEATHS_AT_START: Final = 5
_SINGLE_THREADED: Final = dict.fromkeys(
    ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS", "POLARS_MAX_THREADS"), "1"
)
"""A worker has one core. It also keeps the zygote free of threads, without which forking it would not be safe."""

_KEEP_MEMORY: Final = {"MALLOC_TRIM_THRESHOLD_": str(128 << 20), "MALLOC_MMAP_THRESHOLD_": str(64 << 20)}
"""A worker uses the same few megabytes again and again; giving them back each time cost a fifth of a cheap job."""


@dataclass(slots=True)
class _Worker:
    pipe: "Connection[Any, Any]"
    pid: int = 0
    tickets: deque[int] = field(default_factory=deque)


class CoresEngine:
    """An engine of processes that are forked from a zygote, so that pandas is imported once.

    A worker that dies is replaced; the request that it was on is reported as lost.
    """

    def __init__(self, make_body: MakeBody, *, workers: int, preload: Sequence[str] = ()) -> None:
        """Start ``workers`` processes; this returns before they are ready.

        ``make_body`` must be importable: it is carried to the zygote by name.
        """
        self.workers = workers
        self._setup = pickle.dumps((sys.path, tuple(preload), make_body))
        self._briefing: bytes | None = None
        self._live: dict[int, _Worker] = {}
        self._poll = select.poll()
        self._deaths_at_start = 0
        self._zygote: subprocess.Popen[bytes] | None = None
        self._start()

    def _start(self) -> None:
        self._control, theirs = socket.socketpair()
        environment: Mapping[str, str] = {**_SINGLE_THREADED, **_KEEP_MEMORY, **os.environ}
        with theirs:
            self._zygote = subprocess.Popen(  # noqa: S603 (this interpreter, with arguments of our own)
                [sys.executable, "-c", _ZYGOTE, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=2,  # what the user's function prints must not mix with muster's own standard output
                start_new_session=True,  # Ctrl-C is for muster, which then ends its workers
                env=environment,
            )
        self._control.sendall(PID.pack(len(self._setup)) + self._setup)
        for _ in range(self.workers):
            self._fork()

    def _fork(self) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            socket.send_fds(self._control, [b"F"], [theirs.fileno()])
        worker = _Worker(Connection(ours.detach()))
        if self._briefing is not None:
            worker.pipe.send((None, self._briefing))
        self._live[worker.pipe.fileno()] = worker
        self._poll.register(worker.pipe.fileno(), select.POLLIN)

    def slots(self) -> Slots:
        """Count the workers that are ready and idle, and those that can take a request ahead."""
        ready = [len(worker.tickets) for worker in self._live.values() if worker.pid]
        return Slots(ready.count(0), sum(1 for held in ready if 0 < held <= _AHEAD))

    def brief(self, briefing: bytes) -> None:
        """Brief every worker, and each new one before its first request."""
        self._briefing = briefing
        for worker in self._live.values():
            with contextlib.suppress(ConnectionError):
                worker.pipe.send((None, briefing))

    def submit(self, ticket: int, request: object) -> None:
        """Hand a request to the ready worker that holds the fewest."""
        worker = min((w for w in self._live.values() if w.pid), key=lambda worker: len(worker.tickets))
        worker.tickets.append(ticket)
        with contextlib.suppress(ConnectionError):  # it died just now: the end of its pipe will say so
            worker.pipe.send((ticket, request))

    def wait(self, timeout: float | None = None) -> list[Event]:
        """Collect what workers sent, and bury those that died."""
        events: list[Event] = []
        for descriptor, _ in self._poll.poll(None if timeout is None else timeout * 1000):
            worker = self._live.get(descriptor)
            if worker is None:
                continue
            try:
                message = worker.pipe.recv()
            except (EOFError, ConnectionError, pickle.UnpicklingError):
                events += self._bury(worker)
                continue
            if not worker.pid:
                worker.pid = message
                self._deaths_at_start = 0
                events.append(SlotsChanged())
                continue
            ticket, succeeded, answer = message
            worker.tickets.remove(ticket)
            events.append(Done(ticket, answer) if succeeded else Failed(ticket, answer))
        return events

    def _bury(self, worker: _Worker) -> list[Event]:
        self._forget(worker)
        reason = self._cause_of_death(worker.pid)
        if not worker.pid:
            self._deaths_at_start += 1
            if self._deaths_at_start >= _DEATHS_AT_START:
                raise EngineError(
                    f"Workers die before they are ready ({reason}). Their messages stand above; with --workers 0 the"
                    " job runs in muster's own process."
                )
        lost: list[Event] = [Lost(ticket, reason, began=at == 0) for at, ticket in enumerate(worker.tickets)]
        try:
            self._fork()
        except OSError:
            lost += self._restart()
        return [*lost, SlotsChanged()]

    def _forget(self, worker: _Worker) -> None:
        del self._live[worker.pipe.fileno()]
        self._poll.unregister(worker.pipe.fileno())
        worker.pipe.close()

    def _cause_of_death(self, pid: int) -> str:
        if not pid:
            return "it could not start"
        try:
            self._control.sendall(b"W" + PID.pack(pid))
            answer = self._control.recv(PID.size, socket.MSG_WAITALL)
        except OSError:
            answer = b""
        return _said(PID.unpack(answer)[0]) if answer else "its parent process died"

    def _restart(self) -> list[Event]:
        """Begin anew after the zygote itself died, and its workers with it."""
        events: list[Event] = []
        for worker in list(self._live.values()):
            self._forget(worker)
            events += [Lost(ticket, "its parent process died", began=False) for ticket in worker.tickets]
        self._end_zygote()
        self._start()
        return events

    def _end_zygote(self) -> None:
        self._control.close()
        if self._zygote is not None:
            self._zygote.kill()
            self._zygote.wait()

    def close(self) -> None:
        """Kill the workers, which hold nothing that is not journaled or thrown away, then the zygote."""
        for worker in list(self._live.values()):
            self._forget(worker)
            if worker.pid:
                with contextlib.suppress(ProcessLookupError):  # the zygote reaps no worker unasked: the id is its own
                    os.kill(worker.pid, signal.SIGKILL)
        self._end_zygote()


def _said(status: int) -> str:
    if not os.WIFSIGNALED(status):
        return f"the worker exited by itself with status {os.waitstatus_to_exitcode(status)}"
    number = os.WTERMSIG(status)
    if number == signal.SIGALRM:
        return "the function ran longer than the time limit"
    hint = {signal.SIGKILL: ", as the kernel does when memory runs out", signal.SIGSEGV: ", a crash in compiled code"}
    return f"the worker was killed by {signal.Signals(number).name}{hint.get(signal.Signals(number), '')}"
