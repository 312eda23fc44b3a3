"""One worker of a run: what it has done, when it was there, and what it did when."""

from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from muster._journal.measures import WorkerSum, added

from .series import Buckets, Series

CHANNELS: Final = 7
ROWS_IN, ROWS_OUT, READ, FUNCTION, SORTING, WRITE, LOST = range(CHANNELS)
"""The channels of a worker's series; writing includes what rows cost that travel."""


class AddedUp(NamedTuple):
    """What was just added up of a worker, and since and until when it did that."""

    done: WorkerSum
    since: float
    until: float


@dataclass(slots=True)
class Presence:
    """A stretch of a run, in seconds since it began, in which somebody was there; up to ``None`` is until now."""

    start: float
    stop: float | None = None

    def seconds(self, now: float) -> float:
        """Tell how long it was."""
        return max((now if self.stop is None else self.stop) - self.start, 0.0)


@dataclass(slots=True)
class WorkerSums(WorkerSum):
    """One worker: what it has done, as far as that is added up, and when it was there."""

    name: str = ""
    machine: str = ""
    gone: str = ""
    """Why it left."""
    series: Series = field(default_factory=lambda: Series(CHANNELS))
    present: list[Presence] = field(default_factory=list)
    until: float = 0.0
    """Up to when it is known what it did, in seconds of the run."""
    first: WorkerSum | None = None
    """What the first event told of what it did."""
    at_task_since: float | None = None
    """When its unfinished task began, if that was a while ago."""
    _untold: list[list[Any]] = field(default_factory=list)
    _since: float = 0.0

    @property
    def is_there(self) -> bool:
        """Tell whether it has not left."""
        return bool(self.present) and self.present[-1].stop is None

    def going(self, now: float) -> float:
        """Tell for how many seconds it has been at its unfinished task; 0 where that has not been for long."""
        return 0.0 if self.at_task_since is None else max(now - self.at_task_since, 0.0)

    def stayed(self, now: float) -> float:
        """Tell how many seconds it was there in all, until now."""
        return sum(presence.seconds(now) for presence in self.present)

    def join(self, time: float) -> None:
        """Be there from now on."""
        self.gone = ""
        if not self.is_there:
            self.present.append(Presence(time))

    def leave(self, time: float, *, reason: str = "") -> None:
        """Be there no more."""
        if self.is_there:
            self.present[-1].stop = time
            self.at_task_since = None
            self.gone = reason

    def take(self, told: list[Any], start: float, now: float) -> None:
        """Keep what it did lately, as a measured event tells it, until it is added up; ``start`` is when that began.

        A task counts when it ends, and may be longer than the span of the event: it began before that, though never
        before the worker was there.
        """
        if self.first is None:
            self.first = added([told])
        if not self._untold:
            self._since = self._from_when_there(start)
        self._untold.append(told)
        self.until = now

    def _from_when_there(self, time: float) -> float:
        """Find the first moment from a time on when it was there."""
        stays = (max(stay.start, time) for stay in self.present if stay.stop is None or stay.stop > time)
        return next(stays, time)

    def settle(self, clock: Buckets) -> AddedUp | None:
        """Add up what was kept, spread over the time that it took. Adding many at a time is what makes it cheap."""
        if not self._untold:
            return None
        done = added(self._untold)
        self._untold = []
        self.add(done)
        spent = done.seconds
        travel = spent.write + spent.transfer
        channels = (done.rows_in, done.rows_out, spent.read, spent.function, spent.sorting, travel, spent.lost)
        self.series.add(clock, clock.split(self._since, self.until), channels)
        return AddedUp(done, self._since, self.until)
