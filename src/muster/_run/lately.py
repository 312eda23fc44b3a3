"""What was done in the last minute: how fast, and on which machine."""

from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Final

from muster._job import MachinePace
from muster._planner import Stretch

_WINDOW_SECONDS: Final = 60.0
_FEWEST_SPANS: Final = 20


@dataclass(slots=True)
class _Span:
    """What was done in a stretch of time, on each machine: rows, and seconds in tasks."""

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
    def stretch(self) -> Stretch:
        """Tell how long it was, and how many rows were done."""
        return self.seconds, self.rows_of.total()


class Lately:
    """What was done in the last minute; it begins with the first row, as starting is no work."""

    def __init__(self) -> None:
        self._spans: deque[_Span] = deque()
        self.now = _Span()
        """The span that has not ended."""

    @property
    def stretches(self) -> list[Stretch]:
        """The spans that have ended."""
        return [one.stretch for one in self._spans]

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

    def pace_of(self, machine: str, workers: int, *, going: Iterable[float] = ()) -> MachinePace:
        """Tell what a machine did; ``going`` are the seconds that its unfinished tasks have taken so far."""
        spans = self._last_minute()
        seconds = _length(spans) or 1.0
        at_tasks = sum(one.busy_of.get(machine, 0.0) for one in spans) + sum(min(one, seconds) for one in going)
        rows = sum(one.rows_of[machine] for one in spans)
        return MachinePace(machine, workers, rows / seconds, min(at_tasks / (seconds * workers), 1.0))


def _length(spans: Iterable[_Span]) -> float:
    return sum(one.seconds for one in spans)
