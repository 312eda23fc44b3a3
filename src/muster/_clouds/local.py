"""Machines on this computer: each a Ray node of its own, on loopback, with an agent that keeps its lease."""

import contextlib
import json
import os
import secrets
import shutil
import socket
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

from muster._files import notes
from muster._files.whole import write
from muster._private.files import new_folder, own_folder, squatted
from muster._urls.addresses import joined
from muster._words import text_of
from muster.errors import EngineError

from . import certificates
from .base import (
    NO_LOG_MONITOR,
    WORKERS_ENVIRONMENT,
    Access,
    Census,
    Renewals,
    Seen,
    Wanted,
    check_lease,
    nobody_works,
    reading_note,
)
from .endings import Endings
from .machine_folder import MachineFolder, check_system, living_here
from .there import ending

_NODE: Final = Path(__file__).parent / "there" / "node.py"
_ADDRESS: Final = "127.0.0.1"
_OBJECT_STORE_BYTES: Final = 128 << 20
"""Blocks and results of a few tasks: rows go through files, which all see."""

_START_SECONDS: Final = 120.0
"""Seven machines of 28 workers took half a minute on two cores; a busy computer takes several times that."""

_LEAST_LEASE: Final = 2.0
"""A command takes a second to start, and only then can renew."""
_STARTING_A_CORE: Final = 2
"""Two, as each start waits for a disk, too. Not measured."""

_SOCKET: Final = "/m9999/session_2026-01-01_00-00-00_000000_4194304/sockets/plasma_store"
"""The longest path of a socket that Ray makes below the scratch folder."""


@dataclass(frozen=True, slots=True)
class _LocalRecord:
    """What must be remembered of a cluster between two commands."""

    port: int
    scratch: str
    """Where Ray keeps its sockets, whose paths must be short."""
    workers: int
    lease: float
    machines: int = 1
    """How many were wanted last; one that an earlier muster wrote does not say."""


