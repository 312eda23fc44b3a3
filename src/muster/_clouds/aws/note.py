"""What must be remembered of a cluster of AWS between two commands; on the disk before anything is made."""

import contextlib
import json
import secrets
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Final

from muster._clouds.asked import AWS_NOTE
from muster._clouds.base import Wanted, reading_note
from muster._clouds.owner import me
from muster._files import notes

from .blueprint import Made
from .placement import Placement
from .remains import CLUSTER, HOME, ID, LEASE, OWNER
from .rentals import Rental, Rentals, rented
from .settings import Settings

_MOST_LETTERS: Final = 255
"""Of a tag's value."""


@dataclass(frozen=True, slots=True)
class Note:
    """What was asked for, and what came of it."""

    id: str
    """What tells the cluster from all others, of whoever."""
    region: str
    settings: Settings
    wanted: Wanted
    owner: str
    place: Placement | None = None
    ssh_from: tuple[str, ...] = ()
    made: Mapping[str, Made] = field(default_factory=dict)
    """By the name that a machine has in the cluster."""
    cores: Mapping[str, int] = field(default_factory=dict)
    """Of each type that was asked for."""
    rentals: Rentals = field(default_factory=dict)
    """What each machine costs, also of those that have ended."""
    begun: float = 0.0
    """When something was asked for last that may have been made, in seconds since 1970; 0 if nothing was yet."""
    is_unsure: bool = False
    """Whether that may have been interrupted."""
    in_file: Settings = field(default_factory=Settings)
    """What the file of ``--on`` said last: a word that it says still does not count against a flag of then."""
    is_for_image: bool = False
    """Whether its one machine is there to become an image, and never works for a run."""

    def about_to_make(self, place: Placement) -> "Note":
        """Remember that something may be made there from now on."""
        cores = {**self.cores, place.type: place.cores}
        return replace(self, place=place, cores=cores, begun=time.time(), is_unsure=True)

    def has_made(
        self, made: Mapping[str, Made], *, prices: Mapping[str, float | None], latest: Mapping[str, float]
    ) -> "Note":
        """Remember what was made, as the last that was asked for; ``prices`` are of instances that are new.

        Those that are there no more have ended, ``latest`` by then.
        """
        now = time.time()
        there = {one.instance: prices.get(one.instance) for one in made.values()}
        rentals = rented(self.rentals, there, since=self.begun, now=now, latest=latest)
        return replace(self, made=made, rentals=rentals, begun=now, is_unsure=False)

    def tags(self, folder: Path) -> dict[str, str]:
        """Write what everything of the cluster bears."""
        home = str(folder.absolute().parents[1])[:_MOST_LETTERS]
        return {OWNER: self.owner, CLUSTER: folder.name, ID: self.id, LEASE: f"{self.wanted.lease:g}", HOME: home}

    @property
    def mark(self) -> dict[str, str]:
        """Write the tag by which all of this cluster is found, and nothing else."""
        return {ID: self.id}


def begun(settings: Settings, region: str, wanted: Wanted, *, in_file: Settings | None = None) -> Note:
    """Begin to remember a cluster; ``in_file`` is what of its settings a file has said."""
    return Note(
        id=secrets.token_hex(4),
        region=region,
        settings=settings,
        wanted=wanted,
        owner=owner(),
        in_file=in_file or Settings(),
    )


def owner() -> str:
    """Name this user and computer as their tag does."""
    return as_tag(me())


def as_tag(text: str) -> str:
    """Write a text as tags may have it: AWS takes few signs besides letters and digits."""
    return "".join(letter if letter.isalnum() or letter in " +-=._:/@" else "-" for letter in text)[:_MOST_LETTERS]


def recalled(folder: Path) -> Note | None:
    """Read the note in a cluster's folder. Raises ``EngineError`` for one that cannot be read."""
    with contextlib.suppress(FileNotFoundError), reading_note(folder / AWS_NOTE):
        known: dict[str, Any] = json.loads((folder / AWS_NOTE).read_text())
        place = Placement(**known["place"]) if known["place"] else None
        made = {name: Made(**told) for name, told in known["made"].items()}
        rentals = {name: Rental(**told) for name, told in known.get("rentals", {}).items()}
        lists = {"ssh_from": tuple(known["ssh_from"])}
        return Note(
            **{
                **known,
                **lists,
                "wanted": Wanted(**known["wanted"]),
                "settings": _settings(known["settings"]),
                "in_file": _settings(known.get("in_file", {})),
                "place": place,
                "made": made,
                "rentals": rentals,
            }
        )
    return None


def _settings(known: Mapping[str, Any]) -> Settings:
    names = {one.name for one in fields(Settings)}
    told: dict[str, Any] = {name: known[name] for name in names if name in known}
    told |= {name: tuple(value) for name, value in told.items() if isinstance(value, list)}
    return Settings(**told)


def remember(folder: Path, note: Note) -> Note:
    """Keep it, on the disk once this returns."""
    notes.write(folder / AWS_NOTE, asdict(note), durable=True)
    return note


def forget(folder: Path) -> None:
    """Keep it no more."""
    (folder / AWS_NOTE).unlink(missing_ok=True)
