"""The file that names the hosts of a cluster: YAML, checked word by word."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from types import UnionType
from typing import Any, Final

from muster._urls.addresses import parted, shortest
from muster._words import bare
from muster._words.near import with_guess
from muster.errors import UsageError

from .over_ssh.inventory import Host, Inventory

_COMMON: Final = {"user": str, "port": int, "key": str, "workers": int, "python": str, "price": int | float}
_FILE: Final = {"hosts": list, "known_hosts": str, "ssh_config": str, "packages": list, **_COMMON}
_HOST: Final = {"name": str, "address": str, "inside": str, "host_key": str, **_COMMON}
_NAMES: Final[Mapping[type | UnionType, str]] = {
    str: "text",
    int: "a whole number",
    bool: "true or false",
    list: "a list",
    int | float: "a number",
}
_MEANS_MORE: Final = ("{{", "{%", "{#", "\n", "\0")
"""What begins an expression of Ansible's, which could run anything on this computer; and what ends a line."""
_HIGHEST_PORT: Final = 65535
_NO_CONFIG: Final = "none"
"""What ssh takes for: no settings at all."""


def read(path: Path) -> Inventory:
    """Read a file of hosts. Raises ``UsageError`` that names the word that is wrong."""
    found = parsed(path)
    if found is None:
        found = {}
    if isinstance(found, Mapping) and "aws" in found:
        raise UsageError(
            f"{str(path)!r} holds aws:, and its cluster is of hosts. Name these again, below hosts:; or end the cluster"
            " with muster down NAME, then type the command again."
        )
    check_words(found, _FILE, str(path), besides=("aws",))
    common = {name: found[name] for name in _COMMON if name in found}
    for name in ("known_hosts", "ssh_config"):
        if name in found and (name, found[name]) != ("ssh_config", _NO_CONFIG):
            common[name] = _file(path, name, found[name])
        elif name in found:
            common[name] = found[name]
    hosts = tuple(_host(path, at, common, told) for at, told in enumerate(found.get("hosts") or (), 1))
    if not hosts:
        raise UsageError(
            f"{str(path)!r} names no host. Write hosts: and, below it, - address: 10.0.0.1 for each; or aws:, for"
            " machines that are made there."
        )
    for what, values in (
        ("name", [shortest(host.name) for host in hosts]),
        ("address", [shortest(host.outside) for host in hosts]),
    ):
        if twice := sorted({value for value in values if values.count(value) > 1}):
            raise UsageError(f"{str(path)!r}: two hosts have the {what} {twice[0]!r}. Give each its own.")
    return Inventory(hosts, tuple(map(str, found.get("packages", ()))))


def parsed(path: Path) -> Any:  # noqa: ANN401 (whatever is there)
    """Read YAML. Raises ``UsageError``."""
    import yaml

    try:
        return yaml.safe_load(path.read_text())
    except OSError as error:
        raise UsageError(
            f"Cannot read {str(path)!r}: {error.strerror}. --on takes local, aws, or a YAML file of hosts or of aws."
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UsageError(f"{str(path)!r} is not YAML: {bare(error)}. Mend it, and type the command again.") from error


def _file(path: Path, name: str, named: str) -> str:
    found = path.parent / Path(named).expanduser()
    if not found.is_file():
        raise UsageError(f"{path}: {name} names {str(found)!r}, and there is no such file. Mend it.")
    return str(found.absolute())


def _host(path: Path, at: int, common: Mapping[str, Any], told: object) -> Host:
    where = f"{path}, host {at}"
    check_words(told, _HOST, where)
    if not isinstance(told, Mapping) or not told.get("address"):
        raise UsageError(f"{where}: it has no address. Write address: and a name or number that SSH knows.")
    place = _place(where, told)
    words = {"name": place["outside"], **common, **told, **place}
    for name, most in (("port", _HIGHEST_PORT), ("workers", 1 << 16)):
        if name in words and not 1 <= words[name] <= most:
            raise UsageError(f"{where}: {name} is {words[name]}. It must be from 1 to {most}.")
    if words.get("price", 0) < 0:
        raise UsageError(f"{where}: price is {words['price']}. It is in dollars an hour, 0 or more.")
    if words.get("key"):
        words["key"] = str(path.parent / Path(words["key"]).expanduser())
        if not Path(words["key"]).is_file():
            raise UsageError(f"{where}: there is no key {words['key']!r}. Name the file of the private key.")
    return Host(**{word: value for word, value in words.items() if word != "address"})


def _place(where: str, told: Mapping[str, Any]) -> dict[str, Any]:
    """Take apart where a host is: its address may hold a port. Raises ``UsageError``."""
    found: dict[str, Any] = {}
    for name, side in (("address", "outside"), ("inside", "inside")):
        try:
            host, port = parted(told.get(name, "")) if told.get(name) else ("", None)
        except ValueError as error:
            raise UsageError(f"{where}: {name} is {told[name]!r}: {bare(error)}.") from error
        found[side] = host
        if port is not None and (name == "inside" or told.get("port", port) != port):
            raise UsageError(f"{where}: {name} is {told[name]!r}. Write the port once, as port: {port}.")
        if port is not None:
            found["port"] = port
    return found


def check_words(
    found: object,
    known: Mapping[str, type | UnionType],
    where: str,
    *,
    example: str = "address: 10.0.0.1",
    besides: Iterable[str] = (),
) -> None:
    """Raise ``UsageError`` for a word that is not known, or a value of another kind, or that means more.

    ``besides`` are words that may be meant by a wrong one, though they do not stand beside these.
    """
    if not isinstance(found, Mapping):
        raise UsageError(f"{where}: it must hold words and values, such as {example}. It holds {found!r}.")
    for name, value in found.items():
        if name not in known:
            shown = with_guess(name, [*known, *besides], shown=repr(name))
            raise UsageError(f"{where}: {shown} means nothing there. Known are: {', '.join(known)}.")
        if not isinstance(value, known[name]) or (isinstance(value, bool) and known[name] is not bool):
            cure = _in_the_right_kind(name, value, known[name])
            raise UsageError(f"{where}: {name} must be {_NAMES[known[name]]}, and is {value!r}.{cure}")
        for text in value if isinstance(value, list) else [value]:
            if isinstance(text, str) and (odd := next((one for one in _MEANS_MORE if one in text), None)):
                raise UsageError(f"{where}: {name} holds {odd!r}, which would mean something to Ansible. Leave it out.")
        if name in {"user", "address", "inside", "python"} and str(value).startswith("-"):
            raise UsageError(f"{where}: {name} is {value!r}, which ssh would take for an option. Mend it.")


def _in_the_right_kind(name: str, value: object, kind: type | UnionType) -> str:
    """Say how to write a value of another kind, where that is clear."""
    if kind is list and isinstance(value, str):
        return f" Write {name}: [{value}]."
    return " Put it in quotes." if kind is str and isinstance(value, list | int | float) else ""
