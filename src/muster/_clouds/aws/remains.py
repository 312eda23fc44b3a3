"""What muster has made in a region and is there: found by its tags alone, without any record, and removed.

AWS lists what was just made, or just ended, some seconds late. So ``look`` is not the last word; ``left`` looks twice.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from threading import Event
from time import monotonic
from typing import Any, Final

from botocore.exceptions import ClientError

from .asking import Client, asking
from .refusals import refusal_of

CLUSTER: Final = "muster:cluster"
OWNER: Final = "muster:owner"
"""Tags that everything bears from its creation on: the cluster's name, and USER@COMPUTER."""

LATE_SECONDS: Final = 30.0
"""How long AWS may take to list what is there."""

_ENDED: Final = {"terminated"}
_END_SECONDS: Final = 300.0
_PAUSE_SECONDS: Final = 1.0


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


_INSTANCE: Final = "instance"
# Instances first, which use all others; then in the order in which they can go.
_KINDS: Final = (
    _Kind(
        _INSTANCE,
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
_OF_NAME: Final = {kind.name: kind for kind in _KINDS}
_OVER: Final = {"closed", "cancelled", "failed"}
"""States of spot requests of which nothing comes any more."""


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

    @property
    def cluster(self) -> str:
        """Tell whose it is."""
        return self.tags.get(CLUSTER, "")


def look(ec2: Client, wanted: Mapping[str, str]) -> tuple[Remain, ...]:
    """List what bears these tags; an empty value stands for any. Raises ``EngineError``."""
    filters = [
        {"Name": f"tag:{name}", "Values": [value]} if value else {"Name": "tag-key", "Values": [name]}
        for name, value in wanted.items()
    ]
    with asking():
        return tuple(remain for kind in _KINDS for remain in _listed(ec2, kind, filters))


def remove(ec2: Client, remains: Iterable[Remain]) -> Mapping[str, str]:
    """Remove resources, instances first, and wait until each is gone; tell by id why one is not."""
    of_kind: dict[str, list[Remain]] = {}
    for remain in remains:
        of_kind.setdefault(remain.kind, []).append(remain)
    failed: dict[str, str] = {}
    deadline = monotonic() + _END_SECONDS
    for kind in _KINDS:
        for remain in of_kind.get(kind.name, ()):
            if why := _removed(ec2, kind, remain, deadline):
                failed[remain.id] = why
        if kind.name == _INSTANCE and of_kind.get(_INSTANCE):
            failed |= _await_end(ec2, [one.id for one in of_kind[_INSTANCE] if one.id not in failed], deadline)
    return failed


def left(ec2: Client, wanted: Mapping[str, str], *, pause: float = LATE_SECONDS) -> tuple[Remain, ...]:
    """Look twice, so long apart that AWS has listed all; tell what is there after all. Raises ``EngineError``."""
    if found := look(ec2, wanted):
        return found
    Event().wait(pause)
    return look(ec2, wanted)


def _listed(ec2: Client, kind: _Kind, filters: Sequence[Mapping[str, Any]]) -> Iterator[Remain]:
    for told in _pages(ec2, kind, filters):
        state = told.get("State", "")
        if (state["Name"] if isinstance(state, Mapping) else state) not in _ENDED | _OVER:
            tags = {tag["Key"]: tag["Value"] for tag in told.get("Tags", ())}
            since = told[kind.since].isoformat() if kind.since and kind.since in told else ""
            address = told.get("PublicIpAddress", "")
            yield Remain(kind.name, told[kind.id], tags, since, told.get("InstanceType", ""), address)


def _pages(ec2: Client, kind: _Kind, filters: Sequence[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    if not ec2.can_paginate(kind.listed):
        yield from getattr(ec2, kind.listed)(Filters=filters)[kind.within]
        return
    for page in ec2.get_paginator(kind.listed).paginate(Filters=filters):
        for told in page[kind.within]:
            yield from told["Instances"] if kind.name == _INSTANCE else [told]


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
            if refusal.code not in {"DependencyViolation", "VolumeInUse"} or monotonic() > deadline:
                return f"{refusal.code}: {refusal.said} {refusal.advice}"
        else:
            return ""
        Event().wait(_PAUSE_SECONDS)


def _await_end(ec2: Client, names: Sequence[str], deadline: float) -> dict[str, str]:
    """Wait until instances have ended; name those that have not in time."""
    while names:
        with asking():
            answers = [
                told
                for page in ec2.get_paginator("describe_instances").paginate(InstanceIds=list(names))
                for held in page["Reservations"]
                for told in held["Instances"]
            ]
        names = [told["InstanceId"] for told in answers if told["State"]["Name"] not in _ENDED]
        if monotonic() > deadline:
            return dict.fromkeys(names, f"it was told to end, and had not {_END_SECONDS:g} s later.")
        if names:
            Event().wait(_PAUSE_SECONDS)
    return {}
