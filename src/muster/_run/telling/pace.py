"""What was done in the last minute: how fast, on which machine, and how long the rest takes at that pace."""

from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Final, TypeVar

from muster._job import MachinePace
from muster._planner import Plan, TimedRows, plan, remaining

Number = TypeVar("Number", int, float)

_SPANS_BEFORE_A_PLAN: Final = 8
"""Four seconds at the least: with fewer spans its range would say nothing."""

_WINDOW_SECONDS: Final = 60.0
"""What was before says little of the rest: files differ, and machines come and go."""

_FEWEST_SPANS: Final = 20
"""Where spans are long, as with many workers, a minute has few: the range of the time left needs some."""


@dataclass(slots=True)
class _Span:
    """What was done in a span of time, on each machine: rows, and seconds in tasks."""

    seconds: float = 0.0
    longest: float = 0.0
    """Seconds that the longest of its tasks took."""
    rows_of: Counter[str] = field(default_factory=Counter)
    busy_of: dict[str, float] = field(default_factory=dict)

    def add(self, machine: str, *, rows: int, seconds: float) -> None:
        """Take in a task."""
        self.longest = max(self.longest, seconds)
        self.rows_of[machine] += rows
        self.busy_of[machine] = self.busy_of.get(machine, 0.0) + seconds

    @property
    def timed_rows(self) -> TimedRows:
        """Tell how long it was, and how many rows were done."""
        return self.seconds, self.rows_of.total()


class LastMinute:
    """What was done in the last minute; it begins with the first row, as starting is no work."""

    def __init__(self) -> None:
        self._spans: deque[_Span] = deque()
        self.now = _Span()
        """The span that has not ended."""

    @property
    def ended_spans(self) -> list[TimedRows]:
        """The spans that have ended."""
        return [one.timed_rows for one in self._spans]

    def end_span(self, seconds: float) -> None:
        """Begin another span. The first one lasts at least as long as its longest task, or its rate would be absurd."""
        if self._spans or self.now.rows_of:
            self.now.seconds = seconds if self._spans else max(seconds, self.now.longest)
            self._spans.append(self.now)
        self.now = _Span()
        while len(self._spans) > _FEWEST_SPANS and _length(self._spans) - self._spans[0].seconds > _WINDOW_SECONDS:
            self._spans.popleft()

    def _last_minute(self) -> list[_Span]:
        """Pick the spans that began within the last minute, and the newest in any case."""
        seconds = accumulate(one.seconds for one in reversed(self._spans))
        recent = sum(1 for since in seconds if since <= _WINDOW_SECONDS)
        return [*self._spans][-max(recent, 1) :]

    def rows_per_second(self) -> float:
        """Tell how many rows were done a second."""
        spans = self._last_minute()
        return sum(one.rows_of.total() for one in spans) / (_length(spans) or 1.0)

    def paces(self, workers_on: Mapping[str, int], *, going: Mapping[str, Sequence[float]]) -> list[MachinePace]:
        """Tell what each machine did; ``going`` are the seconds that its unfinished tasks have taken so far."""
        spans = self._last_minute()
        seconds = _length(spans) or 1.0
        rows: dict[str, int] = {}
        busy: dict[str, float] = {}
        for one in spans:
            _add_up(one.rows_of, to=rows)
            _add_up(one.busy_of, to=busy)
        for machine, times in going.items():
            busy[machine] = busy.get(machine, 0.0) + sum(min(one, seconds) for one in times)
        return [
            MachinePace(
                machine,
                workers,
                rows.get(machine, 0) / seconds,
                min(busy.get(machine, 0.0) / (seconds * workers), 1.0),
            )
            for machine, workers in sorted(workers_on.items())
        ]


def _add_up(numbers: Mapping[str, Number], *, to: dict[str, Number]) -> None:
    for name, number in numbers.items():
        to[name] = to.get(name, 0) + number


class Pace:
    """How fast a run is, as it was reckoned last, and how long the rest takes."""

    def __init__(self) -> None:
        """Begin with nothing done."""
        self._last_minute_work = LastMinute()
        self._has_planned = False
        self.rows_per_second = 0.0
        self.seconds_left: tuple[float, float] | None = None
        """At the least and at the most; ``None`` while that is not known."""
        self.machines: tuple[MachinePace, ...] = ()

    def add(self, machine: str, *, rows: int, seconds: float) -> None:
        """Take in a task."""
        self._last_minute_work.now.add(machine, rows=rows, seconds=seconds)

    def reckon(
        self,
        seconds: float,
        workers_on: Mapping[str, int],
        *,
        going: Mapping[str, Sequence[float]],
        rows_left: int | None,
    ) -> None:
        """Reckon it anew, so many seconds after the last time; ``going`` are those of unfinished tasks, by machine."""
        self._last_minute_work.end_span(seconds)
        self.rows_per_second = self._last_minute_work.rows_per_second()
        self.machines = tuple(self._last_minute_work.paces(workers_on, going=going))
        self.seconds_left = None if rows_left is None else remaining(self._last_minute_work.ended_spans, rows_left)

    def plan(self, rows_left: int, *, workers: int, dollars_an_hour: float | None) -> Plan | None:
        """Make the one plan of a run, once enough is known."""
        spans = self._last_minute_work.ended_spans
        if self._has_planned or len(spans) < _SPANS_BEFORE_A_PLAN or rows_left <= 0:
            return None
        made = plan(spans, rows_left=rows_left, workers=workers, dollars_an_hour=dollars_an_hour)
        self._has_planned = made is not None
        return made


def _length(spans: Iterable[_Span]) -> float:
    return sum(one.seconds for one in spans)
