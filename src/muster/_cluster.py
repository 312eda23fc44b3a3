"""Clusters by name: made, looked at, borrowed for a run and ended."""

import contextlib
import dataclasses
import fcntl
import importlib.util
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from threading import Event, Thread
from typing import Final

from muster._clouds.base import Access, Cloud, Machine, Renewed, Wanted
from muster._clouds.hosts import HostsCloud
from muster._clouds.local import LocalCloud
from muster._engines.cores import count_cores
from muster._history import home
from muster.errors import EngineError, UsageError

_NAME: Final = r"[A-Za-z0-9][A-Za-z0-9._-]{0,40}"
_LEASE_SECONDS: Final = 900.0
_RENEWALS_A_LEASE: Final = 4


@dataclass(frozen=True, slots=True)
class Status:
    """What is known of a cluster: its name, its cloud, its machines, and the process that it works for, if any."""

    name: str
    on: str
    machines: tuple[Machine, ...]
    held_by: int | None


class Cluster:
    """One cluster of this user. It is known by a folder, so that any later command finds it."""

    def __init__(self, name: str) -> None:
        """Know a cluster by name. Raises ``UsageError`` for what cannot be one."""
        if not re.fullmatch(_NAME, name):
            raise UsageError(f"{name!r} cannot name a cluster: use letters, digits, dots and dashes, at most 41.")
        self.name = name
        self._folder = home() / "clusters" / name
        self._record = self._folder / "cluster.json"

    def _on(self) -> str | None:
        try:
            return str(json.loads(self._record.read_text())["on"])
        except (FileNotFoundError, ValueError):
            return None

    def _cloud(self, on: str) -> Cloud:
        if on != "local" and not on.endswith((".yml", ".yaml")):
            raise UsageError(
                f"--on {on}: there is no such cloud. Machines are made on local, or are hosts of a YAML file."
            )
        if missing := [name for name in ("ray", "yaml", "ansible_runner") if importlib.util.find_spec(name) is None]:
            raise UsageError(f"Clusters need {', '.join(missing)}, not installed here. Install muster[cluster].")
        return LocalCloud(self._folder) if on == "local" else HostsCloud(self._folder, Path(on))

    def _known_cloud(self) -> Cloud:
        on = self._on()
        if on is None:
            others = ", ".join(names()) or "none"
            raise UsageError(
                f"There is no cluster {self.name!r}. There are: {others}. Make it: muster up {self.name} --machines N."
            )
        return self._cloud(on)

    def up(self, machines: int, *, workers: int | None = None, lease: float | None = None, on: str | None) -> Status:
        """Make the cluster, or make it larger or smaller, also while it works.

        ``workers`` are those of a machine, by default one a core of this computer; ``lease`` is in seconds. Raises
        ``UsageError`` for what cannot be wanted, ``EngineError`` when a machine does not start.
        """
        wanted = Wanted(
            machines, count_cores() if workers is None else workers, _LEASE_SECONDS if lease is None else lease
        )
        if wanted.machines < 1 or wanted.workers < 1:
            raise UsageError("A cluster has at least 1 machine with 1 worker. To end it: muster down.")
        if wanted.lease <= 0:
            raise UsageError("A lease lasts more than 0 seconds. Type for example --lease 15m.")
        before = self._on()
        if on is None:
            on = before or "local"
        elif on != "local":
            on = str(Path(on).absolute())
        if before not in {None, on} and self._known_cloud().machines():
            raise UsageError(f"Cluster {self.name!r} is on {before}, not on {on}. First type muster down {self.name}.")
        cloud = self._cloud(on)
        with self._changing():
            self._record.write_text(json.dumps({"on": on}))
            with renewing(cloud, every=wanted.lease / _RENEWALS_A_LEASE):
                cloud.scale(wanted)
            cloud.renew()
        return self.status()

    @contextlib.contextmanager
    def _changing(self) -> Iterator[None]:
        """Let one command at a time change the cluster."""
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / "changing").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise UsageError(
                    f"Another command is changing cluster {self.name!r} just now. Wait for it, then type this again."
                ) from error
            yield

    def status(self) -> Status:
        """Look at the cluster. Raises ``UsageError`` when there is none of that name."""
        cloud = self._known_cloud()
        return Status(self.name, self._on() or "", tuple(cloud.machines()), self._holder())

    def _holder(self) -> int | None:
        """Name the process that has borrowed the cluster."""
        with contextlib.suppress(OSError), (self._folder / "held").open() as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except OSError:
                return int(lock.read() or 0)
        return None

    def down(self) -> bool:
        """End the cluster and all that runs on it; tell whether there was one. A run on it stops, resumable."""
        if not self._folder.exists():
            return False
        with self._changing():
            self._cloud(self._on() or "local").destroy()
            shutil.rmtree(self._folder, ignore_errors=True)
        return True

    def keep(self) -> None:
        """Renew the leases until this process is interrupted, or no machine lives."""
        cloud = self._known_cloud()
        while machines := cloud.machines():
            cloud.renew()
            Event().wait(min(machine.lease for machine in machines) / _RENEWALS_A_LEASE)

    @contextlib.contextmanager
    def borrow(self) -> Iterator[Access]:
        """Work on the cluster alone, and renew its leases meanwhile. Raises ``UsageError`` when another run does."""
        cloud = self._known_cloud()
        with (self._folder / "held").open("a+") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise UsageError(
                    f"Cluster {self.name!r} is working for another run (process {self._holder()}). Wait for it, or make"
                    " another cluster: muster up OTHER --machines N."
                ) from error
            lock.truncate(0)
            lock.write(str(os.getpid()))
            lock.flush()
            machines = cloud.machines()
            if not machines:
                raise EngineError(
                    f"No machine of cluster {self.name!r} lives any more: its lease has ended, or it was killed. Make"
                    f" it again: muster up {self.name} --machines N."
                )
            every = min(machine.lease for machine in machines) / _RENEWALS_A_LEASE
            renewals: SimpleQueue[Renewed] = SimpleQueue()
            with renewing(cloud, every=every, told=renewals.put), cloud.access() as access:
                yield dataclasses.replace(access, name=self.name, renewals=renewals)


@contextlib.contextmanager
def lent(name: str | None, *, machines: int | None, on: str | None) -> Iterator[Access]:
    """Lend a cluster to a run: the one of that name, or one that is made for it and ended with it."""
    if name is not None:
        with Cluster(name).borrow() as access:
            yield access
        return
    cluster = Cluster(f"run-{os.getpid()}-{os.urandom(2).hex()}")
    try:
        cluster.up(machines or 1, on=on)
        with cluster.borrow() as access:
            yield access
    finally:
        cluster.down()


def _to_nobody(_: Renewed) -> None:
    pass


@contextlib.contextmanager
def renewing(cloud: Cloud, *, every: float, told: Callable[[Renewed], None] = _to_nobody) -> Iterator[None]:
    """Renew a cloud's leases every so many seconds, whatever else this process does."""
    ended = Event()

    def renew() -> None:
        while not ended.wait(every):
            with contextlib.suppress(OSError, EngineError):  # the next time may succeed, and the lease is longer
                told(cloud.renew())

    told(cloud.renew())
    thread = Thread(target=renew, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def names() -> list[str]:
    """Name this user's clusters."""
    return sorted(path.parent.name for path in (home() / "clusters").glob("*/cluster.json"))
