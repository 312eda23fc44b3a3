"""Where this computer calls from, as machines in AWS see it: SSH is let in from there alone."""

import ipaddress
import os
import socket
import urllib.request
from typing import Final

from muster._words import text_of
from muster.errors import EngineError

_ASK: Final = "https://checkip.amazonaws.com"
_ASK_SECONDS: Final = 10.0
"""AWS answers within a second; who has to wait for longer has no way there."""

_METADATA: Final = "http://169.254.169.254"
_METADATA_SECONDS: Final = 1.0
"""The address is a machine's own: it answers at once, or this computer is none of AWS."""

_DIRECTLY: Final = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def address_in(vpc: str, network: str) -> str:
    """Tell this computer's address in a network of AWS; empty where it is none of its machines.

    That its own address could be one of them does not say so: homes and offices have the same blocks.
    """
    own = address_within(network)
    return own if own and _vpc_here() == vpc else ""


def _vpc_here() -> str:
    """Ask the metadata service that each machine of AWS has; empty where there is none."""
    if os.environ.get("AWS_EC2_METADATA_DISABLED", "").lower() == "true":
        return ""
    base = os.environ.get("AWS_EC2_METADATA_SERVICE_ENDPOINT", _METADATA).rstrip("/") + "/latest"
    seconds = {"X-aws-ec2-metadata-token-ttl-seconds": "60"}
    try:
        token = {"X-aws-ec2-metadata-token": _metadata(f"{base}/api/token", seconds, method="PUT")}
        mac = _metadata(f"{base}/meta-data/mac", token)
        return _metadata(f"{base}/meta-data/network/interfaces/macs/{mac}/vpc-id", token)
    except (OSError, ValueError):
        return ""


def _metadata(url: str, headers: dict[str, str], *, method: str = "GET") -> str:
    request = urllib.request.Request(url, headers=headers, method=method)  # noqa: S310 (it is HTTP)
    with _DIRECTLY.open(request, timeout=_METADATA_SECONDS) as answer:
        return str(answer.read(256).decode().strip())


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
            f"Machines let in SSH from this computer alone, and {_ASK} does not tell its address:"
            f" {text_of(error)}. Write it into a file, as aws: and, below it, ssh_from: [203.0.113.7/32]; and type"
            " --on FILE.yml."
        ) from error
