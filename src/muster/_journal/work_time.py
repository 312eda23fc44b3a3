"""How long a run was at work, without the gaps between its attempts: the one account of it, wherever it is shown."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from .events import TryStarted
from .file import Entry


@dataclass(slots=True)
class WorkTime:
    """Seconds of work, up to the last event that was taken in. It begins with the first event of the journal."""

    begun: float | None = None
    """When the run began, by the clock; ``None`` before its first event."""
    last_at: float = 0.0
    """When the last event was written, by the clock."""
    seconds: float = 0.0
    """When the last event was written, in seconds of work."""
    paused: float = 0.0
    """Seconds between attempts, in which no process worked on the run."""
    processes: int = 0
    """How many processes have worked on the run, one after another."""
    _process: tuple[int, object] | None = None

    def take(self, entry: Entry) -> float | None:
        """Take in an event; tell how long no process had worked before it, where it begins another process's attempt.

        An event of an early version may have no time: it counts as written together with the one before it.
        """
        at, away = self.last_at if entry.at is None else entry.at, None
        if self.begun is None:
            self.begun = at
        if isinstance(entry.event, TryStarted):
            away = self._begin(at, entry.event)
        self.last_at = max(at, self.last_at)
        self.seconds = max(at - self.begun - self.paused, self.seconds)
        return away

    def _begin(self, at: float, started: TryStarted) -> float | None:
        before, self._process = self._process, (started.pid, started.born)
        if before == self._process:  # it begins anew, with wider types
            return None
        self.processes += 1
        if before is None:
            return None
        away = max(at - self.last_at, 0.0)
        self.paused += away
        return away

    def by(self, clock: float) -> float:
        """Tell how many seconds of work there are by a time of the clock, of a run whose process lives."""
        return self.seconds if self.begun is None else max(clock - self.begun - self.paused, self.seconds)

    def took(self, result: Mapping[str, Any] | None) -> float:
        """Tell how long the run was at work in all; ``result`` are the fields of a run that has finished.

        These say it best where one process did it all: the first event is written a moment after that began.
        """
        if result is not None and self.processes <= 1 and "seconds" in result:
            return float(result["seconds"])
        return self.seconds


def work_time(entries: Iterable[Entry]) -> WorkTime:
    """Add up the seconds of all attempts, without the gaps between them."""
    time = WorkTime()
    for entry in entries:
        time.take(entry)
    return time
