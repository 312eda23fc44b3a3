"""How a stream stands at a moment, and how long its rows took."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from muster._job import SinkLag, SourceLag, StreamLag
from muster._journal.measures import bound
from muster._journal.streaming import StreamSums

from .figures import SHARES


@dataclass(frozen=True, slots=True)
class StreamStanding:
    """What the page and the metrics say of a stream; what nobody has told is ``None``."""

    epochs: int
    checkpoint_age: float | None
    """Seconds since an epoch was committed."""
    rows: int | None
    bytes: int | None
    seconds: float | None
    """For how long the oldest row has waited that is not done."""
    keys: int | None
    state_bytes: int | None
    watermark: float | None
    """Up to when windows are closed, in seconds since 1970."""
    late_rows: int
    """How many rows came too late for their windows."""
    skipped_rows: int
    """How many rows were gone at the other end before they were read, and were skipped."""
    waits: Mapping[int, int]
    """How long rows took from when they came until they were committed, in bins."""
    waits_seconds: float
    """Those of all of them, added up."""
    sinks: tuple[SinkLag, ...]
    """What each other end has not acknowledged, that with the most rows first."""
    sources: tuple[SourceLag, ...]
    """How far each of several sources is behind, that with the most bytes first."""

    @classmethod
    def of(cls, sums: StreamSums, at: float) -> "StreamStanding":
        """Look at it at a time of the clock."""
        told = sums.told
        return cls(
            epochs=sums.epochs,
            checkpoint_age=sums.checkpoint_age(at),
            rows=told.rows if told else None,
            bytes=told.bytes if told else None,
            seconds=sums.waited(at) if told else None,
            keys=told.keys if told else None,
            state_bytes=told.state_bytes if told else None,
            watermark=sums.watermark,
            late_rows=told.late_rows if told else 0,
            skipped_rows=told.skipped_rows if told else 0,
            waits=sums.waits,
            waits_seconds=told.waited_seconds if told else 0.0,
            sinks=tuple(SinkLag(*one) for one in sums.sinks(at)),
            sources=tuple(SourceLag(*one) for one in sums.sources(at)),
        )

    @property
    def unacknowledged(self) -> int | None:
        """Count the rows that the slowest end has not acknowledged; ``None`` where there is none."""
        return self.sinks[0].rows if self.sinks else None

    @property
    def unacknowledged_seconds(self) -> float | None:
        """Tell for how long the oldest of these have waited."""
        return self.sinks[0].seconds if self.sinks else None

    @property
    def away(self) -> str:
        """Say why rows cannot be sent on just now; empty where they can."""
        return next((sink.away for sink in self.sinks if sink.away), "")

    @property
    def bounds(self) -> Sequence[float | None]:
        """Tell below which time 50, 95, 99, 99.9 and 99.99% of the rows were, in seconds."""
        return [bound(self.waits, share) for share in SHARES]

    @property
    def outlook(self) -> str:
        """Say in a line what waits."""
        lag = StreamLag(
            self.epochs,
            bytes=self.bytes or 0,
            rows=self.rows,
            seconds=self.seconds or 0.0,
            sinks=self.sinks,
        )
        return ", ".join(lag.waits()) or "nothing waits"
