"""How rows are listened for."""

import hmac
import ssl
from collections.abc import Callable
from dataclasses import dataclass

from .endpoints import Endpoint
from .frames import LARGEST, Framing
from .hello import HelloError


@dataclass(frozen=True, slots=True)
class Listening:
    """What a receiver takes, from whom, and until when."""

    endpoint: Endpoint
    framing: Framing = "length"
    largest: int = LARGEST
    """Bytes that a frame may have."""
    delimiter: str = ","
    """What separates cells; empty for JSON lines."""
    has_header: bool = True
    """Whether the first frame of a connection, or its hello, is a header."""
    has_payloads: bool = False
    """Whether frames are no rows yet: each is kept as a text, which a step makes a row of."""
    connections: int = 5000
    idle: float = 600.0
    """Seconds after which a connection is closed from which nothing comes."""
    tls: ssl.SSLContext | None = None
    token: str = ""
    once: bool = False
    """Whether it is over when a stream has ended."""
    rows: int | None = None
    """How many rows there are to be, after which it is over."""
    is_header: Callable[[bytes], str] = lambda _: ""
    """Says why the first header cannot be one; empty where it can. Those that follow are compared with it."""

    def check(self, token: str) -> None:
        """Raise ``HelloError`` for a sender without the token."""
        if self.token and not hmac.compare_digest(token.encode("utf-8", "surrogateescape"), self.token.encode()):
            raise HelloError("the token is wrong" if token else "a hello with the token is expected")

    def check_header(self, header: bytes) -> None:
        """Raise ``HelloError`` for what cannot be the first header."""
        if why := self.is_header(header):
            raise HelloError(why)
