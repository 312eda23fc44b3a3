"""Machines that see no file of this computer, without Ray: each has processes, code and rows of its own.

What a station does of a cluster of Ray is done here in one process, so that machines may be lost by the dozen: who
is given what, and what becomes of the rows that they keep, are muster's own.
"""

import contextlib
import os
import pickle
import selectors
import shutil
import signal
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextvars import Context
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

from muster._clouds.base import Access
from muster._engines.base import Began, Done, Failed, Joined, Left, Lost, Message, NobodyLeftError, UnreadError
from muster._engines.bell import Bell
from muster._engines.cores.engine import CoresEngine
from muster._engines.on_ray.freight import Freight
from muster._engines.on_ray.keeping import KeptFiles, Needing, NotReadThereError, Peer, Slice, Supplied, kept_folder
from muster._engines.on_ray.store import Store
from muster._engines.prints import to_standard_error
from muster._model import Slots
from muster._run.staffing.assembly import engine_far_away
from muster._user_code import world


class FarMachine:
    """One machine: its workers, where they find what was sent, and what they keep."""

    def __init__(self, name: str, *, workers: int) -> None:
        self.name = name
        self.tickets: dict[int, str] = {}
        """Requests that are with it, and the worker that is on each, if one is."""
        self.workers: set[str] = set()
        self.given_up: set[int] = set()
        """Those that it has lost with all that it had."""
        self.supplies: dict[int, Path] = {}
        self.engine, self._mirror = Context().run(lambda: _begun(workers))  # as on a machine, where no run goes on
        self.station, self.kept = 0, self._keeper(0)

    def _keeper(self, station: int) -> KeptFiles:
        return KeptFiles(station, beside=self._mirror)

    def stock(self, freight: Freight) -> None:
        store = Store(self._mirror, below=Path(self._mirror).parent)
        for cargo, chunks in enumerate(store.expect(freight.cargos)):
            for chunk in chunks:
                store.take(cargo, chunk, freight.read(cargo, chunk))
        store.lay_out()

    def begin_anew(self, station: int) -> None:
        """Keep nothing of what was kept, under another number."""
        shutil.rmtree(kept_folder(self._mirror))
        self.station, self.kept = station, self._keeper(station)

    @property
    def files(self) -> list[Path]:
        """List what it keeps, and what its requests need of that."""
        return [*kept_folder(self._mirror).iterdir(), *self.supplies.values()]

    def pid_of(self, worker: str) -> int:
        [pid] = [one.pid for one in self.engine._live.values() if one.name == worker]  # noqa: SLF001 (nobody tells)
        return pid

    def heard(self, message: Message) -> Message:
        match message:
            case Began(ticket, worker):
                self.tickets[ticket] = worker
            case Done(ticket) | Failed(ticket) | Lost(ticket):
                self.tickets.pop(ticket, None)
                if (path := self.supplies.pop(ticket, None)) is not None:
                    path.unlink()
                if isinstance(message, Lost) and ticket in self.given_up:
                    message = replace(message, reason="its machine is gone", began=False)
            case Joined(worker):
                self.workers.add(f"{self.name}-{worker}")
                return Joined(f"{self.name}-{worker}", self.name)
            case Left(worker):
                self.workers.discard(f"{self.name}-{worker}")
        match message:
            case Began() | Done() | Failed() | Lost() | Left():
                return replace(message, worker=f"{self.name}-{message.worker}")
        return message


def _begun(workers: int) -> tuple[CoresEngine, str]:
    world.World.abroad(()).settle()
    try:
        return engine_far_away(workers, to_standard_error), world.World.here().mirror
    finally:
        world._entered.pop()  # noqa: SLF001 (this process goes on as what it was)


