"""The file that names the hosts of a cluster: YAML, checked word by word."""

import getpass
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import UnionType
from typing import Any, Final

from muster.errors import UsageError

_COMMON: Final = {"user": str, "port": int, "key": str, "workers": int, "python": str, "price": int | float}
_FILE: Final = {"hosts": list, "known_hosts": str, "packages": list, **_COMMON}
_HOST: Final = {"name": str, "address": str, "host_key": str, **_COMMON}
_NAMES: Final[Mapping[type | UnionType, str]] = {
    str: "text",
    int: "a whole number",
    list: "a list",
    int | float: "a number",
}
_HIGHEST_PORT: Final = 65535


@dataclass(frozen=True, slots=True)
class Host:
    """A host, as the file describes it: ``python`` is the interpreter to use there."""

    name: str
    address: str
    user: str
    port: int = 22
    key: str = ""
    workers: int | None = None
    python: str = f"python{sys.version_info.major}.{sys.version_info.minor}"
    host_key: str = ""
    price: float = 0.0
    """What it costs, in dollars an hour."""


@dataclass(frozen=True, slots=True)
class HostsFile:
    """The hosts of a cluster, the file of the keys that they are known by, and packages that they need besides."""

    hosts: tuple[Host, ...]
    known_hosts: Path
    packages: tuple[str, ...] = ()


def read(path: Path) -> HostsFile:
    """Read a file of hosts. Raises ``UsageError`` that names the word that is wrong."""
    import yaml  # noqa: PLC0415 (only a cluster of hosts needs it)

    try:
        found = yaml.safe_load(path.read_text())
    except OSError as error:
        raise UsageError(
            f"Cannot read {str(path)!r}: {error.strerror}. --on takes local, or a YAML file of hosts."
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UsageError(f"{str(path)!r} is not YAML: {error}. Mend it, and type the command again.") from error
    _check(found, _FILE, str(path))
    common = {name: found[name] for name in _COMMON if name in found}
    hosts = tuple(_host(path, at, common, told) for at, told in enumerate(found.get("hosts") or (), 1))
    if not hosts:
        raise UsageError(f"{str(path)!r} names no host. Write hosts: and, below it, - address: 10.0.0.1 for each.")
    for what in ("name", "address"):
        values = [getattr(host, what) for host in hosts]
        if twice := sorted({value for value in values if values.count(value) > 1}):
            raise UsageError(f"{str(path)!r}: two hosts have the {what} {twice[0]!r}. Give each its own.")
    known_hosts = Path(found.get("known_hosts", "~/.ssh/known_hosts")).expanduser()
    packages = tuple(map(str, found.get("packages", ())))
    return HostsFile(hosts, path.parent / known_hosts, packages)


def _host(path: Path, at: int, common: Mapping[str, Any], told: object) -> Host:
    where = f"{path}, host {at}"
    _check(told, _HOST, where)
    if not isinstance(told, Mapping) or not told.get("address"):
        raise UsageError(f"{where}: it has no address. Write address: and a name or number that SSH knows.")
    words = {"name": told["address"], "user": getpass.getuser(), **common, **told}
    for name, most in (("port", _HIGHEST_PORT), ("workers", 1 << 16)):
        if name in words and not 1 <= words[name] <= most:
            raise UsageError(f"{where}: {name} is {words[name]}. It must be from 1 to {most}.")
    if words.get("price", 0) < 0:
        raise UsageError(f"{where}: price is {words['price']}. It is in dollars an hour, 0 or more.")
    if words.get("key"):
        words["key"] = str(path.parent / Path(words["key"]).expanduser())
        if not Path(words["key"]).is_file():
            raise UsageError(f"{where}: there is no key {words['key']!r}. Name the file of the private key.")
    return Host(**words)


def _check(found: object, known: Mapping[str, type | UnionType], where: str) -> None:
    if not isinstance(found, Mapping):
        raise UsageError(f"{where}: it must hold words and values, such as address: 10.0.0.1. It holds {found!r}.")
    for name, value in found.items():
        if name not in known:
            raise UsageError(f"{where}: {name!r} means nothing there. Known are: {', '.join(known)}.")
        if not isinstance(value, known[name]) or isinstance(value, bool):
            raise UsageError(f"{where}: {name} must be {_NAMES[known[name]]}, and is {value!r}.")
