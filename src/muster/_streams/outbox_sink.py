"""A sink whose rows go on from an outbox: a thread of this process takes them, beside the epochs.

What an epoch gives is in the outbox before it is taken on. So an epoch is never done again for the other end's sake,
and what is given again is the same.
"""

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from queue import SimpleQueue
from typing import Final

from muster._job import SinkLag
from muster._words import plural

from .outbox import Outbox

STANDSTILL: Final = 30.0
"""Seconds without an acknowledgement after which a stream that ends leaves the rest for the next time."""

_ENDS_WITHIN: Final = 10.0
"""Seconds: it has a second for the last words of its connection."""


class OutboxSink(ABC):
    """The rows that go to one other end."""

    def __init__(self, name: str, *, most: int) -> None:
        """``most`` bytes may wait to be acknowledged; nobody is connected to yet."""
        self.name = name
        self._most = most
        self._thread: threading.Thread | None = None
        self._fault: BaseException | None = None
        self._said = SimpleQueue[str]()
        self._why = ""
        """Why rows cannot go on, in words; empty while nothing is known to be wrong."""
        self._moved_at = 0.0

    @property
    @abstractmethod
    def parts(self) -> Outbox:
        """Name what waits."""

    @property
    @abstractmethod
    def _safe(self) -> int:
        """Tell how many rows the other end is known to have."""

    @abstractmethod
    def _carrier(self) -> Callable[[], None]:
        """Make what takes rows on, in the thread, until all are there; what it raises ends the stream."""

    @abstractmethod
    def _let_go(self) -> None:
        """Have it end."""

    def _is_away(self, why: str) -> None:
        """Know that rows cannot go on; it is said once, until they do."""
        if not self._why:
            self._why = why
            self._said.put(why)

    def _is_there(self) -> None:
        """Know that rows go on."""
        if self._why:
            self._why = ""
            self._said.put(f"{self.name}: it takes rows again")

    def _moves(self) -> None:
        """Know that rows have gone on."""
        self._moved_at = time.monotonic()
        self._is_there()

    def open(self, stream: str, *, done: int) -> None:
        """Go on with a stream, of which so many rows are in epochs that are committed. Raises ``EngineError``."""
        self.parts.open(stream, done=done)
        self._thread = threading.Thread(target=self._work, args=[self._carrier()], name="muster-send", daemon=True)
        self._thread.start()

    def _work(self, carry: Callable[[], None]) -> None:
        try:
            carry()
        except BaseException as error:  # noqa: BLE001 (the stream's thread raises it)
            self._fault = error

    def has_room(self) -> bool:
        """Tell whether another epoch may begin."""
        return self.parts.size < self._most

    def look(self) -> None:
        """Raise what keeps rows from going on."""
        if self._fault is not None:
            raise self._fault

    def lag(self) -> SinkLag:
        """Tell which rows are on their way."""
        rows, seconds = self.parts.waiting(self._safe)
        return SinkLag(self.name, rows, round(seconds, 3), self._why)

    def remarks(self, *, at_the_end: bool = False) -> Iterator[str]:
        """Say, once, what whoever watches should know; ``at_the_end`` also how far it came."""
        while not self._said.empty():
            yield self._said.get()
        if not at_the_end:
            return
        if waiting := self.parts.done - self.parts.before:
            yield (
                f"{self.name} has not taken {plural(waiting, 'row')}, which are kept, and sent when the command is"
                " typed again"
            )
        else:
            yield f"{self.name} has all {plural(self.parts.done, 'row')} of the stream"

    def expect_end(self) -> None:
        """Know that somebody waits for the end from now on."""
        self._moved_at = time.monotonic()

    def end(self) -> None:
        """Know that no more epochs come."""
        self._moved_at = time.monotonic()
        self.parts.end()

    def is_moving(self) -> bool:
        """Tell whether rows are on their way that somebody should wait for."""
        if self._thread is None or not self._thread.is_alive():
            return False
        return time.monotonic() - self._moved_at < STANDSTILL

    def close(self) -> None:
        """Give back what it holds."""
        if self._thread is not None:
            self._let_go()
            self._thread.join(_ENDS_WITHIN)