class FarMachines:
    """An engine of such machines, which workers and all that is kept may be lost of."""

    has_own_disks = True

    def __init__(self, *, machines: int, workers: int) -> None:
        self.machines: dict[str, FarMachine] = {}
        self._workers = workers
        self._left: set[str] = set()
        """Machines that were drained, and whose workers have left."""
        self._numbers = count(1)
        self.stage = ""
        """That of the last briefing."""
        self._freight: Freight | None = None
        self._briefing = b""
        self._untold: list[Message] = []
        self._bell = Bell()
        self._ears = selectors.DefaultSelector()
        self._ears.register(self._bell, selectors.EVENT_READ)
        for at in range(machines):
            self.join(f"m{at + 1}")

    def join(self, name: str) -> None:
        """Begin a machine."""
        machine = self.machines[name] = FarMachine(name, workers=self._workers)
        machine.begin_anew(next(self._numbers))
        self._ears.register(machine.engine, selectors.EVENT_READ)
        self._introduce()
        if self._freight is not None:
            machine.stock(self._freight)
        if self._briefing:
            machine.engine.brief(self._briefing)

    def leave(self, name: str) -> None:
        """Pull a machine's plug for good."""
        machine = self.machines.pop(name)
        if name in self._left:
            self._left.remove(name)
        else:
            self._ears.unregister(machine.engine)
        machine.engine.close()
        self._introduce()
        why = "its machine is gone"
        self._untold += [Lost(ticket, why, began=False) for ticket in machine.tickets]
        self._untold += [Left(worker, why) for worker in machine.workers]
        self._bell.ring()

    def _introduce(self) -> None:
        peers = {one.station: _peer(one) for one in self.machines.values()}
        for machine in self.machines.values():
            machine.kept.peers = peers

    def lose(self, name: str) -> None:
        """Pull a machine's plug: another takes its place, which has nothing of what it had."""
        machine = self.machines[name]
        machine.given_up |= machine.tickets.keys()
        for ticket in [*machine.tickets]:
            machine.engine.cancel(ticket)
        machine.begin_anew(next(self._numbers))
        self._introduce()

    def kill(self, ticket: int) -> None:
        """End the worker that is on a request."""
        [machine] = [one for one in self.machines.values() if ticket in one.tickets]
        with contextlib.suppress(ProcessLookupError):
            os.kill(machine.pid_of(machine.tickets[ticket]), signal.SIGKILL)

    @property
    def begun(self) -> list[int]:
        """List the requests that workers are on."""
        return [ticket for one in self.machines.values() for ticket, worker in one.tickets.items() if worker]

    # What a run asks of it

    def fileno(self) -> int:
        return self._ears.fileno()

    def messages(self) -> list[Message]:
        told, self._untold = self._untold, []
        self._bell.hush()
        for machine in self.machines.values():
            if machine.name not in self._left:
                told += self._heard(machine)
        if not told and len(self._left) == len(self.machines):
            raise NobodyLeftError
        return told

    def _heard(self, machine: FarMachine) -> list[Message]:
        try:
            return [*map(machine.heard, machine.engine.messages())]
        except NobodyLeftError:  # it was drained; what it keeps can be read still
            self._left.add(machine.name)
            self._ears.unregister(machine.engine)
            return []

    def slots(self) -> Mapping[str, Slots]:
        return {name: slots for name, one in self.machines.items() for slots in one.engine.slots().values()}

    def brief(self, briefing: bytes) -> None:
        sent: Any = pickle.loads(briefing)  # noqa: S301 (this process's own)
        self.stage = Path(pickle.loads(sent.briefing).folder).name.partition("-")[2]  # noqa: S301 (likewise)
        self._briefing = briefing
        for machine in self.machines.values():
            machine.engine.brief(briefing)

    def submit(
        self, ticket: int, request: object, *, machine: str, lane: int | None = None, fresh: bool = False
    ) -> None:
        there = self.machines[machine]
        if isinstance(request, Needing):
            try:
                path = there.kept.supply(request)
            except NotReadThereError as error:
                self._untold.append(Failed(ticket, UnreadError(str(error))))
                self._bell.ring()
                return
            there.supplies[ticket] = path
            request = Supplied(request.request, str(path))
        there.tickets[ticket] = ""
        there.engine.submit(ticket, request, machine="", lane=lane, fresh=fresh)

    def cancel(self, ticket: int) -> None:
        for machine in self.machines.values():
            machine.engine.cancel(ticket)

    def drain(self, machine: str) -> None:
        self.machines[machine].engine.drain("")

    def close(self) -> None:
        for machine in self.machines.values():
            machine.engine.close()
        self._ears.close()
        self._bell.close()

    # What machines keep

    def stock(self, freight: Freight) -> None:
        self._freight = freight
        for machine in self.machines.values():
            machine.stock(freight)

    def station_of(self, ticket: int) -> int | None:
        return next((one.station for one in self.machines.values() if ticket in one.tickets), None)

    def station_on(self, machine: str) -> int | None:
        return self.machines[machine].station

    @property
    def keepers(self) -> Collection[int]:
        return {one.station for one in self.machines.values()}

    def forget(self, station: int, names: Sequence[str]) -> None:
        for machine in self.machines.values():
            if machine.station == station:
                machine.kept.forget(names)


def _peer(machine: FarMachine) -> Peer:
    def get(slices: Sequence[Slice]) -> bytes:
        try:
            return machine.kept.read(slices)
        except OSError as error:
            raise NotReadThereError(machine.station, str(error)) from error

    return Peer(lambda slices: slices, get)


def access_to(engine: Any, *, workers: int) -> Access:  # noqa: ANN401 (any that machines are behind)
    """Reach machines by an engine, as a run reaches a cluster."""
    return Access("", {}, workers, "", shares_files=False, make_engine=lambda _: engine)


@contextlib.contextmanager
def temporary_files_in(folder: Path) -> Iterator[None]:
    """Have what machines leave behind lie in a folder, as nobody tidies up behind those that are killed."""
    before, tempfile.tempdir = tempfile.tempdir, tempfile.mkdtemp(dir=folder)
    try:
        yield
    finally:
        tempfile.tempdir = before
