"""Rows of a stream, sent over TCP: the sender of ``muster send`` takes them from the outbox."""

import asyncio
from collections.abc import Callable
from functools import partial

from muster._job import SendTcp
from muster._output.folder import WorkFolder

from .endpoints import endpoint_of, read_token, senders_tls
from .outbox_sink import STANDSTILL, OutboxSink
from .sender import Destination, Sender
from .sent_outbox import SentOutbox


def sink_over_tcp(send: SendTcp, work: WorkFolder, *, delimiter: str, has_header: bool) -> "TcpSink":
    """Make the sink that the user asked for, of CSV or, without a ``delimiter``, of JSON lines.

    Raises ``UsageError`` where nobody can be there.
    """
    has_header = has_header and bool(delimiter)
    parts = SentOutbox(work, send.called, delimiter=delimiter, has_header=has_header, has_payloads=send.has_payloads)
    return TcpSink(_destination(send), parts, most=send.spool_bytes)


def _destination(send: SendTcp) -> Destination:
    endpoint = endpoint_of(send)
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
        last_words=STANDSTILL,
        in_python=True,
    )


class TcpSink(OutboxSink):
    """The rows that go to one receiver."""

    def __init__(self, to: Destination, parts: SentOutbox, *, most: int) -> None:
        """``most`` bytes may wait to be acknowledged; nobody is connected to yet."""
        super().__init__(str(to.endpoint), most=most)
        self._parts = parts
        self._to = to
        self._sender: Sender | None = None
        self._safe_before = 0
        """How many rows were safe when the connection broke last."""

    @property
    def parts(self) -> SentOutbox:
        return self._parts

    @property
    def _safe(self) -> int:
        return self.parts.before if self._sender is None or self._to.is_plain else self._sender.safe

    def _carrier(self) -> Callable[[], None]:
        self._sender = Sender(self.parts, self._to, say=self._hear, tell=self._note, safe=self.parts.before)
        return partial(self._carry, self._sender)

    def _carry(self, sender: Sender) -> None:
        try:
            sender.run()
        except asyncio.CancelledError:
            return
        if sender.was_closed:
            self.parts.free(sender.sent)

    def _let_go(self) -> None:
        if self._sender is not None:
            self._sender.cancel()

    def _hear(self, text: str) -> None:
        """Hear that the connection broke."""
        if not self._why:
            self._safe_before = self._safe
        self._is_away(text)

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
        if self._to.is_plain or self.parts.before > before:
            self._moves()
        elif safe > self._safe_before:
            self._is_there()

    def is_moving(self) -> bool:
        return self.parts.has_begun and super().is_moving()
