"""What a stranger on the network may try at the ports of a cluster."""

import socket
import ssl
from dataclasses import dataclass
from pathlib import Path

from hosts import Host


@dataclass(frozen=True)
class Port:
    """Where something listens on a host, for others than the host itself."""

    host: Host
    number: int


def shown(folder: Path) -> ssl.SSLContext:
    """Show a certificate, if there is one in the folder, and look at nobody's."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    if (folder / "node.crt").exists():
        context.load_cert_chain(folder / "node.crt", folder / "node.key")
    return context


def lets_in(port: Port, context: ssl.SSLContext) -> bool:
    """Tell whether something that listens talks to who shows this."""
    try:
        with (
            socket.create_connection((port.host.address, port.number), timeout=10) as plain,
            context.wrap_socket(plain) as caller,
        ):
            caller.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0]))
            return bool(caller.recv(100))
    except OSError:
        return False


def answers_in_the_clear(port: Port) -> bool:
    """Tell whether something that listens says anything without TLS."""
    for said in (b"GET / HTTP/1.1\r\nHost: it\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9)):
        try:
            with socket.create_connection((port.host.address, port.number), timeout=5) as caller:
                caller.send(said)
                if caller.recv(100) not in {b"", b"\x15\x03\x01\x00\x02\x02\x0a", b"\x15\x03\x03\x00\x02\x02\x0a"}:
                    return True
        except OSError:
            continue
    return False
