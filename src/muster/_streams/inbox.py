"""What all connections of a receiver share: rows that came and are not safe yet, and who is with which row."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from .hello import Hello, HelloError
from .lines import TornRowError, as_lines, as_texts, is_torn, split_header
from .listening import Listening
from .positions import Mark, StreamState

_MUCH: Final = 32 << 20
"""Bytes of rows that wait for the disk, above which nothing more is read."""
_ALL_HALVES: Final = 256 << 20
"""Bytes that frames which are not whole yet may have, those of all connections together."""


class Talking(Protocol):
    """A connection, as the others see it."""

    def refuse(self, reason: str, *, retry: bool = False) -> None:
        """Close it."""


@dataclass
class Batch:
    """Rows that become safe together."""

    texts: list[bytes] = field(default_factory=list)
    size: int = 0
    rows: int = 0
    since: float = 0.0
    """When the first of them came, by the clock of this process."""
    marks: dict[str, Mark] = field(default_factory=dict)
    header: str | None = None
    ends: int = 0
    """How many streams have ended with it."""

    def __bool__(self) -> bool:
        """Tell whether there is something to keep."""
        return bool(self.rows or self.marks or self.ends or self.header is not None)


class Inbox:
    """Rows of all connections, in the order in which they came."""

    def __init__(self, state: StreamState, listening: Listening, *, has_room: Callable[[], bool]) -> None:
        """``state`` is what is safe, and changes as more becomes so; ``has_room`` tells whether more may."""
        self._state = state
        self._header = state.header
        self._listening = listening
        self._has_room = has_room
        self._marks = dict(state.streams)
        """How far each stream has come, safe or not."""
        self._talking: dict[str, Talking] = {}
        self._batch = Batch()
        self.halves = 0
        self.has_come = asyncio.Event()

    def take_all(self) -> Batch:
        """Hand over what came since the last time."""
        batch, self._batch = self._batch, Batch()
        self.has_come.clear()
        return batch

    @property
    def is_full(self) -> bool:
        """Tell whether more rows wait than memory is meant for, or there is no room for more."""
        return self._batch.size > _MUCH or not self._has_room()

    @property
    def has_too_many_halves(self) -> bool:
        """Tell whether half frames take more memory than they may."""
        return self.halves > _ALL_HALVES

    def begin(self, hello: Hello, who: Talking) -> Mark:
        """Let a stream go on; return what is safe of it. Raises ``HelloError``.

        An earlier connection of it is closed: most likely its sender does not know yet that it is cut.
        """
        if hello.header is not None:
            self.agree(hello.header)
        elif self._listening.has_header and self._header is None:
            raise HelloError("the file is CSV, and the hello has no header")
        came = self._marks.get(hello.stream, Mark()).safe
        if hello.first is not None and hello.first > came + 1:
            raise HelloError(
                f"row {hello.first} is the first that is sent, and {came} of stream {hello.stream!r} are here: those"
                " between would be missing"
            )
        if (before := self._talking.get(hello.stream)) is not None:
            before.refuse(f"another connection goes on with stream {hello.stream!r}")
        self._talking[hello.stream] = who
        return self._state.streams.get(hello.stream, Mark())

    def leave(self, stream: str, who: Talking) -> None:
        """Know that a connection has ended."""
        if self._talking.get(stream) is who:
            del self._talking[stream]

    def talking(self, stream: str) -> Talking | None:
        """Find the connection of a stream."""
        return self._talking.get(stream)

    def agree(self, header: str) -> None:
        """Take the header of a connection.

        Raises ``HelloError`` for a torn one, for several rows, and for one that is not the file's.
        """
        if not self._listening.has_header and self._header is None:
            return
        header = header.removeprefix("\ufeff").removesuffix("\n").removesuffix("\r")
        text, delimiter = header.encode("utf-8", "surrogateescape"), self._listening.delimiter
        if delimiter and is_torn(text, delimiter=delimiter):
            raise HelloError(f"its header ends within a quoted cell: {header[:200]!r}")
        if split_header(text, delimiter=delimiter)[1].strip():
            raise HelloError(f"its header has rows behind it, which are frames of their own: {header[:200]!r}")
        if self._header is None:
            self._listening.check_header(text)
            self._header = self._batch.header = header
            self.has_come.set()
        elif header != self._header:
            raise HelloError(f"its header is {header[:200]!r}, and that of the rows so far is {self._header[:200]!r}")

    def add(self, payloads: Sequence[bytes], *, stream: str = "", first: int = 0) -> str:
        """Take rows, those of a stream that are new; return why they cannot be taken, or not all of them."""
        payloads = [payload for payload in payloads if payload] if b"" in payloads else payloads
        mark = self._marks.get(stream, Mark())
        if stream and first <= mark.safe:
            payloads = payloads[mark.safe + 1 - first :]
            self._batch.marks[stream] = mark  # who sends rows again is told again that they are safe
            self.has_come.set()
        fault = ""
        try:
            text = self._lines(payloads)
        except TornRowError as error:
            fault, payloads = str(error), payloads[: error.at]
            text = self._lines(payloads)
        if payloads:
            if not self._batch.texts:
                self._batch.since = time.monotonic()
            self._batch.texts.append(text)
            self._batch.size += len(text)
            self._batch.rows += len(payloads)
            if stream:
                self._marks[stream] = self._batch.marks[stream] = Mark(mark.safe + len(payloads))
            self.has_come.set()
        return fault

    def _lines(self, payloads: Sequence[bytes]) -> bytes:
        if self._listening.has_payloads:
            return as_texts(payloads)
        return as_lines(payloads, delimiter=self._listening.delimiter)

    def end(self, stream: str) -> None:
        """Take the end of a stream, or of a connection that named none."""
        if stream:
            self._marks[stream] = self._batch.marks[stream] = Mark(self._marks.get(stream, Mark()).safe, is_ended=True)
        self._batch.ends += 1
        self.has_come.set()
