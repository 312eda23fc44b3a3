"""Answer requests in actors of a Ray cluster: one a worker, each one request ahead.

Ray lives in a process of its own, the driver: it takes a second to load, holds the memory of a small job, and ends the
process that it lives in when the cluster's head dies. So muster's own process stays small and outlives all that.
"""

import contextlib
import os
import pickle
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from typing import Any, Final

from muster.errors import EngineError

from .base import Done, Event, Failed, Lost, MakeBody, Slots, SlotsChanged, Told

_DRIVER: Final = "import sys; sys.path[:] = sys.argv[2:]; from muster._engines._driver import main; main(sys.argv[1])"
_AHEAD: Final = 1
_LEAVE_SECONDS: Final = 10.0


@dataclass(slots=True)
class _Worker:
    machine: str
    tickets: deque[int] = field(default_factory=deque)


class RayEngine:
    """An engine of Ray actors. Machines may join and leave while it works; a worker that dies is replaced."""

    def __init__(
        self, make_body: MakeBody, *, address: str, environment: Mapping[str, str], shares_files: bool = True
    ) -> None:
        """Connect; this returns before any worker is ready.

        ``environment`` is what Ray needs for that, its token among it. Where the workers share this computer's files
        they also get its module path and working folder.
        """
        self._briefing: bytes | None = None
        self._workers: dict[int, _Worker] = {}
        self._machines: set[str] = set()
        ours, theirs = Pipe()
        self._pipe: Connection[Any, Any] | None = ours
        with theirs:
            self._driver = subprocess.Popen(  # noqa: S603 (this interpreter, with arguments of our own)
                [sys.executable, "-P", "-c", _DRIVER, str(theirs.fileno()), *sys.path],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=2,  # what the user's function prints must not mix with muster's own standard output
                start_new_session=True,  # Ctrl-C is for muster, which then ends its workers
                env={**os.environ, **environment},
            )
        place = (tuple(sys.path), str(Path.cwd())) if shares_files else None
        ours.send((address, pickle.dumps(make_body), place))

    @property
    def workers(self) -> int:
        """Count the workers that are there."""
        return len(self._workers)

    @property
    def machines(self) -> int:
        """Count the machines that workers are, or were, on."""
        return len(self._machines)

    def slots(self) -> Slots:
        """Count the workers that are ready and idle, and those that can take a request ahead."""
        held = [len(worker.tickets) for worker in self._workers.values()]
        return Slots(held.count(0), sum(1 for count in held if 0 < count <= _AHEAD))

    def brief(self, briefing: bytes) -> None:
        """Brief every worker, and each new one before its first request."""
        self._briefing = briefing
        for number in self._workers:
            self._send("brief", number, briefing)

    def submit(self, ticket: int, request: object) -> None:
        """Hand a request to the worker that holds the fewest."""
        number, worker = min(self._workers.items(), key=lambda item: len(item[1].tickets))
        worker.tickets.append(ticket)
        self._send("ask", number, ticket, pickle.dumps(request))

    def _send(self, *message: object) -> None:
        if self._pipe is not None:
            with contextlib.suppress(ConnectionError):  # the driver died just now: the end of its pipe will say so
                self._pipe.send(message)

    def wait(self, timeout: float | None = None) -> list[Event]:
        """Collect what the driver tells. Raises ``EngineError`` when the cluster is gone, or never was there."""
        events: list[Event] = []
        if self._pipe is None or not self._pipe.poll(timeout):
            return events
        while True:
            try:
                verb, *told = self._pipe.recv()
            except (EOFError, ConnectionError) as error:
                raise EngineError(
                    "The cluster's head is gone, and with it the way to all workers. What was done is kept: type the"
                    " same command again to go on, on another cluster or without --cluster."
                ) from error
            events += getattr(self, f"_on_{verb}")(*told)
            if not self._pipe.poll(0):
                return events

    def _on_joined(self, number: int, machine: str) -> list[Event]:
        self._workers[number] = _Worker(machine)
        self._machines.add(machine)
        if self._briefing is not None:
            self._send("brief", number, self._briefing)
        return [SlotsChanged()]

    def _on_answered(self, number: int, ticket: int, data: bytes) -> list[Event]:
        self._workers[number].tickets.remove(ticket)
        succeeded, answer = pickle.loads(data)  # noqa: S301 (from a worker that runs what this process sent)
        return [Done(ticket, answer) if succeeded else Failed(ticket, answer)]

    def _on_left(self, number: int, reason: str, is_to_blame: bool) -> list[Event]:  # noqa: FBT001 (from a message)
        worker = self._workers.pop(number)
        lost: list[Event] = [
            Lost(ticket, reason, began=at == 0 and is_to_blame) for at, ticket in enumerate(worker.tickets)
        ]
        return [*lost, SlotsChanged()]

    def _on_told(self, text: str) -> list[Event]:
        return [Told(text)]

    def _on_gave_up(self, text: str) -> list[Event]:
        raise EngineError(text)

    def close(self) -> None:
        """Leave the cluster, which ends the workers, busy or not."""
        if self._pipe is None:
            return
        self._pipe.close()
        self._pipe = None
        self._workers.clear()
        try:
            self._driver.wait(_LEAVE_SECONDS)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._driver.pid, signal.SIGKILL)
            self._driver.wait()
