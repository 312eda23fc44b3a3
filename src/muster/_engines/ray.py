"""Answer requests on the machines of a Ray cluster, by the workers of a station on each, one request ahead.

Ray lives in a process of its own, the driver: it takes a second to load, holds the memory of a small job, and ends the
process that it lives in when the cluster's head dies. So muster's own process stays small and outlives all that.
"""

import contextlib
import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from typing import Any, Final

from muster.errors import EngineError

from ._station import MakeStation
from .base import Done, Event, Failed, Joined, Left, Lost, Slots, Told

_DRIVER: Final = "import sys; sys.path[:] = sys.argv[2:]; from muster._engines._driver import main; main(sys.argv[1])"
_LEAVE_SECONDS: Final = 10.0


@dataclass(slots=True)
class _Station:
    """What is known of a station: who is ready there, and which requests are with it."""

    machine: str
    workers: set[str] = field(default_factory=set)
    tickets: dict[int, None] = field(default_factory=dict)

    @property
    def idle(self) -> int:
        return max(0, len(self.workers) - len(self.tickets))

    @property
    def ahead(self) -> int:
        """How many more it takes, besides those for idle workers: each worker holds one and one ahead."""
        return max(0, 2 * len(self.workers) - len(self.tickets) - self.idle) if self.tickets else 0


class RayEngine:
    """An engine of Ray nodes. Machines may join and leave while it works; a worker that dies is replaced."""

    def __init__(
        self, make_engine: MakeStation, *, address: str, environment: Mapping[str, str], shares_files: bool = True
    ) -> None:
        """Connect; this returns before any worker is ready.

        ``make_engine``, carried by name, makes the engine of one machine, given its number of workers. ``environment``
        is what Ray needs to connect, its token among it. Where the workers share this computer's files they also get
        its module path and working folder.
        """
        self._briefing: bytes | None = None
        self._stations: dict[int, _Station] = {}
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
        ours.send((address, pickle.dumps(make_engine), place))

    @property
    def workers(self) -> int:
        """Count the workers that are there."""
        return sum(len(station.workers) for station in self._stations.values())

    @property
    def machines(self) -> int:
        """Count the machines that workers are, or were, on."""
        return len(self._machines)

    def slots(self) -> Slots:
        """Count the workers that are ready and idle, and those that can take a request ahead."""
        stations = self._stations.values()
        return Slots(sum(station.idle for station in stations), sum(station.ahead for station in stations))

    def brief(self, briefing: bytes) -> None:
        """Brief every worker, and each new one before its first request."""
        self._briefing = briefing
        for number in self._stations:
            self._send(number, None, briefing)

    def submit(self, ticket: int, request: object) -> None:
        """Hand a request to the machine with the most idle workers, or else with the most room."""
        number, station = max(self._stations.items(), key=lambda item: (item[1].idle, item[1].ahead))
        station.tickets[ticket] = None
        self._send(number, ticket, pickle.dumps(request))

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

    def _on_opened(self, number: int, machine: str) -> list[Event]:
        self._stations[number] = _Station(machine)
        if self._briefing is not None:
            self._send(number, None, self._briefing)
        return []

    def _on_heard(self, number: int, told: Sequence[bytes]) -> list[Event]:
        station = self._stations[number]
        return [self._heard(station, pickle.loads(data)) for data in told]  # noqa: S301 (from what this process sent)

    def _heard(self, station: _Station, said: Event | Exception) -> Event:
        match said:
            case Done(ticket) | Failed(ticket):
                del station.tickets[ticket]
                return replace(said, worker=f"{station.machine}-{said.worker}")
            case Lost(ticket):
                del station.tickets[ticket]
            case Joined(worker):
                station.workers.add(worker)
                self._machines.add(station.machine)
                return Joined(f"{station.machine}-{worker}", station.machine)
            case Left(worker, reason):
                station.workers.discard(worker)
                return Left(f"{station.machine}-{worker}", reason)
            case Exception():
                raise said
        return said

    def _on_closed(self, number: int, reason: str) -> list[Event]:
        station = self._stations.pop(number)
        lost: list[Event] = [Lost(ticket, reason, began=False) for ticket in station.tickets]
        return [*lost, *(Left(f"{station.machine}-{worker}", reason) for worker in sorted(station.workers))]

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
        self._stations.clear()
        try:
            self._driver.wait(_LEAVE_SECONDS)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._driver.pid, signal.SIGKILL)
            self._driver.wait()
