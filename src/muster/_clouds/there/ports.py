"""Who has a port of this host that a machine is to listen on."""

import contextlib
import os
import pwd
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from .host_folders import owner_of
from .processes import environment_of, name_of

_LISTENS: Final = "0A"
_SIGN: Final = "RAY_TLS_CA_CERT"
"""Which variable of Ray's own processes names a file in the place of the machine that they are of."""


def taken(port: int) -> str:
    """Say who listens on a port, and what to do about it; empty where nobody does."""
    if _is_free(port):
        return ""
    for user, inode in _listening(port):
        if (pid := _process_with(f"socket:[{inode}]")) is None:
            whose = "" if user == os.geteuid() else f" of {_name_of(user)}'s"
            return f"another program{whose} listens on port {port} there; end it, or put another host first in the file"
        return _is_musters(pid, port) or (
            f"another program, process {pid} ({name_of(pid)}), listens on port {port} there; end it, or put another"
            " host first in the file"
        )
    return f"another program listens on port {port} there; end it, or put another host first in the file"


def _is_free(port: int) -> bool:
    for family, address in ((socket.AF_INET, ""), (socket.AF_INET6, "::")):
        try:
            socket.create_server((address, port), family=family).close()
        except OSError:
            if family == socket.AF_INET or (socket.has_ipv6 and any(_listening(port))):
                return False
    return True


def _listening(port: int) -> Iterator[tuple[int, str]]:
    """Tell of what listens on a port whose it is, and its number."""
    for table in ("tcp", "tcp6"):
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
                words = line.split()
                if words[3] == _LISTENS and int(words[1].rpartition(":")[2], 16) == port:
                    yield int(words[7]), words[9]


def _process_with(link: str) -> int | None:
    """Find a process of this user's that holds a socket."""
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            with contextlib.suppress(OSError):  # it is gone, or somebody else's
                if any(str(held.readlink()) == link for held in (process / "fd").iterdir()):
                    return int(process.name)
    return None


def _is_musters(pid: int, port: int) -> str:
    """Say which cluster of muster's it is that listens; empty where it is none."""
    named = environment_of(pid).get(_SIGN, "")
    place = Path(named).parent
    if (owner := owner_of(place)) is not None:
        return (
            f"{owner} has its head there since {owner.since}, which listens on port {port}, and a host is the head of"
            f" one cluster. Put another host first in the file, or end that cluster: {owner.down}"
        )
    return (
        f"a head of muster's that nobody ends, process {pid}, listens on port {port}. Type there: kill {pid}"
        if named
        else ""
    )


def _name_of(user: int) -> str:
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return f"user {user}"
