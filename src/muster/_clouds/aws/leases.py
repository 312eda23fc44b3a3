"""Which of the things that muster made on AWS are still leased, as far as AWS itself can tell: by their tags and times.

A machine's lease begins with its launch; each renewal says in a tag when it was. What else a cluster has is leased for
as long as one of its machines is, and for the first minutes, in which these are being made.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from muster.errors import MusterError

from .asking import asking, client
from .remains import CLUSTER, ID, IMAGE, INSTANCE, LEASE, SNAPSHOT, Remain

RENEWED: Final = "muster:renewed"
"""Tag of an instance: when its lease was renewed last, as ISO 8601."""

GRACE_SECONDS: Final = 60.0
"""How long after its lease a machine may take to end by itself, clocks that differ included."""

_KEPT: Final = {IMAGE, SNAPSHOT}

_TELL_SECONDS: Final = 10.0
"""A call for tags takes less than a second; another lease's renewal must not wait for it."""

_TELL_SHARE: Final = 0.1
"""Of the lease: all renewals together have a quarter of it."""

BEGINNING_SECONDS: Final = 900.0
"""How long a cluster may have no machine yet: making one is given up before that."""


@dataclass(frozen=True, slots=True)
class Held:
    """A thing of muster's, and how it stands with its lease."""

    remain: Remain
    age: float | None
    """In seconds; ``None`` where AWS does not tell."""
    left: float
    """How many seconds of the lease are left; 0 where nobody holds it."""

    @property
    def is_leased(self) -> bool:
        """Tell whether somebody holds it."""
        return self.left > 0


def tell_renewed(region: str, instances: Sequence[str], *, lease: float) -> str:
    """Write into the tags of machines that their lease is renewed now; say why where that cannot be."""
    told = {RENEWED: datetime.now(UTC).isoformat(timespec="seconds"), LEASE: f"{lease:g}"}
    tags = [{"Key": name, "Value": value} for name, value in told.items()]
    try:
        with asking():
            client("ec2", region, seconds=min(_TELL_SECONDS, lease * _TELL_SHARE)).create_tags(
                Resources=list(instances), Tags=tags
            )
    except MusterError as error:
        return f"AWS does not know that leases are renewed, so a muster sweep would end these machines. {error}"
    return ""


def held(remains: Sequence[Remain], *, now: float) -> list[Held]:
    """Tell of each thing of a region how it stands; ``now`` is in seconds since 1970."""
    instances = {one.id: _left(one, now) for one in remains if one.kind == INSTANCE}
    return [
        Held(
            one,
            age=None if (born := _since(one.since)) is None else max(now - born, 0.0),
            left=instances[one.id] if one.kind == INSTANCE else _left_of_cluster(one, remains, instances, now),
        )
        for one in remains
    ]


def _left(instance: Remain, now: float) -> float:
    """Tell what is left of a machine's own lease; of one whose tag nobody can read, nothing is."""
    begun = max(_since(instance.since) or 0.0, _since(instance.tags.get(RENEWED, "")) or 0.0)
    try:
        return max(begun + float(instance.tags[LEASE]) + GRACE_SECONDS - now, 0.0)
    except (KeyError, ValueError):
        return 0.0


def _left_of_cluster(one: Remain, remains: Iterable[Remain], instances: dict[str, float], now: float) -> float:
    mates = [mate for mate in remains if _cluster(mate) == _cluster(one)]
    leases = [instances.get(mate.id, 0.0) for mate in mates]
    if one.kind not in _KEPT:
        youngest = max((_since(mate.since) or 0.0 for mate in mates if mate.kind not in _KEPT), default=0.0)
        leases.append(youngest + BEGINNING_SECONDS - now)
    return max(0.0, *leases)


def _cluster(one: Remain) -> tuple[str, str]:
    return one.tags.get(CLUSTER, ""), one.tags.get(ID, "")


def _since(told: str) -> float | None:
    try:
        return datetime.fromisoformat(told).timestamp()
    except ValueError:
        return None
