"""What happened to a run, in words: notes of its page, and how often tasks were tried again."""

from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Final

from muster._journal import events
from muster._journal.measures import OTHER_REASONS
from muster._words import duration, plural

_NOTES: Final = 50
"""As many as anybody reads; the journal has all."""

_RETRIES_TOLD_APART: Final = 20
"""Reasons of retries: the page's memory stays bounded."""


@dataclass(frozen=True, slots=True)
class LogEntry:
    """Something that happened, and when by the clock."""

    at: float
    kind: str
    text: str
    machine: str = ""
    """Where workers joined."""
    count: int = 1
    """How many."""


@dataclass(slots=True)
class Log:
    """The last notes of a run, and the sums of what happens too often for notes. ``at`` is when, by the clock."""

    notes: deque[LogEntry] = field(default_factory=lambda: deque(maxlen=_NOTES))
    retries: Counter[str] = field(default_factory=Counter)
    """How many tasks were tried again, by the reason."""
    lost_tries: int = 0
    """Tries of tasks that ended with their worker."""
    accepted: list[str] = field(default_factory=list)
    """What had changed between attempts, and was accepted."""

    def note(self, at: float, kind: str, text: str) -> None:
        """Note something; only the last notes are kept."""
        self.notes.append(LogEntry(at, kind, text))

    def joined(self, at: float, event: events.WorkerJoined) -> None:
        """Note that a worker joined; those that join a machine together share one note."""
        worker, machine, count = event.worker, event.machine, 1
        if self.notes and (self.notes[-1].kind, self.notes[-1].machine) == ("joined", machine):
            count += self.notes.pop().count
        who = plural(count, "worker") if count > 1 else f"Worker {worker}"
        self.notes.append(LogEntry(at, "joined", f"{who} joined on {machine}.", machine, count))

    def retried(self, at: float, event: events.Retried) -> None:
        """Note that a task was tried again, and count the reason."""
        is_told_apart = event.reason in self.retries or len(self.retries) < _RETRIES_TOLD_APART
        self.retries[event.reason if is_told_apart else OTHER_REASONS] += 1
        self.lost_tries += event.worker is not None
        self.note(at, "retried", _told_of_retry(event))

    def accept(self, at: float, event: events.Accepted) -> None:
        """Note that the run goes on although something had changed."""
        self.accepted += event.changes
        self.note(at, "accepted", f"Went on although this had changed: {'; '.join(event.changes)}.")


def _told_of_retry(event: events.Retried) -> str:
    """Say what was tried again, why, and what it had cost; an earlier muster told of the reason alone."""
    rows = "A task was"
    if event.row is not None:
        first, last = event.row, event.row + event.rows - 1
        of = f" of {event.file}" if event.file else ""
        rows = f"Rows {first:,} to {last:,}{of} were"
        if last <= first:
            rows = f"Row {first:,}{of} was"
    spent = f", after {duration(event.seconds)} on worker {event.worker}" if event.worker else ""
    return f"{rows} tried again: {event.reason}{spent}."
