"""What shall exist of one cluster in a region of AWS."""

from collections.abc import Mapping
from dataclasses import dataclass

from .placement import Placement


@dataclass(frozen=True, slots=True, kw_only=True)
class Blueprint:
    """All that is needed to make a cluster; whatever had to be looked up has been."""

    name: str
    """What its resources are called: no other cluster in the region, of whoever, has that name."""
    tags: Mapping[str, str]
    """What everything bears from its creation on, so that it is found without any record."""
    region: str
    place: Placement
    disk: int = 30
    """Of each machine, in GiB."""
    ssh_from: tuple[str, ...] = ()
    """Who may reach its machines by SSH: blocks such as ``203.0.113.7/32``, or of IPv6."""
    public_key: str
    """Of who may log in, as ``ssh-ed25519 AAAA...``."""
    user_data: str
    profile: str = ""
    """The name of an instance profile, which lets its machines ask AWS for something themselves."""
    machines: tuple[str, ...] = ()
    """Their names in the cluster: one that is there already stays as it is."""


@dataclass(frozen=True, slots=True)
class Made:
    """A machine that was made, and its addresses: for this computer, and for the cluster's other machines."""

    instance: str
    outside: str
    inside: str
    type: str = ""
    """Such as ``m7i.large``."""
    is_spot: bool = False


@dataclass(frozen=True, slots=True)
class ResourceChanges:
    """How many resources a step makes, changes, replaces and removes."""

    made: int = 0
    changed: int = 0
    replaced: int = 0
    removed: int = 0

    def __bool__(self) -> bool:
        """Tell whether there are any."""
        return self != ResourceChanges()
