"""Where a conversation takes place, and who may take part: addresses, certificates, a shared token."""

import ipaddress
import ssl
from pathlib import Path
from typing import Final, NamedTuple

from muster._job import ListenTcp, SendTcp
from muster._private.secrets import hide
from muster._words import text_of
from muster.errors import UsageError

HERE: Final = "127.0.0.1"
SOURCE_PORT: Final = 8888
"""Where the seed system takes rows in."""
SINK_PORT: Final = 9999
"""Where the seed system's receiver waits for them."""

_TO: Final = ("--to", "send_tcp")
"""Who says where rows go, and not where they come."""
_LAST_PORT: Final = 65535
_SHORTEST_TOKEN: Final = 16
"""Characters that nobody guesses over a network."""


class Endpoint(NamedTuple):
    """A host and a port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_here(self) -> bool:
        """Tell whether only this computer comes there."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @classmethod
    def of(cls, text: str, *, port: int, flag: str) -> "Endpoint":
        """Read ``HOST:PORT``, where either may be left out. Raises ``UsageError``."""
        if not isinstance(text, str):
            raise UsageError(f"{flag} {text!r}: a place is text. Give for example {HERE + ':' + str(port)!r}.")
        if (not text.strip() and flag in _TO) or "/" in text:
            raise UsageError(f"{flag} {text!r} names no host and port. Type for example {flag} {HERE}:{port}")
        host, colon, number = text.rpartition(":")
        if (text.startswith("[") and text.endswith("]")) or not colon:
            host, number = ("", text) if text.isdecimal() else (text, "")
        if host.startswith("[") and host.endswith("]"):
            host = host[1:-1]
        elif ":" in host:
            address = text.strip("[]")
            raise UsageError(f"{flag} {text}: an address of IPv6 stands in brackets: {flag} [{address}]:{port}")
        if number and not (number.isdecimal() and int(number) <= _LAST_PORT):
            raise UsageError(
                f"{flag} {text}: {number!r} is no port, which is a number up to {_LAST_PORT}. Type for example {flag}"
                f" {HERE}:{port}"
            )
        if number and not int(number) and flag in _TO:
            raise UsageError(f"{flag} {text}: nobody listens on port 0. Type the port that muster receive has told.")
        return cls(host.strip() or HERE, int(number or port))


def endpoint_of(end: ListenTcp | SendTcp) -> Endpoint:
    """Say where rows come, or go, by what a pipeline asks for. Raises ``UsageError`` for what is no place."""
    if isinstance(end, ListenTcp):
        return Endpoint.of(end.place, port=SOURCE_PORT, flag="listen_tcp")
    return Endpoint.of(end.place, port=SINK_PORT, flag="send_tcp")


def read_token(path: str, *, endpoint: Endpoint, is_sealed: bool, in_python: bool = False) -> str:
    """Read the shared token. Raises ``UsageError`` where it could be guessed, or read on its way.

    It was given ``in_python`` where it is an argument, and not a flag; so with the others.
    """
    said = f"token={path!r}" if in_python else f"--token {path}"
    if not (is_sealed or endpoint.is_here):
        raise UsageError(
            f"{said}: without TLS whoever is on the way to {endpoint} reads it. Add"
            f" {'tls_cert= and tls_key=' if in_python else '--tls-cert and --tls-key'} where rows are received, and"
            " --tls-ca where they are sent; or use an SSH tunnel to a port of this computer."
        )
    make = f"Make one: head -c 24 /dev/urandom | base64 > {path}"
    try:
        token = Path(path).read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{said}: {text_of(error)}. {make}") from error
    if len(token) < _SHORTEST_TOKEN or not token.isprintable() or " " in token:
        raise UsageError(f"{said}: it must hold one word of at least {_SHORTEST_TOKEN} characters. {make}")
    hide([token])
    return token


def receivers_tls(certificate: str | None, key: str | None, *, in_python: bool = False) -> ssl.SSLContext | None:
    """Load a receiver's certificate. Raises ``UsageError`` where it cannot be used."""
    names = ("tls_cert=", "tls_key=") if in_python else ("--tls-cert", "--tls-key")
    if certificate is None and key is None:
        return None
    if certificate is None or key is None:
        raise UsageError(f"{names[0]} and {names[1]} go together: a certificate, and its key. Add the other.")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(certificate, key, password=lambda: "")
    except (OSError, ValueError) as error:  # those of ssl are OSErrors
        values = (repr(certificate), repr(key)) if in_python else (f" {certificate}", f" {key}")
        said = " and ".join(map("".join, zip(names, values, strict=True)))
        raise UsageError(
            f"{said} cannot be used: {text_of(error)}. Name a certificate and its key, in PEM, the key without"
            " a password."
        ) from error
    return context


def senders_tls(authority: str | None, *, is_wanted: bool, in_python: bool = False) -> ssl.SSLContext | None:
    """Know whose certificates a sender trusts: those that this file signs, or those that the system trusts."""
    if authority is None and not is_wanted:
        return None
    try:
        context = ssl.create_default_context(cafile=authority)
    except OSError as error:
        said = f"tls_ca={authority!r}" if in_python else f"--tls-ca {authority}"
        raise UsageError(f"{said} cannot be used: {text_of(error)}. Name a file of certificates in PEM.") from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context
