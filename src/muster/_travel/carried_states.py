"""States that go along with a task to a machine which does not see their log, and records of them that come back.

The log stays at home, and is what counts: a machine has no state that home has not. So each task brings what the log
says of its lanes, whichever machine gets it, and nothing of a stream is lost with a machine.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from muster._formats.state_records import check_records
from muster._model import Exchange, Outcome, StoredStates, Task

from .codec import compressed, decompressed


class CarriedStates(NamedTuple):
    """Records of a log: offset and bytes of each there, and all of them together, compressed."""

    spans: tuple[tuple[int, int], ...]
    data: bytes

    def lay_out(self, path: Path) -> None:
        """Write a file in which they stand where they do in the log, and nothing else does."""
        data = memoryview(decompressed(self.data, sum(count for _, count in self.spans)))
        with path.open("wb") as file:
            for offset, count in self.spans:
                file.seek(offset)
                file.write(data[:count])
                data = data[count:]


def carried(task: Task, exchange: Exchange | None) -> CarriedStates | None:
    """Take from the log what a task of some lanes needs; ``None`` where it needs nothing of it."""
    if exchange is None or exchange.stored is None or not exchange.stored.path:
        return None
    spans = tuple(_spans(task, exchange, exchange.stored))
    if not spans:
        return None
    with Path(exchange.stored.path).open("rb") as log:
        return CarriedStates(spans, compressed(b"".join(os.pread(log.fileno(), size, at) for at, size in spans)))


def _spans(task: Task, exchange: Exchange, stored: StoredStates) -> Iterator[tuple[int, int]]:
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
