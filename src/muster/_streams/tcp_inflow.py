"""Rows that senders bring over TCP: a receiver works beside the epochs, in threads of this process.

So it dies with the stream, and its port is free then. What it has acknowledged is on the disk, and is done once.
"""

import threading
import time
from collections.abc import Callable, Iterator
from queue import SimpleQueue
from typing import Final

from muster._job import ListenTcp

from .endpoints import endpoint_of, read_token, receivers_tls
from .listening import Listening
from .receiver import Receiver, bound
from .spooled import Spooled
from .spooled_source import ENDS_WITHIN

_REMARKS_EVERY: Final = 10.0
"""Seconds between two remarks on connections that were refused: somebody may try again and again."""


def listening(asked: ListenTcp, *, delimiter: str, why_no_header: Callable[[bytes], str]) -> Listening:
    """Say how rows are listened for. Raises ``UsageError`` for a place, keys or a token that cannot be used."""
    endpoint = endpoint_of(asked)
    tls = receivers_tls(asked.tls_cert, asked.tls_key, in_python=True)
    return Listening(
        endpoint,
        asked.framing,
        delimiter=delimiter,
        has_header=not asked.columns,
        has_payloads=asked.has_payloads,
        connections=asked.connections,
        idle=asked.idle,
        tls=tls,
        token=read_token(asked.token, endpoint=endpoint, is_sealed=tls is not None, in_python=True)
        if asked.token
        else "",
        is_header=why_no_header,
    )


class TcpInflow:
    """The rows that senders send to one endpoint."""

    def __init__(self, listening: Listening) -> None:
        """Take the endpoint: connections wait there until ``begin``.

        Raises ``UsageError`` where another program has the endpoint.
        """
        self.name = str(listening.endpoint)
        self.longest = listening.largest
        self._listening = listening
        self._sockets = bound(listening.endpoint, by="listen_tcp")
        self._receiver: Receiver | None = None
        self._thread: threading.Thread | None = None
        self._said = SimpleQueue[str]()
        self._fault: BaseException | None = None
        self._remarked_at = float("-inf")

    def begin(self, spooled: Spooled, ring: Callable[[], None]) -> str:
        self._receiver = Receiver(spooled, self._listening, say=self._said.put)
        args = (self._receiver, ring)
        self._thread = threading.Thread(target=self._work, args=args, name="muster-listen", daemon=True)
        self._thread.start()
        endpoint = self._listening.endpoint._replace(port=self._sockets[0].getsockname()[1])
        if endpoint.is_here or self._listening.token:
            return f"listening on {endpoint}"
        return f"listening on {endpoint}: whoever reaches it can send rows, unless token= says who may"

    def _work(self, receiver: Receiver, ring: Callable[[], None]) -> None:
        try:
            receiver.run_beside(self._sockets)
        except BaseException as error:  # noqa: BLE001 (the stream's thread raises it)
            self._fault = error
        ring()

    def look_again(self) -> None:
        if self._receiver is not None:
            self._receiver.look_again()

    def has_failed(self) -> bool:
        self.check()
        return False  # senders that fail end their connection alone

    def check(self) -> None:
        if self._fault is not None:
            raise self._fault

    def end(self) -> None:
        """Refuse what comes from now on; what was acknowledged is done."""
        if self._receiver is not None:
            self._receiver.end()

    def has_ended(self) -> bool:
        return self._fault is None and self._thread is not None and not self._thread.is_alive()

    def away(self) -> str:
        return ""  # senders come when they like

    def beyond(self) -> int:
        return 0  # senders do not tell

    def skipped(self) -> int:
        return 0  # what is acknowledged is here

    def settle(self) -> None:
        pass  # senders were told as soon as their rows were here

    def remarks(self) -> Iterator[str]:
        """Say which connections were refused: of many, one, and how many more there were."""
        if self._said.empty() or time.monotonic() - self._remarked_at < _REMARKS_EVERY:
            return
        self._remarked_at = time.monotonic()
        first, more = self._said.get(), 0
        while not self._said.empty():
            self._said.get()
            more += 1
        yield f"{first}; and {more} more were closed" if more else first

    def close(self) -> bool:
        self.end()
        if self._thread is not None:
            self._thread.join(ENDS_WITHIN)
        for one in self._sockets:
            one.close()
        return self._thread is None or not self._thread.is_alive()
