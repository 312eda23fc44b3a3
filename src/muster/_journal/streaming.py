"""How a stream stands, and how long its rows waited: told by the process that does it, added up for those who look."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from .events import Committed, Streamed, Totals, TryStarted
from .file import Entry
from .measures import bin_of, bound

_MICROSECONDS: Final = 1e6
"""In a second."""

_SHARES: Final = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "p999": 0.999}


@dataclass(slots=True)
class RowWaits:
    """How long rows took from when they came until they were committed, in bins as those of calls."""

    bins: Counter[int] = field(default_factory=Counter)
    seconds: float = 0.0

    def add(self, waited: float, rows: int) -> None:
        """Count rows that took so long."""
        self.bins[bin_of(waited)] += rows
        self.seconds += max(waited, 0.0) * rows

    def as_fields(self) -> dict[str, Any]:
        """Write as fields of an event."""
        return {"waited": [[*one] for one in sorted(self.bins.items())], "waited_seconds": round(self.seconds, 6)}


@dataclass(slots=True)
class StreamSums:
    """What a journal tells of a stream; ``told`` is how it stood last, as the process told that is at it."""

    totals: Totals | None = None
    """What was committed so far; ``None`` where nothing was, and in a run that is no stream."""
    committed_at: float | None = None
    told: Streamed | None = None
    told_at: float = 0.0

    def __bool__(self) -> bool:
        """Tell whether the run is a stream, as far as one has heard."""
        return self.totals is not None or self.told is not None

    def take(self, entry: Entry) -> None:
        """Take in an event; most change nothing."""
        match entry.event:
            case TryStarted():  # this process does not know yet what waits
                self.told = None
            case Committed():
                self.totals, self.committed_at = entry.event.totals, entry.at
            case Streamed():
                self.told, self.told_at = entry.event, entry.at or 0.0
                self.committed_at = entry.event.committed_at or self.committed_at

    @property
    def epochs(self) -> int:
        """Count the epochs that are committed."""
        return max(self.totals.epochs if self.totals else 0, self.told.epochs if self.told else 0)

    @property
    def waits(self) -> Mapping[int, int]:
        """Give how long rows of the last attempt took, in bins."""
        return {one[0]: one[1] for one in self.told.waited} if self.told else {}

    def checkpoint_age(self, now: float) -> float | None:
        """Tell how many seconds ago an epoch was committed, by the clock."""
        return None if self.committed_at is None else max(now - self.committed_at, 0.0)

    def _later(self, now: float) -> float:
        """Count the seconds since it was told how it stands, for which what waits has waited besides."""
        return max(now - self.told_at, 0.0)

    def waited(self, now: float) -> float:
        """Tell for how long the oldest row has waited that is not done, by the clock."""
        return self.told.seconds + self._later(now) if self.told and self.told.bytes else 0.0

    def sinks(self, now: float) -> list[tuple[str, int, float, str]]:
        """Tell of each other end its name, how many rows it has not acknowledged, for how long, and why it is away.

        That with the most rows comes first.
        """
        told = self.told.sinks if self.told else ()
        return [(name, rows, seconds + self._later(now) if rows else 0.0, away) for name, rows, seconds, away in told]

    def sources(self, now: float) -> list[tuple[str, int | None, int, float, str, bool]]:
        """Tell how far each of several sources is behind: what ``SourceLag`` has, that with the most bytes first."""
        told = self.told.sources if self.told else ()
        return [
            (name, rows, count, seconds + self._later(now) if count else 0.0, away, has_ended)
            for name, rows, count, seconds, away, has_ended in told
        ]

    @property
    def watermark(self) -> float | None:
        """Tell up to when windows are closed, in seconds since 1970, by the clock of the rows' times."""
        return self.told.watermark / _MICROSECONDS if self.told and self.told.watermark is not None else None

    def as_fields(self, now: float) -> dict[str, Any]:
        """Write how it stands as JSON has it, or how it stood when it was heard of last; what is untold is ``None``."""
        told, waits, age, sinks = self.told, self.waits, self.checkpoint_age(now), self.sinks(now)
        _, unacknowledged, unacknowledged_for, _ = sinks[0] if sinks else ("", None, 0.0, "")
        return {
            "epochs": self.epochs,
            "rows_behind": told.rows if told else None,
            "bytes_behind": told.bytes if told else None,
            "seconds_behind": round(self.waited(now), 3) if told else None,
            "checkpoint_age": None if age is None else round(age, 3),
            "keys": told.keys if told else None,
            "state_bytes": told.state_bytes if told else None,
            "rows_unacknowledged": unacknowledged,
            "seconds_unacknowledged": round(unacknowledged_for, 3) if told else None,
            "away": next((away for *_, away in sinks if away), ""),
            "sinks": {
                name: {"rows_unacknowledged": rows, "seconds_unacknowledged": round(seconds, 3), "away": away}
                for name, rows, seconds, away in sinks
            },
            "sources": {
                name: {
                    "rows_behind": rows,
                    "bytes_behind": count,
                    "seconds_behind": round(seconds, 3),
                    "away": away,
                    "has_ended": has_ended,
                }
                for name, rows, count, seconds, away, has_ended in self.sources(now)
            },
            "watermark": self.watermark,
            "late_rows": told.late_rows if told else None,
            "skipped_rows": told.skipped_rows if told else None,
            "latency": {
                "rows": sum(waits.values()),
                **{name: bound(waits, share) for name, share in _SHARES.items()},
            },
        }
