"""What muster has made in a region and is there: found by its tags alone, without any record, and removed.

AWS lists what was just made, or just ended, some seconds late. So ``look`` is not the last word; ``left`` looks twice.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from threading import Event
from time import monotonic
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError

from muster.errors import EngineError

from .asking import Client, asking
from .refusals import refusal_of

OWNER: Final = "muster:owner"
CLUSTER: Final = "muster:cluster"
ID: Final = "muster:id"
LEASE: Final = "muster:lease"
HOME: Final = "muster:home"
"""Tags that everything bears from its creation on: USER@COMPUTER, the cluster's name and what tells it from others of
that name, its lease in seconds, and the MUSTER_HOME that knows it."""

LATE_SECONDS: Final = 30.0
"""How long AWS may take to list what is there."""

_NOTHING: Final[Mapping[str, str]] = {}
_ENDED: Final = {"terminated"}
_END_SECONDS: Final = 300.0
"""An instance ends within a minute or two; then its disks and network interfaces go."""

_PAUSE_SECONDS: Final = 1.0
"""Ending takes a minute: more questions would only count against the account's rate."""


@dataclass(frozen=True, slots=True)
class _Kind:
    """How AWS lists one kind of resource, and removes one of them."""

    name: str
    listed: str
    within: str
    """The name of the list in the answer."""
    id: str
    remove: str
    remove_by: str
    since: str = ""


INSTANCE: Final = "instance"
IMAGE: Final = "image"
SNAPSHOT: Final = "snapshot"
# Instances first, which use all others; then in the order in which they can go.
_KINDS: Final = (
    _Kind(
        INSTANCE,
        "describe_instances",
        "Reservations",
        "InstanceId",
        "terminate_instances",
        "InstanceIds",
        "LaunchTime",
    ),
    _Kind(
        "spot request",
        "describe_spot_instance_requests",
        "SpotInstanceRequests",
        "SpotInstanceRequestId",
        "cancel_spot_instance_requests",
        "SpotInstanceRequestIds",
        "CreateTime",
    ),
    _Kind("volume", "describe_volumes", "Volumes", "VolumeId", "delete_volume", "VolumeId", "CreateTime"),
    _Kind(
        "launch template",
        "describe_launch_templates",
        "LaunchTemplates",
        "LaunchTemplateId",
        "delete_launch_template",
        "LaunchTemplateId",
        "CreateTime",
    ),
    _Kind(
        "security group", "describe_security_groups", "SecurityGroups", "GroupId", "delete_security_group", "GroupId"
    ),
    _Kind("key pair", "describe_key_pairs", "KeyPairs", "KeyName", "delete_key_pair", "KeyName", "CreateTime"),
)
# What is kept between clusters: an image first, which uses its snapshots.
_OF_IMAGES: Final = (
    _Kind(IMAGE, "describe_images", "Images", "ImageId", "deregister_image", "ImageId", "CreationDate"),
    _Kind(SNAPSHOT, "describe_snapshots", "Snapshots", "SnapshotId", "delete_snapshot", "SnapshotId", "StartTime"),
)
_OVER: Final = {"closed", "cancelled"}
"""States of spot requests of which nothing comes any more, as of those that have failed."""

_IN_USE: Final = {"DependencyViolation", "InvalidSnapshot.InUse", "VolumeInUse"}


@dataclass(frozen=True, slots=True)
class Remain:
    """One resource that is there."""

    kind: str
    id: str
    tags: Mapping[str, str]
    since: str = ""
    """When it was made, as ISO 8601; empty where AWS does not tell."""
    type: str = ""
    """Of an instance, such as ``m7i.large``."""
    address: str = ""
    """Of an instance, as the world sees it."""
    zone: str = ""
    """Of an instance."""
    is_spot: bool = False

    @property
    def is_machine(self) -> bool:
        """Tell whether it is one that works, and costs."""
        return self.kind == INSTANCE

    @property
    def cluster(self) -> str:
        """Tell whose it is."""
        return self.tags.get(CLUSTER, "")


def look(
    ec2: Client, owner: str, *, besides: Mapping[str, str] = _NOTHING, with_images: bool = False
) -> tuple[Remain, ...]:
    """List what bears the tag of this owner, and those ``besides``; images only if asked for. Raises ``EngineError``.

    There is no way to ask for everybody's: what is listed may be removed next.
    """
    if not owner:
        raise ValueError("everything in the region would be meant")
    filters = [{"Name": f"tag:{name}", "Values": [literal(value)]} for name, value in {**besides, OWNER: owner}.items()]
    with asking():
        kinds = (*_KINDS, *(_OF_IMAGES if with_images else ()))
        return tuple(remain for kind in kinds for remain in _listed(ec2, kind, filters))


