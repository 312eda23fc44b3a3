"""The folders in which clusters keep what they need on a host: where they lie, and whose each is. Run alone: make one.

A machine's folder is ``~/.muster/machines/NAME@HOST/ID-ADDRESS``. ``NAME`` is the cluster's, and one of each name works
on a host at a time. ``HOST`` tells apart hosts that share a home; ``ADDRESS`` those that do, and also have one name.
``ID`` is the cluster's own, drawn when it was made: no other home's verb can name that place.
"""

import contextlib
import hashlib
import json
import os
import re
import shlex
import sys
import time
from collections.abc import Collection
from pathlib import Path
from typing import Final, NamedTuple

from muster._files import notes
from muster._files.whole import write
from muster._private.files import NotPrivateError, open_to_others, own_folder, remove_all, squatted

from .processes import is_alive

_MACHINE_ID: Final = Path("/etc/machine-id")
_LEVELS: Final = 4
"""How many folders of a machine's place are muster's own, below the home."""

_TRIES: Final = 10
"""Each fails only where somebody else makes or removes the same folder at that moment."""

_LONG_AGO_SECONDS: Final = 24 * 3600.0
"""Longer than clocks of hosts differ."""


class FolderOwner(NamedTuple):
    """Whose a place is, as its note says: the cluster's name, USER@COMPUTER, MUSTER_HOME, and since when."""

    name: str
    who: str
    home: str
    since: str

    def __str__(self) -> str:
        """Name the cluster, and who knows it."""
        return f"the cluster {self.name!r} of {self.who} (MUSTER_HOME {self.home})"

    @property
    def down(self) -> str:
        """Write what ends it, and who has to type that."""
        return f"MUSTER_HOME={shlex.quote(self.home)} muster down {self.name}, typed as {self.who}"


def this_host() -> str:
    """Name this computer, so that no other one with the same home has that name."""
    name = os.uname().nodename
    try:
        identity = _MACHINE_ID.read_text().strip()
    except OSError:
        identity = ""
    digest = hashlib.sha256(f"{identity} {name}".encode()).hexdigest()[:8]
    return f"{re.sub('[^A-Za-z0-9.-]', '-', name)}-{digest}"


def of_clusters(name: str) -> Path:
    """Tell where clusters of a name have their places on this host."""
    return Path.home() / ".muster" / "machines" / f"{name}@{this_host()}"


def all_of_this_host() -> list[Path]:
    """List the places on this host, of all clusters of this user."""
    return list((Path.home() / ".muster" / "machines").glob(f"*@{this_host()}/*"))


def leaf(cluster: str, address: str) -> str:
    """Name the folder of the machine that a cluster reaches by that address."""
    return f"{cluster}-{hashlib.sha256(address.encode()).hexdigest()[:6]}"


def agent_of(place: Path) -> int | None:
    """Name the agent's process of a machine, if it lives."""
    known = notes.read(place / "agent") or {}
    return int(known["pid"]) if is_alive(known.get("pid", 0), known.get("born")) else None


def watchdog_of(place: Path) -> int | None:
    """Name the process of the agent's watchdog, if it lives: it says why a machine ended whose agent could not."""
    known = notes.read(place / "agent") or {}
    return int(known["watchdog"]) if is_alive(known.get("watchdog", 0), known.get("watchdog_born")) else None


def owner_of(place: Path) -> FolderOwner | None:
    """Tell whose a place is; ``None`` where its note is not there, is damaged, or lacks something."""
    known = notes.read(place / "owner") or {}
    said = [known.get(field) for field in FolderOwner._fields]
    return FolderOwner(*map(str, said)) if all(isinstance(one, str) for one in said) else None


def others(place: Path, clusters: Collection[str]) -> list[Path]:
    """List the places of clusters of the same name, but not of these."""
    found = sorted(place.iterdir()) if place.is_dir() else []
    return [other for other in found if other.name.partition("-")[0] not in clusters and other.is_dir()]


def taken(place: Path, clusters: Collection[str]) -> str:
    """Say which cluster of the same name works on this host, if it is none of these."""
    for other in others(place, clusters):
        if agent_of(other) is not None:
            return _taken(other)
    return ""


def abandoned(machines: Path) -> list[Path]:
    """List the places, of whatever host that shares the home, whose leases have ended long ago: nothing lives there."""
    now = time.time()
    found = []
    for place in machines.glob("*@*/*"):
        with contextlib.suppress(OSError, ValueError):
            lease = place / "lease"
            if now > lease.stat().st_mtime + float(lease.read_text()) + _LONG_AGO_SECONDS:
                found.append(place)
    return found


def _taken(place: Path) -> str:
    owner, lease = owner_of(place), None
    with contextlib.suppress(OSError, ValueError):
        lease = float((place / "lease").read_text())
    if owner is None or lease is None:
        return f"another cluster of that name works there, in {str(place)!r}"
    return (
        f"{owner} works there since {owner.since}, and a host works for one cluster of a name. Leave this host out of"
        f" the file, or end that cluster: {owner.down}; if nobody renews its lease, it ends within {lease:g} s"
    )


def obstacle() -> str:
    """Say why nothing can be kept for this user alone in the home of this host."""
    home = Path.home()
    folders = [home / ".muster", home / ".muster" / "machines", home / ".muster" / "environments"]
    return open_to_others(home) or next(filter(None, map(squatted, folders)), "")


def make(place: Path) -> None:
    """Make a machine's place, of folders for this user alone. Raises ``NotPrivateError``."""
    folders = [place, *place.parents][:_LEVELS]
    if why := open_to_others(folders[-1].parent):
        raise NotPrivateError(why)
    for attempt in range(_TRIES):
        try:
            for folder in reversed(folders):
                own_folder(folder)
        except FileNotFoundError:  # the last of another cluster has just removed what its place was in
            if attempt + 1 == _TRIES:
                raise
        else:
            return


def is_on_host(place: Path) -> bool:
    """Tell a place on a host from one at home."""
    return "@" in place.parent.name


def forget(place: Path) -> None:
    """Remove one, and what the last one was in, up to the home."""
    remove_all(place)
    if is_on_host(place):
        with contextlib.suppress(OSError):  # there are others
            for folder in list(place.parents)[: _LEVELS - 1]:
                folder.rmdir()


def main() -> None:
    """Make the place that standard input tells of, and write the files that are to lie there."""
    told = json.load(sys.stdin)
    place = Path(told["folder"])
    try:
        make(place)
        for name, text in told["files"].items():
            write(place / name, text)
    except OSError as error:
        sys.exit(f"The machine has no place: {error}")


if __name__ == "__main__":
    main()
