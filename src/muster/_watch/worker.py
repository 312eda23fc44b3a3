"""One worker of a run: what it has done, when it was there, and what it did when."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain, zip_longest
from typing import Any, Final, NamedTuple

from muster._watch.series import Clock, Series

CHANNELS: Final = 5
ROWS_IN, ROWS_OUT, READ, FUNCTION, WRITE = range(CHANNELS)
"""The channels of a worker's series; writing includes what rows cost that travel."""

_NOTHING: Final = (0, 0, 0, 0.0, ())
_BELOW: Final = 80
"""So many bins are below a second, and as many above: a microsecond to twelve days."""

_BINS: Final = 2 * _BELOW


class Settled(NamedTuple):
    """What was just added up of a worker: rows, since when, and the rows into and out of each step."""

    rows_in: int
    rows_out: int
    since: float
    until: float
    steps: Sequence[tuple[int, int]]


@dataclass(slots=True)
class Step:
    """What a worker did in a step; ``counted`` are its calls by bin, those below 0 at the end, as lists have it."""

    rows_in: int = 0
    rows_out: int = 0
    batches: int = 0
    seconds: float = 0.0
    counted: list[int] = field(default_factory=lambda: [0] * _BINS)

    @property
    def bins(self) -> Counter[int]:
        """Count the calls by their bins."""
        return Counter({number: self.counted[number] for number in range(-_BELOW, _BELOW) if self.counted[number]})


@dataclass(slots=True)
class Presence:
    """A stretch of a run, in seconds since it began, in which somebody was there; up to ``None`` is until now."""

    start: float
    stop: float | None = None

    def seconds(self, now: float) -> float:
        """Tell how long it was."""
        return max((now if self.stop is None else self.stop) - self.start, 0.0)


@dataclass(slots=True)
class Worker:
    """Sums of one worker. Seconds are its wall time, ``cpu`` those of the processor, ``memory`` bytes held last."""

    name: str
    machine: str = ""
    gone: str = ""
    tasks: int = 0
    rows_in: int = 0
    rows_out: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    bad_rows: int = 0
    read: float = 0.0
    function: float = 0.0
    write: float = 0.0
    total: float = 0.0
    transfer: float = 0.0
    waiting: float = 0.0
    cpu: float = 0.0
    memory: int = 0
    steps: list[Step] = field(default_factory=list)
    series: Series = field(default_factory=lambda: Series(CHANNELS))
    present: list[Presence] = field(default_factory=list)
    until: float = 0.0
    """Up to when it is known what it did, in seconds of the run."""
    _untold: list[list[Any]] = field(default_factory=list)
    _since: float = 0.0

    @property
    def busy(self) -> float:
        """Tell how many seconds it read, wrote and was in the function."""
        return self.read + self.function + self.write

    @property
    def is_there(self) -> bool:
        """Tell whether it has not left."""
        return bool(self.present) and self.present[-1].stop is None

    def seconds(self, now: float) -> float:
        """Tell how long it was there in all, until now."""
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
            self.gone = reason

    def take(self, told: list[Any], start: float, now: float) -> None:
        """Keep what it did lately, as a measured event tells it, until it is added up; ``start`` is when that began.

        A task counts when it ends, and may be longer than the span of the event: it began before that.
        """
        if not self._untold:
            self._since = start
        self._untold.append(told)
        self.until = now

    def settle(self, clock: Clock) -> Settled | None:
        """Add up what was kept, spread over the time that it took. Adding many at a time is what makes it cheap."""
        if not self._untold:
            return None
        *counts, seconds, cpu, memory, steps = zip(*self._untold, strict=True)
        self._untold = []
        tasks, rows_in, rows_out, bytes_in, bytes_out, bad_rows = map(sum, counts)
        read, function, write, total, transfer, waiting = map(sum, zip(*seconds, strict=True))
        self.tasks += tasks
        self.rows_in += rows_in
        self.rows_out += rows_out
        self.bytes_in += bytes_in
        self.bytes_out += bytes_out
        self.bad_rows += bad_rows
        self.read += read
        self.function += function
        self.write += write
        self.total += total
        self.transfer += transfer
        self.waiting += waiting
        self.cpu += sum(cpu)
        self.memory = memory[-1] or self.memory
        shares = clock.split(self._since, self.until)
        self.series.add(clock, shares, (rows_in, rows_out, read, function, write + transfer))
        return Settled(rows_in, rows_out, self._since, self.until, self._settle_steps(steps))

    def _settle_steps(self, told: tuple[list[Any], ...]) -> list[tuple[int, int]]:
        """Add up what each step did; give back how many rows went into it, and came out of it."""
        found = []
        for at, step in enumerate(zip_longest(*told, fillvalue=_NOTHING)):
            if at == len(self.steps):
                self.steps.append(Step())
            sums = self.steps[at]
            rows_in, rows_out, batches, seconds, bins = zip(*step, strict=True)
            found.append((sum(rows_in), sum(rows_out)))
            sums.rows_in += found[-1][0]
            sums.rows_out += found[-1][1]
            sums.batches += sum(batches)
            sums.seconds += sum(seconds)
            counted = sums.counted
            for number, count in chain.from_iterable(bins):
                counted[number] += count
        return found
