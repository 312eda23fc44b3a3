"""What the user may say of machines of AWS, in the ``aws:`` section of a file or by flags; checked word by word."""

import ipaddress
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from types import UnionType
from typing import Any, Final

from muster._clouds.asked import RentalFlags
from muster._clouds.hosts_file import check_words, parsed
from muster._clouds.over_ssh.inventory import DEFAULT_PYTHON
from muster.errors import UsageError

from .buckets import bucket_in

SECTION: Final = "aws"
_WORDS: Final[Mapping[str, type | UnionType]] = {
    **dict.fromkeys(("region", "zone", "vpc", "subnet", "profile", "image", "ssh_proxy_command", "python"), str),
    "state": str,
    **dict.fromkeys(("types", "ssh_from", "packages"), list),
    **dict.fromkeys(("disk", "workers"), int),
    "spot": bool,
}
_DISK: Final = range(8, 16385)
_MOST_WORKERS: Final = 1 << 16
"""More than any machine has cores: such a number is a slip of the hand."""

_LEAST_PREFIX: Final = {4: 8, 6: 16}
"""By version of IP: the largest block of addresses that may be let in."""

_EXAMPLE: Final = "203.0.113.7/32"


@dataclass(frozen=True, slots=True)
class Settings:
    """How machines shall be; what is empty is found out."""

    region: str = ""
    types: tuple[str, ...] = ("m7i.large", "m6i.large", "m5.large")
    """In order of preference."""
    is_spot: bool = False
    zone: str = ""
    vpc: str = ""
    subnet: str = ""
    profile: str = ""
    image: str = ""
    disk: int = 30
    """In GiB."""
    ssh_from: tuple[str, ...] = ()
    """Blocks of addresses from which SSH is let in; the caller's alone where none is said."""
    ssh_proxy_command: str = ""
    workers: int | None = None
    python: str = DEFAULT_PYTHON
    packages: tuple[str, ...] = field(default=())
    state: str = ""
    """Where Pulumi's state lies, as ``s3://``; the cluster's folder where none is said."""

    def but(self, asked: RentalFlags) -> "Settings":
        """Take over what flags say."""
        flags: dict[str, Any] = {
            "region": asked.region,
            "types": asked.types,
            "is_spot": asked.is_spot,
            "workers": asked.workers,
        }
        return replace(self, **{name: value for name, value in flags.items() if value not in {None, "", ()}})

    def changed(self, before: "Settings", now: "Settings") -> "Settings":
        """Take over what a file says ``now`` and did not say ``before``: the rest stays as it is."""
        said = {one.name: getattr(now, one.name) for one in fields(self)}
        return replace(self, **{name: value for name, value in said.items() if value != getattr(before, name)})


def settings_in(file: Path) -> Settings:
    """Read the section of a file. Raises ``UsageError`` that names the word that is wrong."""
    told = parsed(file)
    where = f"{file}, {SECTION}"
    if not isinstance(told, Mapping) or SECTION not in told:
        raise UsageError(
            f"{str(file)!r} has no {SECTION}: any more, and machines of its cluster were made on AWS. Put that back; or"
            " end the cluster with muster down NAME, then type the command again."
        )
    if odd := sorted(map(str, set(told) - {SECTION})):
        raise UsageError(
            f"{str(file)!r} holds {SECTION}: and also {odd[0]}:. A cluster is of machines of one kind: put them into"
            " two files."
        )
    section = {} if told[SECTION] is None else told[SECTION]
    check_words(section, _WORDS, where, example="region: eu-central-1")
    words: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in section.items()
    }
    if words.get("ssh_from") == ():
        raise UsageError(
            f"{where}: ssh_from is empty. Write such as ssh_from: [{_EXAMPLE}], or leave it out: it is this computer's"
            " address alone then."
        )
    words["is_spot"] = words.pop("spot", False)
    return _checked(Settings(**words), where)


def _checked(settings: Settings, where: str) -> Settings:
    numbers: Mapping[str, tuple[Any, range]] = {
        "disk": (settings.disk, _DISK),
        "workers": (1 if settings.workers is None else settings.workers, range(1, _MOST_WORKERS + 1)),
    }
    for name, (value, allowed) in numbers.items():
        if value not in allowed:
            raise UsageError(f"{where}: {name} is {value}. It must be from {allowed[0]} to {allowed[-1]}.")
    for name in ("types", "ssh_from", "packages"):
        if odd := [one for one in getattr(settings, name) if not isinstance(one, str) or not one]:
            raise UsageError(f"{where}: {name} must be a list of texts, and holds {odd[0]!r}.")
    if not settings.types:
        raise UsageError(f"{where}: types is empty. Write such as types: [m7i.large, m6i.large], or leave it out.")
    if settings.vpc and settings.subnet:
        raise UsageError(f"{where}: a subnet lies in one VPC. Write subnet: alone.")
    _check_names(settings, where)
    if settings.state:
        try:
            bucket_in(settings.state)
        except ValueError as error:
            raise UsageError(f"{where}: state: {error}.") from error
    return replace(settings, ssh_from=_blocks(settings.ssh_from, where))


def _check_names(settings: Settings, where: str) -> None:
    if settings.python != DEFAULT_PYTHON and not settings.python.startswith("/"):
        raise UsageError(
            f"{where}: python is {settings.python!r}, and machines need the version that muster runs on here, which is"
            f" {DEFAULT_PYTHON}. Leave it out: what is missing is brought along; or write the path of an image's own,"
            f" such as /opt/python/bin/{DEFAULT_PYTHON}."
        )
    if not re.fullmatch(r"[\w+=,.@-]*", settings.profile, re.ASCII):
        raise UsageError(
            f"{where}: profile is {settings.profile!r}. Write the name of an instance profile, without what stands"
            " before it in its ARN."
        )


def _blocks(texts: Sequence[str], where: str) -> tuple[str, ...]:
    """Read blocks of addresses; those that make up too much of the world together are refused like one that does."""
    try:
        blocks = [ipaddress.ip_network(text) for text in texts]
    except ValueError as error:
        raise UsageError(f"{where}: ssh_from: {error}. Write blocks such as {_EXAMPLE}.") from error
    for version, least in _LEAST_PREFIX.items():
        for one in ipaddress.collapse_addresses([block for block in blocks if block.version == version]):  # type: ignore[type-var]  # all are of one version
            if one.prefixlen < least:
                raise UsageError(
                    f"{where}: ssh_from lets in {one}: that is the whole world, or much of it; /{least} is the largest"
                    f" block. Write your own address, such as {_EXAMPLE}."
                )
    return tuple(map(str, blocks))
