"""What two ends say to each other besides rows; the page on streams tells others.

A sender may begin with a hello, which names its stream. The receiver answers up to which row all is safe, and says so
again as more becomes safe: so rows are sent again where a connection breaks, and taken once. Who says no hello is taken
at its rows, with no answer.
"""

import json
from dataclasses import dataclass
from typing import Any, Final, Self

MARK: Final = b"\x01muster"
_VERSION: Final = b"1 "
_LONGEST_NAME: Final = 200
"""Characters: a path and a date have room, and a journal's line stays short."""


class HelloError(Exception):
    """The first frame is a hello that nobody can take; the message says why."""


@dataclass(frozen=True, slots=True)
class Hello:
    """What a sender says first."""

    stream: str
    header: str | None = None
    """The header of its rows, which then is no frame."""
    first: int | None = None
    """The number of the first row that it sends, from 1; ``None``: that behind the last safe one."""
    token: str = ""

    def payload(self) -> bytes:
        """Write it."""
        said = {"stream": self.stream, "header": self.header, "first": self.first, "token": self.token or None}
        return MARK + _VERSION + json.dumps({key: value for key, value in said.items() if value is not None}).encode()

    @classmethod
    def of(cls, payload: bytes) -> Self:
        """Read it. Raises ``HelloError``."""
        version, _, text = payload.removeprefix(MARK).partition(b" ")
        if version + b" " != _VERSION:
            raise HelloError(f"the hello is of version {version[:20]!r}, and this receiver speaks version 1")
        try:
            said = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise HelloError(f"the hello is no JSON: {error}") from error
        if not isinstance(said, dict):
            raise HelloError("the hello is no object of JSON")
        stream, first = said.get("stream"), said.get("first")
        if not (isinstance(stream, str) and 0 < len(stream) <= _LONGEST_NAME and stream.isprintable()):
            raise HelloError(f'"stream" must be a printable text of 1 to {_LONGEST_NAME} characters')
        if first is not None and (not isinstance(first, int) or isinstance(first, bool) or first < 1):
            raise HelloError('"first" must be a whole number from 1')
        header, token = said.get("header"), said.get("token", "")
        if not (isinstance(header, str | None) and isinstance(token, str)):
            raise HelloError('"header" and "token" must be texts')
        try:
            f"{header}{token}".encode("utf-8", "surrogateescape")
        except UnicodeEncodeError as error:
            raise HelloError(f'"header" and "token" must be texts that UTF-8 can write: {error.reason}') from error
        return cls(stream, header, first, token)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a receiver says: how many rows of the stream are safe, or why it closes the connection."""

    safe: int = 0
    is_ended: bool = False
    """Whether the end of the stream is safe, too."""
    error: str = ""
    retry: bool = False
    """Whether another try may do better."""

    def payload(self) -> bytes:
        """Write it."""
        if self.error:
            return json.dumps({"error": self.error, "retry": self.retry}).encode()
        return json.dumps({"safe": self.safe, **({"ended": True} if self.is_ended else {})}).encode()

    @classmethod
    def of(cls, payload: bytes) -> Self:
        """Read it. Raises ``ValueError`` for what is none."""
        try:
            said: Any = json.loads(payload)
        except RecursionError as too_deep:
            raise ValueError("it is nested too deeply") from too_deep
        if not isinstance(said, dict):
            raise ValueError("it is no object")  # noqa: TRY004 (whatever is wrong with it, it is one kind of error)
        error, safe = said.get("error", ""), said.get("safe", 0)
        if not (isinstance(error, str) and isinstance(safe, int) and safe >= 0):
            raise ValueError("it has values of other types")
        return cls(safe, said.get("ended") is True, error, said.get("retry") is True)
