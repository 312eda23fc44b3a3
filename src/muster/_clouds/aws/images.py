"""Machine images that muster has made: each holds all that machines need for one state of what is installed here.

An image is found by its digest, a tag: of this muster, its packages, Python, architecture and what it was made from.
Where any of that is another one, it is not used.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from muster._clouds.over_ssh import requirements
from muster._clouds.there import environment
from muster._version import __version__

from . import remains
from .asking import Client, asking
from .note import owner
from .settings import Settings

DIGEST: Final = "muster:image"
"""Tag of an image: the digest of what is installed."""

VERSION: Final = "muster:version"
PYTHON: Final = "muster:python"
PACKAGES: Final = "muster:packages"
"""Tags that say it to people: muster's version, Python's name, how many packages besides."""

AVAILABLE: Final = "available"
PENDING: Final = "pending"
_UBUNTU: Final = "ubuntu 24.04"
"""Stands for the newest of its images: one that has come out since makes no other image necessary."""


@dataclass(frozen=True, slots=True)
class Image:
    """An image that muster has made."""

    id: str
    digest: str
    state: str
    """As AWS calls it: ``pending`` until it is ``available``."""
    since: str
    """When it was made, as ISO 8601."""
    architecture: str
    disk: int
    """The least disk of a machine, in GiB."""
    tags: Mapping[str, str]
    snapshots: tuple[str, ...]
    why: str = ""
    """Why it has failed."""

    @property
    def remains(self) -> tuple[remains.Remain, ...]:
        """List what there is of it."""
        snapshots = (remains.Remain(remains.SNAPSHOT, name, self.tags) for name in self.snapshots)
        return (remains.Remain(remains.IMAGE, self.id, self.tags, self.since), *snapshots)


def digest_of(settings: Settings, architecture: str) -> str:
    """Name what machines need that are as these settings say. Raises ``UsageError`` for a package that is not here."""
    packages = requirements.packages(settings.packages)
    base = settings.image or _UBUNTU
    content = json.dumps([base, architecture, settings.python, packages, environment.digest_of_muster()])
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def tags_of(settings: Settings, digest: str) -> dict[str, str]:
    """Write what an image bears besides the tags of whatever muster makes."""
    number = len(requirements.packages(settings.packages))
    return {DIGEST: digest, VERSION: __version__, PYTHON: settings.python, PACKAGES: str(number)}


def listed(ec2: Client, **filters: str) -> list[Image]:
    """List this user's images, the newest first; ``filters`` are AWS' own, with underscores. Raises ``EngineError``."""
    asked = {"tag-key": DIGEST, f"tag:{remains.OWNER}": remains.literal(owner())}
    asked |= {name.replace("_", "-"): value for name, value in filters.items()}
    with asking():
        pages = ec2.get_paginator("describe_images").paginate(
            Owners=["self"], Filters=[{"Name": name, "Values": [value]} for name, value in asked.items()]
        )
        found = [_image(told) for page in pages for told in page["Images"]]
    return sorted(found, key=lambda one: one.since, reverse=True)


def fitting(images: Iterable[Image], settings: Settings, architecture: str, *, state: str = AVAILABLE) -> Image | None:
    """Choose the newest that has what machines need, of those in that state: whole ones, unless said."""
    alike = [one for one in images if (one.state, one.architecture) == (state, architecture)]
    digest = digest_of(settings, architecture) if alike else ""
    return next((one for one in alike if one.digest == digest), None)


def _image(told: Mapping[str, Any]) -> Image:
    tags = {tag["Key"]: tag["Value"] for tag in told.get("Tags", ())}
    disks = [one["Ebs"] for one in told.get("BlockDeviceMappings", ()) if "Ebs" in one]
    return Image(
        id=told["ImageId"],
        digest=tags.get(DIGEST, ""),
        state=told["State"],
        since=told.get("CreationDate", ""),
        architecture=told.get("Architecture", ""),
        disk=disk_of(told),
        tags=tags,
        snapshots=tuple(one["SnapshotId"] for one in disks if one.get("SnapshotId")),
        why=told.get("StateReason", {}).get("Message", ""),
    )


def disk_of(told: Mapping[str, Any]) -> int:
    """Read from AWS' description of an image how large a disk must be, in GiB."""
    mappings = told.get("BlockDeviceMappings", ())
    root = [one["Ebs"] for one in mappings if "Ebs" in one and one.get("DeviceName") == told.get("RootDeviceName")]
    return max((int(one.get("VolumeSize", 0)) for one in root), default=0)
