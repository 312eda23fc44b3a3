"""The record of a run: its journal, and what happens before there is one."""

import time
from collections.abc import Iterable

from muster._journal.events import Event
from muster._journal.file import Journal


class Recorder:
    """Keeps events until there is a journal, and journals them from then on."""

    def __init__(self) -> None:
        """Begin without a journal: workers may join before it is known whose run it is."""
        self._early: list[tuple[Event, float]] = []
        self._journal: Journal | None = None

    def write(self, event: Event, *, at: float | None = None, durable: bool = False) -> None:
        """Journal an event with the time of day, and if it is ``durable`` beyond a power cut."""
        if self._journal is None:
            self._early.append((event, round(time.time(), 3)))
        else:
            self._journal.write(event, at=at, durable=durable)

    def hold(self, event: Event) -> None:
        """Journal an event together with those that come next: with the next that is written, or by ``flush``."""
        if self._journal is None:
            self.write(event)
        else:
            self._journal.hold(event)

    def flush(self) -> None:
        """Journal what is held. Raises ``OSError`` when the disk is full."""
        if self._journal is not None:
            self._journal.flush()

    def go_on_in(self, journal: Journal, *, begins: Iterable[Event], at: float) -> None:
        """Write to a journal from now on: how the attempt ``begins``, which was ``at``, and what has happened since."""
        self._journal = journal
        for event in begins:
            journal.write(event, at=at)
        for event, when in self._early:
            journal.write(event, at=when)
        self._early.clear()