class LocalCloud:
    """The machines of one cluster, each with a folder: its lease, its log, and who its agent is."""

    def __init__(self, folder: Path) -> None:
        """Know a cluster by its folder; nothing happens yet."""
        self._folder = folder
        self._token = folder / "token"
        self._authority = certificates.Authority(folder)

    # What is there

    def last(self) -> Wanted | None:
        """Tell what was wanted last."""
        record = self._record()
        return None if record is None else Wanted(record.machines, record.workers, record.lease)

    def check(self, wanted: Wanted) -> None:
        """Find a lease too short, or a system that cannot: else there are as many machines as are wanted."""
        check_system(sys.platform)
        check_lease(wanted, least=_LEAST_LEASE)

    def _record(self) -> _LocalRecord | None:
        path = self._folder / "local.json"
        with contextlib.suppress(FileNotFoundError), reading_note(path):
            return _LocalRecord(**json.loads(path.read_text()))
        return None

    def _folders(self) -> "list[MachineFolder]":
        """List the machines' folders, the head first."""
        found = (MachineFolder(path) for path in self._folder.glob("m*") if path.name[1:].isdigit())
        return sorted(found, key=lambda folder: folder.number)

    def seen(self) -> Seen:
        """List the machines that live, the head first."""
        record = self._record()
        if record is None:
            return Seen()
        living = [folder for folder in self._folders() if folder.is_alive]
        return Seen(tuple(folder.describe(record.workers) for folder in living))

    def census(self) -> Census:
        """Find the agents of machines among this user's processes, whatever clusters' folders say."""
        return Census(tuple(folder.found() for folder in living_here()))

    @contextlib.contextmanager
    def access(self) -> Iterator[Access]:
        """Tell how to reach the cluster. Raises ``EngineError`` when its head does not live."""
        record = self._record()
        machines = self.seen().machines
        if record is None or not any(machine.is_head for machine in machines):
            raise EngineError("The cluster's head does not live any more. Make the cluster again with muster up.")
        self._authority.check()
        stays_local = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}  # or Ray looks for 127.0.0.1 on the network
        yield Access(
            joined(_ADDRESS, record.port),
            {**self._environment(self._folder / machines[0].name), **stays_local},
            workers=record.workers * len(machines),
            python=sys.executable,
        )

    def _environment(self, machine: Path) -> Mapping[str, str]:
        return {
            **certificates.environment(machine.absolute(), token=self._token.absolute()),
            "RAY_gcs_rpc_server_reconnect_timeout_s": "5",  # a head of this computer that does not answer is no more
        }

    # What changes it

    def scale(self, wanted: Wanted, *, alone: Callable[[], None] = nobody_works) -> Seen:
        """Start or end machines until there are as many as wanted; tell what was seen of them.

        Raises ``EngineError`` when one does not start.
        """
        living = [folder for folder in self._folders() if folder.is_alive]
        record = self._record()
        has_head = bool(living) and living[0].number == 1
        if record is None or not has_head or self._differs(record, wanted, alone):
            self.destroy()
            living = []
            record = self._begin(wanted)
        record = self._remember(replace(record, lease=wanted.lease, machines=wanted.machines))
        for folder in living:
            folder.renew(wanted.lease)
        self._end(living[wanted.machines :])
        living = living[: wanted.machines]
        for folder in living:  # of an up that was killed they may not have joined yet
            self._await([folder])
        if not living:
            head = self._start(1, record)
            self._await([head])
            living = [head]
        used = {folder.number for folder in living}
        free = (number for number in range(2, 2 + wanted.machines + len(used)) if number not in used)
        wave = (os.cpu_count() or 1) * _STARTING_A_CORE  # or they take turns until none starts in time
        while (missing := wanted.machines - len(living)) > 0:
            started = [self._start(next(free), record) for _ in range(min(wave, missing))]
            self._await(started)
            living += started
        for folder in living:  # again: one that joined and has ended since says why
            folder.wait(_START_SECONDS)
        return self.seen()

    def _differs(self, record: _LocalRecord, wanted: Wanted, alone: Callable[[], None]) -> bool:
        """Tell whether machines that live must start anew; then nobody else works on them."""
        if record.workers == wanted.workers:
            return self._authority.must_begin_anew(alone)
        alone()
        return True

    def _begin(self, wanted: Wanted) -> _LocalRecord:
        self._folder.parent.mkdir(parents=True, exist_ok=True)
        own_folder(self._folder)
        write(self._token, secrets.token_hex(32), durable=True)
        self._authority.begin(wanted.lease)
        place = new_folder(len(_SOCKET))
        try:
            return self._remember(_LocalRecord(_free_port(), str(place), wanted.workers, wanted.lease))
        except OSError:  # nobody would know of it
            place.rmdir()
            raise

    def _remember(self, record: _LocalRecord) -> _LocalRecord:
        notes.write(self._folder / "local.json", asdict(record), durable=True)
        return record

    def _start(self, number: int, record: _LocalRecord) -> "MachineFolder":
        """Start a machine's agent, which starts its node; this does not wait for either."""
        folder = MachineFolder(self._folder / f"m{number}")
        place = f"{record.scratch}/{folder.name}"
        role = (
            ["--head", f"--port={record.port}", "--include-dashboard=false", "--no-monitor"]
            if number == 1
            else [f"--address={joined(_ADDRESS, record.port)}"]
        )
        command = [
            *(sys.executable, str(_NODE), "loopback", "start", "--block", *role),
            *(f"--node-name={folder.name}", f"--node-ip-address={_ADDRESS}", f"--num-cpus={record.workers}"),
            *("--min-worker-port=0", "--max-worker-port=0", f"--object-store-memory={_OBJECT_STORE_BYTES}"),
            *("--disable-usage-stats", NO_LOG_MONITOR, f"--temp-dir={place}"),
        ]
        environment = {**os.environ, **WORKERS_ENVIRONMENT, **self._environment(folder.path)}
        notes = {"lease": f"{record.lease:g}", "scratch": place}
        folder.start(command, environment, {**notes, **self._authority.issue(folder.name, certificates.LOOPBACK)})
        return folder

    def _await(self, folders: Sequence[MachineFolder]) -> None:
        """Wait until the machines' nodes have joined; end those that were just started when one has not."""
        try:
            for folder in folders:
                folder.wait(_START_SECONDS)
        except EngineError:
            self._end(folders)
            raise

    def renew(self) -> Renewals:
        """Renew the lease of every machine; tell of those that live."""
        record = self._record()
        folders, failed = self._folders(), {}
        for folder in folders:
            try:
                folder.renew()
            except OSError as error:
                failed[folder.name] = f"{text_of(error)}. May this user write there?"
        living = tuple(one.name for one in folders if one.is_alive and one.name not in failed)
        return Renewals(living, record.lease if record else 0.0, failed, self._authority.remark())

    def destroy(self) -> Sequence[str]:
        """End all machines and forget the cluster."""
        record = self._record()
        endings = self._end(self._folders())
        if record is not None and not squatted(Path(record.scratch)):
            shutil.rmtree(record.scratch, ignore_errors=True)
        (self._folder / "local.json").unlink(missing_ok=True)
        self._token.unlink(missing_ok=True)
        self._authority.forget()
        endings.check(record.lease if record else 0.0)
        return endings.lines()

    def purging(self) -> Callable[[], Sequence[str]]:
        """Have nothing to remove: machines of this computer use what is installed here."""
        return list

    def _end(self, folders: "Sequence[MachineFolder]") -> Endings:
        """End machines side by side; tell what was seen of it."""
        endings = Endings()
        asked = [ending.ask_to_end(folder.path) for folder in folders]
        for folder, own in zip(folders, asked, strict=True):
            endings.take(folder.name, ending.end(folder.path, own))
        return endings


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((_ADDRESS, 0))
        return int(probe.getsockname()[1])
