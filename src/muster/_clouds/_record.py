"""What must be remembered of a cluster of hosts between two commands: which were started, and how they are reached."""

import contextlib
import json
import secrets
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from muster._private import write

from ._hosts_file import Host

_FILE: Final = "hosts.json"


@dataclass(frozen=True, slots=True)
class Started:
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
        return host.name, host.address, host.inside, host.port, host.user, host.python, self.folder, self.workers


@dataclass(frozen=True, slots=True)
class Record:
    """What must be remembered of a cluster between two commands; the hosts that were started, the head first."""

    id: str = ""
    """Drawn when its head was started: hosts keep what is the cluster's in places of that name."""
    since: str = ""
    lease: float = 0.0
    workers: int = 1
    """What was wanted on hosts of which the file says nothing else."""
    started: tuple[Started, ...] = ()
    ending: float = 0.0
    """When they were first told to end, in seconds since 1970: since then nobody has renewed their lease."""

    @property
    def is_over(self) -> bool:
        """Tell whether the lease of machines has ended that did not answer when they were to end."""
        return bool(self.ending) and time.time() > self.ending + self.lease

    def without(self, names: Collection[str]) -> "Record":
        """Remember, once machines were told to end, only those that are not known to have done so."""
        left = tuple(one for one in self.started if one.host.name not in names)
        return replace(self, started=left, ending=self.ending or time.time())

    def begun(self) -> "Record":
        """Begin a cluster anew, on what is remembered of an earlier one of that name."""
        since = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
        return replace(self, id=secrets.token_hex(8), since=since, ending=0.0)


def recalled(folder: Path) -> Record | None:
    """Read the record in a cluster's folder, also that of an earlier muster."""
    with contextlib.suppress(FileNotFoundError):
        known = json.loads((folder / _FILE).read_text())
        kept = {field.name: known[field.name] for field in fields(Record) if field.name in known}
        keys = known.get("known_hosts", "")  # where an earlier muster kept them
        started = tuple(Started(**{**one, "host": host_of(one["host"], keys)}) for one in known["started"])
        return Record(**{**kept, "started": started})
    return None


def remember(folder: Path, record: Record) -> None:
    """Keep the record."""
    write(folder / _FILE, json.dumps(asdict(record)))


def forget(folder: Path) -> None:
    """Keep no record any more."""
    (folder / _FILE).unlink(missing_ok=True)


def host_of(known: Mapping[str, Any], keys: str) -> Host:
    """Take a host from a record, also from one of an earlier muster, which knew of one address only."""
    return Host(**{"known_hosts": keys, "inside": known["address"], **known})


def ending(
    before: Sequence[Started], after: Sequence[Started], living: Collection[str]
) -> tuple[Sequence[Started], bool]:
    """List what must end before ``after`` can start; tell whether some of it lives, and is ended to start anew.

    All must end where the head does: the others know no other.
    """
    wanted, staying = {one.host.name for one in after}, {one.identity for one in after}
    differing = [one for one in before if one.identity not in staying]
    if before and (before[0].host.name not in living or before[0] in differing):
        return before, before[0].host.name in living
    return differing, any(one.host.name in wanted and one.host.name in living for one in differing)
