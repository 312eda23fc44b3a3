"""Where this computer calls from, as machines in AWS see it: SSH is let in from there alone."""

import ipaddress
import socket
import urllib.request
from typing import Final

from muster.errors import EngineError

_ASK: Final = "https://checkip.amazonaws.com"
_ASK_SECONDS: Final = 10.0


def address_within(network: str) -> str:
    """Tell this computer's address in a network, empty where it is not in there. Nothing is sent."""
    block = ipaddress.ip_network(network)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((str(block.network_address + 1), 22))
        except OSError:
            return ""
        own = str(probe.getsockname()[0])
    return own if ipaddress.ip_address(own) in block else ""


def address_outside() -> str:
    """Ask AWS which address of this computer it sees. Raises ``EngineError``."""
    try:
        with urllib.request.urlopen(_ASK, timeout=_ASK_SECONDS) as answer:
            return str(ipaddress.ip_address(answer.read(64).decode().strip()))
    except (OSError, ValueError) as error:
        raise EngineError(
            f"Machines let in SSH from this computer alone, and {_ASK} does not tell its address: {error}. Write it"
            " into a file, as aws: and, below it, ssh_from: [203.0.113.7/32]; and type --on FILE.yml."
        ) from error
