"""Addresses: a host and a port, joined to one text and taken apart again."""

import contextlib
import ipaddress
import re
from typing import Final

_PLAIN: Final = r"[^\s\[\]%@/,*?!'\"\\-][^\s\[\]%@/,*?!'\"\\]*"
"""What can name a host: nothing that ssh would take for an option, a user or a pattern."""


def joined(host: str, port: int) -> str:
    """Write ``10.0.0.1:6379``, ``[fd99::1]:6379``: brackets keep an address's colons from the port's."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def parted(text: str) -> tuple[str, int | None]:
    """Take ``host``, ``host:port``, ``fd99::1``, ``[fd99::1]`` or ``[fd99::1]:port`` apart; a network has no port.

    Raises ``ValueError`` that says what is wrong.
    """
    bracketed = re.fullmatch(r"\[([^\]]*)\](?::(\d+))?", text)
    if bracketed:
        host, port = bracketed.groups()
    elif text.count(":") == 1:
        host, _, port = text.partition(":")
        if not port.isdigit():
            raise ValueError("what follows its colon is no port")
    else:
        host, port = text, None
    if reason := refusal(host):
        raise ValueError(reason)
    return host, int(port) if port else None


def shortest(host: str) -> str:
    """Write an IPv6 address in its one short spelling, and leave anything else as it is."""
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).compressed
    return host


def refusal(host: str) -> str:
    """Say why machines cannot reach each other at an address; empty where they can."""
    with contextlib.suppress(ValueError):
        number = ipaddress.ip_address(host.partition("%")[0])
        if number.version == 6 and (number.is_link_local or "%" in host):  # noqa: PLR2004 (IPv6)
            return "that is a link-local address, which means another machine on each link; give a routable one"
        if number.is_unspecified or number.is_multicast:
            return "that is no machine's address"
        return ""
    if ":" in host:
        return "that is no IPv6 address; one with a port is written [fd99::1]:22"
    return "" if re.fullmatch(_PLAIN, host) else "that cannot name a host"
