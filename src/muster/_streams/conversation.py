"""One connection of a receiver, from its first frame to its end. Whatever it does wrong ends it, and nothing else."""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Final, cast

from muster._model import END

from .frames import Decoder, decoder, encoded, half
from .hello import MARK, Answer, Hello, HelloError
from .inbox import Inbox
from .lines import split_header
from .listening import Listening

_LINGERS: Final = 3.0
"""Seconds that a sender has to read why its connection ends: one that is closed at once may never tell."""
_UNREAD: Final = 16 << 10
"""Bytes of answers that may wait for a sender that does not read them."""


class Conversation(asyncio.Protocol):
    """Frames that one sender sends, and what it is told."""

    def __init__(
        self,
        inbox: Inbox,
        listening: Listening,
        *,
        on_begin: Callable[["Conversation"], bool],
        on_end: Callable[["Conversation", str], None],
    ) -> None:
        """``on_begin`` tells whether there is room for one more; ``on_end`` hears why one was refused, or nothing."""
        self._on_begin = on_begin
        self._inbox = inbox
        self._listening = listening
        self._on_end = on_end
        self._decoder: Decoder = decoder(listening.framing, largest=listening.largest)
        self._stream = ""
        self._next = 0
        """The number of the row that comes next, from 1; 0 while nothing has come."""
        self._has_ended = False
        self._unsaid: Answer | None = None
        """The newest answer that waits for the sender to read those before it."""
        self._is_read = True
        self._is_at_eof = False
        self.refused = ""
        self.who = "a sender"
        """The sender's address, for messages."""
        self.heard_at = 0.0
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        if peer := transport.get_extra_info("peername"):
            self.who = f"{peer[0]}:{peer[1]}"
        self.transport.set_write_buffer_limits(_UNREAD)
        self.heard_at = asyncio.get_running_loop().time()
        if not self._on_begin(self):
            self.refuse(f"there are {self._listening.connections} connections, and no more are taken", retry=True)

    def data_received(self, data: bytes) -> None:
        if self.refused:
            return
        self.heard_at = asyncio.get_running_loop().time()
        before = self._decoder.rest()
        frames = self._decoder.feed(data)
        self._inbox.halves += self._decoder.rest() - before
        if frames:
            self._take(frames)
        if self.refused:
            return
        if self._decoder.fault:
            self.refuse(self._decoder.fault)
        elif self._inbox.has_too_many_halves:
            self.refuse("frames that are not whole yet take too much memory", retry=True)
        elif self._inbox.is_full:
            self.pause()

    def pause(self) -> None:
        """Read nothing more for now: the sender then waits."""
        if self.transport is not None and not self.transport.is_closing():
            self.transport.pause_reading()

    def read_on(self) -> None:
        """Read again."""
        if self.transport is not None and not (self.transport.is_closing() or self.refused):
            self.transport.resume_reading()

    @property
    def is_reading(self) -> bool:
        """Tell whether it is the sender who says nothing."""
        return self.transport is not None and self.transport.is_reading()

    def _take(self, frames: list[bytes]) -> None:
        try:
            if not self._next and (frames := [frame for frame in frames if frame]):
                frames = self._begin(*frames)
        except HelloError as error:
            self.refuse(str(error))
            return
        if END in frames:
            at = frames.index(END)
            self._add(frames[:at])
            if not self.refused:
                self._end(frames[at + 1 :])
        elif frames and self._has_ended:
            self.refuse("there are frames behind the one that ends the stream")
        elif frames:
            self._add(frames)

    def _begin(self, first: bytes, *rest: bytes) -> list[bytes]:
        """Take the first frame: a hello, a header, or a row; return the rows behind it. Raises ``HelloError``."""
        self._next = 1
        if first.startswith(MARK):
            hello = Hello.of(first)
            self._listening.check(hello.token)
            mark = self._inbox.begin(hello, self)
            self._stream = hello.stream
            self._next = hello.first or mark.safe + 1
            self.tell(Answer(mark.safe, mark.is_ended))
            return list(rest)
        self._listening.check("")
        if not self._listening.has_header or first == END:
            return [first, *rest]
        header, behind = split_header(first, delimiter=self._listening.delimiter)
        self._inbox.agree(header.decode("utf-8", "surrogateescape"))
        return [behind, *rest]

    def _add(self, frames: list[bytes]) -> None:
        if fault := self._inbox.add(frames, stream=self._stream, first=self._next):
            self.refuse(fault)
        self._next += len(frames) - frames.count(b"")

    def _end(self, behind: list[bytes]) -> None:
        if any(behind) or self._has_ended:
            self.refuse("there are frames behind the one that ends the stream")
            return
        self._has_ended = True
        self._inbox.end(self._stream)

    def tell(self, answer: Answer) -> None:
        """Say something, once the sender reads: of what it would only read later, the newest alone.

        Why it is refused is said at once, and nothing behind that: the way to the sender is closed then.
        """
        if self.transport is None or self.transport.is_closing() or (self.refused and not answer.error):
            return
        if self._is_read or answer.error:
            self.transport.write(encoded([answer.payload()], self._listening.framing))
            if answer.is_ended and self._has_ended:
                self._leave()
        else:
            self._unsaid = answer

    def _leave(self) -> None:
        """Be of no stream any more: nothing more comes of it, and all is said. It is over once the sender closes it."""
        self._inbox.leave(self._stream, self)
        self._stream = ""
        if self._is_at_eof and self.transport is not None:
            self.transport.close()

    def pause_writing(self) -> None:
        self._is_read = False

    def resume_writing(self) -> None:
        self._is_read = True
        if self._unsaid is not None:
            unsaid, self._unsaid = self._unsaid, None
            self.tell(unsaid)

    def refuse(self, reason: str, *, retry: bool = False) -> None:
        """Say why, and end the connection."""
        if self.refused or self.transport is None or self.transport.is_closing():
            return
        self.refused = reason
        self.tell(Answer(error=reason, retry=retry))
        asyncio.get_running_loop().call_later(_LINGERS, self.transport.abort)
        self.transport.resume_reading()  # what comes is dropped: were it unread, a close would cut off what was told
        if self.transport.can_write_eof():  # TLS has no half of a connection to close
            with contextlib.suppress(OSError):  # the sender has gone, and the transport does not know yet
                self.transport.write_eof()

    def cut(self) -> None:
        """End the connection at once, whatever has not been read."""
        if self.transport is not None:
            self.transport.abort()

    def eof_received(self) -> bool:
        """Keep the way back open for the acknowledgement of a stream that has ended."""
        self._is_at_eof = True
        is_sealed = self.transport is None or self.transport.get_extra_info("sslcontext") is not None
        return self._has_ended and bool(self._stream) and not is_sealed  # TLS has no way back then

    def connection_lost(self, exc: Exception | None) -> None:
        del exc  # that it is cut is all there is to know
        self._inbox.halves -= self._decoder.rest()
        if self._stream:
            self._inbox.leave(self._stream, self)
        self._on_end(self, self.refused or half(self._decoder))
