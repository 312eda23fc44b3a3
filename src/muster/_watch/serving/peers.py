"""Who is at the other end of a connection on this computer: Linux tells for each socket whose it is."""

import ipaddress
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_TABLES: Final = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
_LOCAL, _REMOTE, _OWNER = 1, 2, 7
_WORD: Final = 4
_ROOT: Final = 0

Address = tuple[str, int]


def is_stranger(client: Address, server: Address) -> bool:
    """Tell whether the client's socket is not known to be this user's; where nobody can know, nobody is a stranger."""
    if not sys.platform.startswith("linux"):
        return False
    owners = {(local, remote): owner for local, remote, owner in _sockets()}
    mine, theirs = _written(server), _written(client)
    return owners.get((theirs, mine)) not in {os.getuid(), _ROOT}


def _written(address: Address) -> Address:
    found = ipaddress.ip_address(address[0])
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return str(mapped or found), address[1]


def _sockets() -> Iterator[tuple[Address, Address, int]]:
    """Yield the two ends of every connection of this computer, and the user whose the first is."""
    for table in _TABLES:
        try:
            lines = table.read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            yield _address(fields[_LOCAL]), _address(fields[_REMOTE]), int(fields[_OWNER])


def _address(told: str) -> Address:
    """Read an address as the tables write it: words in the order of this computer's bytes, then the port."""
    words, _, port = told.partition(":")
    packed = bytes.fromhex(words)
    if sys.byteorder == "little":
        packed = b"".join(packed[at : at + _WORD][::-1] for at in range(0, len(packed), _WORD))
    family = socket.AF_INET if len(packed) == _WORD else socket.AF_INET6
    return _written((socket.inet_ntop(family, packed), int(port, 16)))
