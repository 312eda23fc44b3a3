"""States that go along with a task to a machine which does not see their log, and records of them that come back.

The log stays at home, and is what counts: nothing is lost with a machine. Each has a copy of some of it: a file in
which records stand where they do in the log. A task brings those that it needs and that its machine has not. So any
machine may do it, and a record goes to each once, as long as no task fails there.
"""

import os
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from muster._formats.state_records import check_records
from muster._model import Exchange, Outcome, StoredStates, Task
from muster._private.files import private

from .codec import compressed, decompressed

Span = tuple[int, int]
"""Where a record begins in the log, and how many bytes it has."""


class CarriedStates(NamedTuple):
    """Records of a log, and all of their bytes together, compressed."""

    log: str
    spans: tuple[Span, ...]
    data: bytes

    def lay_out(self, path: Path) -> None:
        """Write records to where they stand in the log."""
        data, at = decompressed(self.data, sum(size for _, size in self.spans)), 0
        descriptor = private(path, os.O_WRONLY | os.O_CREAT)  # several workers of the machine write to it
        with os.fdopen(descriptor, "wb") as file:
            for offset, size in self.spans:
                file.seek(offset)
                file.write(data[at : at + size])
                at += size


class StatesThere:
    """What each machine has of the log, by the numbers of their stations."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._log = ""
        self._spans: defaultdict[int, set[Span]] = defaultdict(set)

    def lacking(self, task: Task, exchange: Exchange | None, station: int | None) -> CarriedStates | None:
        """Take from the log what a task of some lanes needs and its station has not; ``None`` where that is nothing."""
        stored = exchange.stored if exchange is not None else None
        if exchange is None or stored is None or not stored.path:
            return None
        if stored.path != self._log:  # it was written anew, as another file
            self._log = stored.path
            self._spans.clear()
        there = self._spans[station] if station is not None else set[Span]()
        spans = tuple(span for span in _spans(task, exchange, stored) if span not in there)
        if not spans:
            return None
        with Path(self._log).open("rb") as log:
            records = b"".join(os.pread(log.fileno(), size, at) for at, size in spans)
        return CarriedStates(self._log, spans, compressed(records))

    def have_come(self, carried: CarriedStates, station: int | None) -> None:
        """Know that a station has records, as it has done the task that brought them."""
        if station is not None and carried.log == self._log:
            self._spans[station].update(carried.spans)


def _spans(task: Task, exchange: Exchange, stored: StoredStates) -> Iterator[Span]:
    for lane in _lanes(task, exchange):
        if (records := stored.lanes.get(lane)) is not None:
            yield from records.spans


def _lanes(task: Task, exchange: Exchange) -> list[int]:
    return [share.lane for share in exchange.shares[task.first : task.last]]


def check_states(outcome: Outcome, data: bytes | None, exchange: Exchange | None) -> None:
    """Raise ``ValueError`` where what came back is no record of the states of the task's own lanes."""
    if outcome.states is None:
        return
    if data is None or exchange is None or exchange.stored is None:
        raise ValueError("states of a task that has none to tell")
    check_records(data, stage=exchange.stored.stage, lanes=_lanes(outcome.task, exchange))
