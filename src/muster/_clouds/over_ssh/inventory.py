"""The hosts of a cluster, whoever names them: a file of the user's, or what a cloud has just made."""

import sys
from dataclasses import dataclass
from typing import Final

DEFAULT_PYTHON: Final = f"python{sys.version_info.major}.{sys.version_info.minor}"


@dataclass(frozen=True, slots=True)
class Host:
    """A machine that SSH reaches, and how: at one address from home, at another from the cluster's other machines.

    Where ``user``, ``port``, ``key`` or ``known_hosts`` are left out, the user's own settings of ssh decide.
    """

    name: str
    """Unique in the inventory; what users read, and what Ray calls its node."""
    outside: str
    """What ssh is given at home: a name, a number, or an alias in its settings."""
    inside: str = ""
    """Where the cluster's other machines find it; left out, that is where ssh's settings say ``outside`` is."""
    user: str = ""
    port: int | None = None
    key: str = ""
    """Path of the private key."""
    host_key: str = ""
    """Its public key, such as ``ssh-ed25519 AAAA...``: no other one is accepted then."""
    known_hosts: str = ""
    """Path of the keys by which it is known; no setting of ssh can add to them."""
    ssh_config: str = ""
    """Path of ssh's settings, where they are not those of the user and the system; ``none`` for no settings."""
    proxy_command: str = ""
    """What ssh connects through, in ssh's words: ``%h`` and ``%p`` are host and port."""
    python: str = DEFAULT_PYTHON
    """The interpreter to use there: a path, or a name in its PATH."""
    workers: int | None = None
    """How many workers it has, where that is not what the cluster's machines have."""
    price: float | None = 0.0
    """What it costs, in dollars an hour; ``None`` where nobody knows."""
    notice: str = ""
    """Path of a file there that says in how many seconds its maker takes it away; it comes up when that is known."""


@dataclass(frozen=True, slots=True)
class Inventory:
    """The hosts that may be used, the first of them first; and the packages that they need besides muster and Ray."""

    hosts: tuple[Host, ...]
    packages: tuple[str, ...] = ()
