"""Clusters by name: made, looked at, borrowed for a run and ended."""

import contextlib
import dataclasses
import functools
import json
import re
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from threading import Event
from typing import Concatenate, Final, ParamSpec, TypeVar

from muster._clouds.base import ENDED, Access, Cloud, Machine, Renewals, Seen, Wanted, reading_note
from muster._clouds.by_name import absolute, cloud_of, known_cloud
from muster._clouds.claims import Claims
from muster._clouds.expecting import expect, expect_any
from muster._clouds.plugged import LOCAL, RECORD
from muster._clouds.renewing import renewing
from muster._files import notes
from muster._files.home import HomeError, home, make
from muster._process.cores import count_cores
from muster._words import text_of
from muster._words.near import with_guess
from muster.errors import EngineError, UsageError

_NAME: Final = r"[A-Za-z0-9][A-Za-z0-9._-]{0,40}"
_LEASE_SECONDS: Final = 900.0
"""A machine that is forgotten costs a quarter of an hour at the most; a laptop may sleep for some minutes."""

_LONGEST_TICK: Final = 1.0
"""Seconds of one wait: another begins until no machine is left."""

_Given = ParamSpec("_Given")
_Got = TypeVar("_Got")


@dataclass(frozen=True, slots=True)
class Status:
    """What is known of a cluster: its name, its cloud, its machines, and the process that it works for, if any."""

    name: str
    on: str
    machines: tuple[Machine, ...]
    held_by: int | None
    silent: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Machines that did not answer, or have ended by themselves; and why."""


def _tells_of_disk(
    verb: "Callable[Concatenate[Cluster, _Given], _Got]",
) -> "Callable[Concatenate[Cluster, _Given], _Got]":
    """Have a verb raise ``EngineError`` where the cluster's folder cannot be read or written."""

    @functools.wraps(verb)
    def told(cluster: "Cluster", /, *given: _Given.args, **named: _Given.kwargs) -> _Got:
        with cluster.telling_of_disk():
            return verb(cluster, *given, **named)

    return told


