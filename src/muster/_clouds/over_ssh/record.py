"""What must be remembered of a cluster of hosts between two commands: which were started, and how they are reached."""

import contextlib
import json
import secrets
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any

from muster._clouds.asked import HOSTS_NOTE
from muster._clouds.base import reading_note
from muster._files import notes

from .inventory import Host


@dataclass(frozen=True, slots=True)
class StartedHost:
    """A host that was started: how to reach it, whatever the file says by now, and what was found there."""

    host: Host
    folder: str
    workers: int
    versions: Mapping[str, str]
    own: Sequence[str] = ()
    """Where Ray finds it, when the address that is known here is loopback: Ray then looks for another."""

    @property
    def identity(self) -> tuple[object, ...]:
        """Tell two apart of which the one cannot become the other but by starting anew."""
        host = self.host
        return host.name, host.outside, host.inside, host.port, host.user, host.python, self.folder, self.workers

    @property
    def place(self) -> tuple[object, ...]:
        """Tell two apart that lie in different places; those of one place are one machine, whatever became of it."""
        return self.host.outside, self.host.port, self.host.user, self.folder

    @property
    def cluster(self) -> str:
        """Tell the id of the cluster that it was started for."""
        return PurePosixPath(self.folder).name.partition("-")[0]


@dataclass(frozen=True, slots=True)
class Leaving:
    """A machine that was to end and was not seen to. Nobody renews its lease any more."""

    machine: StartedHost
    since: float
    """When it was first told to end, in seconds since 1970."""
    lease: float
    """In seconds."""

    @property
    def is_over(self) -> bool:
        """Tell whether its lease has ended, and the machine with it."""
        return time.time() > self.since + self.lease


@dataclass(frozen=True, slots=True)
class ClusterRecord:
    """What must be remembered of a cluster between two commands; the hosts that were started, the head first."""

    id: str = ""
    """Drawn when its head was started: hosts keep what is the cluster's in places of that name."""
    since: str = ""
    lease: float = 0.0
    workers: int = 1
    """What was wanted on hosts of which the file says nothing else."""
    started: tuple[StartedHost, ...] = ()
    leaving: tuple[Leaving, ...] = ()
    """Those that may live on, though they were to end: whatever has ended them, and of whichever id they are."""

    @property
    def longest_lease(self) -> float:
        """Tell within how many seconds whatever is leaving ends by itself."""
        return max((one.lease for one in self.leaving), default=self.lease)

    def left_by(self, machines: Sequence[StartedHost], *, unseen: Sequence[StartedHost]) -> "ClusterRecord":
        """Remember, once machines were told to end and those that are leaving again, which were not seen to end."""
        before, gone = {one.machine.place: one for one in self.leaving}, {one.place for one in machines}
        now = time.time()
        return replace(
            self,
            started=tuple(one for one in self.started if one.place not in gone),
            leaving=tuple(before.get(one.place) or Leaving(one, now, self.lease) for one in unseen),
        )

    def working(self, started: Sequence[StartedHost], *, lease: float, workers: int) -> "ClusterRecord":
        """Remember what is about to start; whatever was leaving there has an end that counts no more."""
        places = {one.place for one in started}
        leaving = tuple(one for one in self.leaving if one.machine.place not in places)
        return replace(self, started=tuple(started), leaving=leaving, lease=lease, workers=workers)

    def begun(self) -> "ClusterRecord":
        """Begin a cluster anew, on what is remembered of an earlier one of that name."""
        since = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
        return replace(self, id=secrets.token_hex(8), since=since)


def recalled(folder: Path) -> ClusterRecord | None:
    """Read the record in a cluster's folder, also that of an earlier muster. Raises ``EngineError`` for another."""
    with contextlib.suppress(FileNotFoundError), reading_note(folder / HOSTS_NOTE):
        known = json.loads((folder / HOSTS_NOTE).read_text())
        kept = {field.name: known[field.name] for field in fields(ClusterRecord) if field.name in known}
        keys = known.get("known_hosts", "")  # where an earlier muster kept them
        started = tuple(_started(one, keys) for one in known["started"])
        leaving = tuple(
            Leaving(_started(each["machine"], keys), each["since"], each["lease"]) for each in known.get("leaving", [])
        )
        if since := known.get("ending"):  # when all machines of an earlier muster were told to end
            leaving = tuple(Leaving(one, since, known["lease"]) for one in started)
            started = ()
        return ClusterRecord(**{**kept, "started": started, "leaving": leaving})
    return None


def _started(known: Mapping[str, Any], keys: str) -> StartedHost:
    return StartedHost(**{**known, "host": host_of(known["host"], keys)})


def remember(folder: Path, record: ClusterRecord) -> None:
    """Keep the record."""
    notes.write(folder / HOSTS_NOTE, asdict(record), durable=True)  # or nobody could end what was started


def forget(folder: Path) -> None:
    """Keep no record any more."""
    (folder / HOSTS_NOTE).unlink(missing_ok=True)


def host_of(noted: Mapping[str, Any], keys: str) -> Host:
    """Take a host from a record, also from one of an earlier muster, which knew of one address only."""
    address = noted.get("address", "")
    fields_of_host = {name: value for name, value in noted.items() if name != "address"}
    return Host(**{"known_hosts": keys, "outside": address, "inside": address, **fields_of_host})


def ending(
    before: Sequence[StartedHost], after: Sequence[StartedHost], living: Collection[str]
) -> tuple[Sequence[StartedHost], bool]:
    """List what must end before ``after`` can start; tell whether some of it lives, and is ended to start anew.

    All must end where the head does: the others know no other.
    """
    wanted, staying = {one.host.name for one in after}, {one.identity for one in after}
    differing = [one for one in before if one.identity not in staying]
    if before and (before[0].host.name not in living or before[0] in differing):
        return before, before[0].host.name in living
    return differing, any(one.host.name in wanted and one.host.name in living for one in differing)


def apart(machines: Sequence[StartedHost]) -> dict[str, StartedHost]:
    """Name machines, each once: a host may have several places, and a name may have been another host's."""
    named: dict[str, StartedHost] = {}
    for one in machines:
        name = one.host.name if one.host.name not in named else f"{one.host.name} ({one.host.outside}:{one.folder})"
        named[name] = one
    return named
