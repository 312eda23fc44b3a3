"""Rows of a stream, sent over TCP: the sender of ``muster send`` works beside the epochs, in a thread of this process.

What an epoch gives is in the outbox before it is sent. So an epoch is never done again for a receiver's sake, and what
is sent again is the same.
"""

import asyncio
import threading
import time
from collections.abc import Iterator
from queue import SimpleQueue
from typing import Final

from muster._job import SendTcp
from muster._output.folder import WorkFolder
from muster._words import plural

from .endpoints import SINK_PORT, Endpoint, read_token, senders_tls
from .outbox import Outbox
from .sender import Destination, Sender
from .sink import Unacknowledged

_STANDSTILL: Final = 30.0
"""Seconds without an acknowledgement after which a stream that ends leaves the rest for the next time."""

_ENDS_WITHIN: Final = 10.0
"""Seconds: it has a second for the last words of its connection."""


def sink_over_tcp(send: SendTcp, work: WorkFolder, *, delimiter: str, has_header: bool) -> "TcpSink":
    """Make the sink that the user asked for, of CSV or, without a ``delimiter``, of JSON lines.

    Raises ``UsageError`` where nobody can be there.
    """
    parts = Outbox(work, delimiter=delimiter, has_header=bool(delimiter) and has_header)
    return TcpSink(_destination(send), parts, most=send.spool_bytes)


def _destination(send: SendTcp) -> Destination:
    endpoint = Endpoint.of(send.place, port=SINK_PORT, flag="send_tcp")
    tls = senders_tls(send.tls_ca, is_wanted=send.tls, in_python=True)
    return Destination(
        endpoint,
        send.framing,
        is_plain=send.is_plain,
        tls=tls,
        token=read_token(send.token, endpoint=endpoint, is_sealed=tls is not None, in_python=True)
        if send.token
        else "",
        patience=float("inf"),
        last_words=_STANDSTILL,
        in_python=True,
    )


class TcpSink:
    """The rows that go to one receiver."""

    def __init__(self, to: Destination, parts: Outbox, *, most: int) -> None:
        """``most`` bytes may wait to be acknowledged; nobody is connected to yet."""
        self.parts = parts
        self._to = to
        self._most = most
        self._sender: Sender | None = None
        self._thread: threading.Thread | None = None
        self._fault: BaseException | None = None
        self._said = SimpleQueue[str]()
        self._away_since: int | None = None
        """How many rows were safe when the connection broke that is not mended yet."""
        self._why = ""
        """How it broke, in words."""
        self._moved_at = 0.0

    def open(self, stream: str, *, done: int) -> None:
        self.parts.open(stream, done=done)
        self.look()

    def has_room(self) -> bool:
        return self.parts.size < self._most

    def look(self) -> None:
        if self._fault is not None:
            raise self._fault
        if self._thread is None:
            self._sender = Sender(self.parts, self._to, say=self._hear, tell=self._note, safe=self.parts.before)
            self._thread = threading.Thread(target=self._work, args=[self._sender], name="muster-send", daemon=True)
            self._thread.start()

    def unacknowledged(self) -> Unacknowledged:
        safe = self.parts.before if self._sender is None or self._to.is_plain else self._sender.safe
        return Unacknowledged(*self.parts.waiting(safe), self._why if self._away_since is not None else "")

    def _work(self, sender: Sender) -> None:
        try:
            sender.run()
            if sender.was_closed:
                self.parts.free(sender.sent)
        except asyncio.CancelledError:
            pass
        except BaseException as error:  # noqa: BLE001 (the stream's thread raises it)
            self._fault = error

    def _hear(self, text: str) -> None:
        """Hear that the connection broke; it is said once, until it is mended."""
        if self._away_since is None and self._sender is not None:
            self._why = text
            self._away_since = self._sender.safe
            self._said.put(text)

    def _note(self, sent: int, safe: int) -> None:
        """Hear how far it is; parts go that are acknowledged, and were sent over the connection that there is."""
        del sent
        if self._sender is None:
            return
        before = self.parts.before
        if self._to.is_plain:
            self.parts.free_what_is_read(self._sender.sent)
        else:
            self.parts.free(min(safe, self._sender.sent))
        has_moved = self._to.is_plain or self.parts.before > before
        if has_moved:
            self._moved_at = time.monotonic()
        if self._away_since is not None and (has_moved or safe > self._away_since):
            self._away_since = None
            self._said.put(f"{self._to.endpoint}: it takes rows again")

    def remarks(self, *, at_the_end: bool = False) -> Iterator[str]:
        while not self._said.empty():
            yield self._said.get()
        if not at_the_end:
            return
        if waiting := self.parts.done - self.parts.before:
            yield (
                f"{self._to.endpoint} has not taken {plural(waiting, 'row')}, which are kept, and sent when the command"
                " is typed again"
            )
        else:
            yield f"{self._to.endpoint} has all {plural(self.parts.done, 'row')} of the stream"

    def expect_end(self) -> None:
        self._moved_at = time.monotonic()

    def end(self) -> None:
        self._moved_at = time.monotonic()
        self.parts.end()

    def is_moving(self) -> bool:
        if self._thread is None or not (self._thread.is_alive() and self.parts.has_begun):
            return False
        return time.monotonic() - self._moved_at < _STANDSTILL

    def close(self) -> None:
        if self._thread is not None and self._sender is not None:
            self._sender.cancel()
            self._thread.join(_ENDS_WITHIN)