class Cluster:
    """One cluster of this user. It is known by a folder, so that any later command finds it."""

    def __init__(self, name: str) -> None:
        """Know a cluster by name. Raises ``UsageError`` for what cannot be one."""
        if not re.fullmatch(_NAME, name):
            raise UsageError(f"{name!r} cannot name a cluster: use letters, digits, dots and dashes, at most 41.")
        self.name = name
        self._folder = home() / "clusters" / name
        self._record = self._folder / RECORD
        self._claims = Claims(self._folder)

    def _on(self) -> str | None:
        with contextlib.suppress(FileNotFoundError), reading_note(self._record):
            return str(json.loads(self._record.read_text())["on"])
        return None

    def _known_cloud(self) -> Cloud:
        on = self._on()
        if on is None:
            others = ", ".join(names()) or "none"
            said = with_guess(self.name, names(), shown=repr(self.name))
            raise UsageError(
                f"There is no cluster {said}. There are: {others}. Make it: muster up {self.name} --machines N."
            )
        return known_cloud(on, self._folder)

    @contextlib.contextmanager
    def telling_of_disk(self) -> Iterator[None]:
        """Say in muster's words what the disk refused. Raises ``EngineError``."""
        try:
            yield
        except HomeError:
            raise
        except OSError as error:
            raise EngineError(
                f"Cluster {self.name!r}: {text_of(error)}. What is known of it is kept in {str(self._folder)!r}: is"
                " there room, and may you write there? Mend that, or set MUSTER_HOME to another folder; then type the"
                " command again."
            ) from error

    @_tells_of_disk
    def up(self, machines: int, *, workers: int | None = None, lease: float | None = None, on: str | None) -> Status:
        """Make the cluster, or make it larger or smaller, also while it works.

        ``workers`` are those of a machine, ``lease`` is in seconds. Where one is not said, it stays as it is; a new
        cluster has a worker for each core of this computer, and 15 minutes. Machines of another number of workers start
        anew. Raises ``UsageError`` for what cannot be wanted, ``EngineError`` when a machine does not start.
        """
        before = self._on()
        on = (before or LOCAL) if on is None else absolute(on)
        cloud = (known_cloud if on == before else cloud_of)(on, self._folder)
        wanted = _wanted(machines, workers, lease, last=cloud.last())
        cloud.check(wanted)
        with self._changing(), contextlib.ExitStack() as held:
            if before not in {None, on}:
                self._leave(str(before), on)
            notes.write(self._record, {"on": on}, durable=True)
            try:
                with renewing(cloud, lease=lambda: wanted.lease):
                    seen = cloud.scale(wanted, alone=lambda: self._take_alone(held, wanted))
            except BaseException:  # also where whoever was asked has typed Ctrl-C
                if cloud.last() is None:  # nothing was made, so nothing is remembered
                    shutil.rmtree(self._folder, ignore_errors=True)
                raise
            cloud.renew()
            wanted = cloud.last() or wanted  # fewer, where the user said that fewer will do
        status = self._status(seen)
        expect(wanted.machines, status.machines, status.silent, cluster=self.name)
        return status

    def _leave(self, before: str, on: str) -> None:
        """Forget the cloud that the cluster was on. Raises ``UsageError`` when machines of it live."""
        cloud = known_cloud(before, self._folder)
        if cloud.seen().machines:
            raise UsageError(f"Cluster {self.name!r} is on {before}, not on {on}. First type muster down {self.name}.")
        cloud.destroy()

    def _take_alone(self, held: contextlib.ExitStack, wanted: Wanted) -> None:
        """Keep runs away while machines start anew. Raises ``UsageError`` when one works on them."""
        held.enter_context(
            self._holding(
                f"Machines of cluster {self.name!r} would have to start anew to have {wanted.workers} workers each, or"
                " another head, and a run works on them (process {holder}). Leave --workers-per-machine out and the"
                f" file of hosts as it was, or first type muster down {self.name}: the run can be resumed."
            )
        )

    def _changing(self) -> contextlib.AbstractContextManager[None]:
        """Let one command at a time change the cluster."""
        make(home(), "clusters", self.name)
        return self._claims.changing(
            f"Another command is changing cluster {self.name!r} just now. Wait for it, then type this again."
        )

    @_tells_of_disk
    def status(self) -> Status:
        """Look at the cluster. Raises ``UsageError`` when there is none of that name."""
        return self._status(self._known_cloud().seen())

    def _status(self, seen: Seen) -> Status:
        return Status(self.name, self._on() or "", seen.machines, self._claims.holder(), seen.silent)

    @_tells_of_disk
    def down(self, *, purge: bool = False) -> Sequence[str] | None:
        """End the cluster and all that runs on it; a run on it stops, resumable.

        ``purge`` also removes the environments that were installed on hosts, but for those of other clusters. Writes a
        line for each machine, of what was seen to end; ``None`` when there is no such cluster.
        """
        if not self._folder.exists():
            return None
        with self._changing():
            cloud = known_cloud(self._on() or LOCAL, self._folder)
            purging = cloud.purging() if purge else list[str]
            try:
                seen = cloud.destroy()
            except EngineError:
                purging()  # on those that answered: they will not be known any more
                raise
            seen = [*seen, *purging()]
            shutil.rmtree(self._folder, ignore_errors=True)
        return seen

    @contextlib.contextmanager
    def lent(self, on: str) -> Iterator[tuple[Path, list[str]]]:
        """Lend the folder of a cluster that is made for something else than runs, and ended then.

        What is said of its end is added to the list. Where this is killed, the cluster can be ended by its name; what
        an earlier one has left is ended first. Raises ``EngineError`` where something of it may be left.
        """
        with self.telling_of_disk():
            self.down()
            with self._changing():
                notes.write(self._record, {"on": on}, durable=True)
                said: list[str] = []
                try:
                    yield self._folder, said
                finally:
                    said += known_cloud(on, self._folder).destroy()
                    shutil.rmtree(self._folder, ignore_errors=True)

    @_tells_of_disk
    def keep(self, tell: Callable[[str], None]) -> None:
        """Renew the leases until this process is interrupted, or no machine lives; ``tell`` of those that fail."""
        cloud = self._known_cloud()
        ended = Event()
        renewed_at = time.monotonic()

        def take(renewed: Renewals) -> None:
            nonlocal renewed_at
            for text in renewed.news:
                tell(text)
            if renewed.machines:
                renewed_at = time.monotonic()
            elif set(renewed.failed.values()) <= {ENDED} or time.monotonic() - renewed_at > renewed.lease:
                ended.set()

        with renewing(cloud, lease=lambda: _lease_of(cloud), told=take):
            while not ended.wait(_LONGEST_TICK):
                pass
        tell(f"no machine of cluster {self.name!r} lives any more")

    def _holding(self, refused: str) -> contextlib.AbstractContextManager[None]:
        """Keep others from working on the cluster. Raises ``UsageError``, where ``{holder}`` is who does already."""
        return self._claims.working(refused, telling_of_disk=self.telling_of_disk)

    @contextlib.contextmanager
    def borrow(self, *, is_new: bool = False) -> Iterator[Access]:
        """Work on the cluster alone, and renew its leases meanwhile. Raises ``UsageError`` when another run does.

        Whether one ``is_new``, which ``up`` has just made, lives is not asked again.
        """
        cloud = self._known_cloud()
        taken = (
            f"Cluster {self.name!r} is working for another run (process {{holder}}). Wait for it, or make another"
            " cluster: muster up OTHER --machines N."
        )
        renewals: SimpleQueue[Renewals] = SimpleQueue()
        with self._holding(taken), renewing(cloud, lease=lambda: _lease_of(cloud), told=renewals.put):
            if not is_new:
                expect_any(cloud.seen(), cluster=self.name)
            with cloud.access() as access:
                yield dataclasses.replace(access, name=self.name, renewals=renewals)


def _wanted(machines: int, workers: int | None, lease: float | None, *, last: Wanted | None) -> Wanted:
    """Make out what is wanted. Raises ``UsageError`` for what cannot be."""
    last = last or Wanted(machines, count_cores(), _LEASE_SECONDS)
    wanted = Wanted(machines, last.workers if workers is None else workers, last.lease if lease is None else lease)
    if wanted.machines < 1 or wanted.workers < 1:
        raise UsageError("A cluster has at least 1 machine with 1 worker. To end it: muster down.")
    if wanted.lease <= 0:
        raise UsageError("A lease lasts more than 0 seconds. Type for example --lease 15m.")
    return wanted


def _lease_of(cloud: Cloud) -> float:
    """Tell how long the machines may live now; one command may change that while another renews."""
    last = cloud.last()
    return _LEASE_SECONDS if last is None else last.lease


def names() -> list[str]:
    """Name this user's clusters."""
    return sorted(path.parent.name for path in (home() / "clusters").glob(f"*/{RECORD}"))