def remove(ec2: Client, remains: Iterable[Remain]) -> Mapping[str, str]:
    """Remove resources, instances first, and wait until each is gone; tell by id why one is not.

    Whatever is refused, or cannot be asked for, of one of them keeps none of the others.
    """
    of_kind: dict[str, list[Remain]] = {}
    for remain in remains:
        of_kind.setdefault(remain.kind, []).append(remain)
    failed: dict[str, str] = {}
    deadline = monotonic() + _END_SECONDS
    for kind in (*_KINDS, *_OF_IMAGES):
        told = of_kind.get(kind.name, [])
        failed |= {one.id: why for one in told if (why := _removed(ec2, kind, one, deadline))}
        if kind.name == INSTANCE:
            failed |= _await_end(ec2, [one.id for one in told if one.id not in failed], deadline)
    return failed


def left(
    ec2: Client, owner: str, *, besides: Mapping[str, str] = _NOTHING, pause: float = LATE_SECONDS
) -> tuple[Remain, ...]:
    """Look twice, so long apart that AWS has listed all; tell what is there after all. Raises ``EngineError``."""
    if found := look(ec2, owner, besides=besides):
        return found
    Event().wait(pause)
    return look(ec2, owner, besides=besides)


def literal(value: str) -> str:
    """Write a value in which a filter of AWS' sees no wildcard."""
    return re.sub(r"([\\*?])", r"\\\1", value)


def _listed(ec2: Client, kind: _Kind, filters: Sequence[Mapping[str, Any]]) -> Iterator[Remain]:
    for told in _pages(ec2, kind, filters):
        if not _is_over(kind, told.get("State", "")):
            tags = {tag["Key"]: tag["Value"] for tag in told.get("Tags", ())}
            yield Remain(
                kind.name,
                told[kind.id],
                tags,
                since=_moment(told.get(kind.since, "")),
                type=told.get("InstanceType", ""),
                address=told.get("PublicIpAddress", ""),
                zone=told.get("Placement", {}).get("AvailabilityZone", ""),
                is_spot=told.get("InstanceLifecycle", "") == "spot",
            )


def _is_over(kind: _Kind, state: str | Mapping[str, Any]) -> bool:
    name = state["Name"] if isinstance(state, Mapping) else state
    return name in _ENDED | _OVER or (name == "failed" and kind.name not in {IMAGE, SNAPSHOT})


def _moment(told: datetime | str) -> str:
    return told if isinstance(told, str) else told.isoformat()


def _pages(ec2: Client, kind: _Kind, filters: Sequence[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    if not ec2.can_paginate(kind.listed):
        yield from getattr(ec2, kind.listed)(Filters=filters)[kind.within]
        return
    for page in ec2.get_paginator(kind.listed).paginate(Filters=filters):
        for told in page[kind.within]:
            yield from told["Instances"] if kind.name == INSTANCE else [told]


def _removed(ec2: Client, kind: _Kind, remain: Remain, deadline: float) -> str:
    """Remove one; say why not. What is still in use, as by an instance that is just ending, is tried again."""
    name = [remain.id] if kind.remove_by.endswith("Ids") else remain.id
    while True:
        try:
            getattr(ec2, kind.remove)(**{kind.remove_by: name})
        except ClientError as error:
            refusal = refusal_of(error)
            if "NotFound" in refusal.code:
                return ""
            if refusal.code not in _IN_USE or monotonic() > deadline:
                return f"{refusal.code}: {refusal.said} {refusal.advice}"
        except BotoCoreError as error:
            return f"AWS could not be asked: {error}."
        else:
            return ""
        Event().wait(_PAUSE_SECONDS)


def _await_end(ec2: Client, names: Sequence[str], deadline: float) -> dict[str, str]:
    """Wait until instances have ended; say of those that were not seen to why."""
    while names:
        try:
            with asking():
                living = _living(ec2, names)
                names = [one for one in names if one in living]
        except EngineError as error:
            return dict.fromkeys(names, f"it was told to end, and nobody can see whether it has. {error}")
        if names and monotonic() > deadline:
            return dict.fromkeys(names, f"it was told to end, and had not {_END_SECONDS:g} s later.")
        if names:
            Event().wait(_PAUSE_SECONDS)
    return {}


def _living(ec2: Client, names: Sequence[str]) -> set[str]:
    """List which of these instances live. Asked for by their ids, one that is lost would be an error for all."""
    filters = [{"Name": "instance-id", "Values": list(names)}]
    pages = ec2.get_paginator("describe_instances").paginate(Filters=filters)
    told = [one for page in pages for held in page["Reservations"] for one in held["Instances"]]
    return {one["InstanceId"] for one in told if one["State"]["Name"] not in _ENDED}
