"""Predict what a run over a whole input takes, as a range, from some of its rows: pure arithmetic.

The model of a task is ``seconds = a + b * rows``: what a call costs, and what a row costs. Tasks of two lengths tell
the two apart. A full run makes few large calls, so its rows cost ``b`` and a little of ``a``; at the most what rows
cost in the sample, calls included.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from muster._job import Estimate
from muster._model import Outcome
from muster._progress.queue import LARGEST_TASK, TASK_SECONDS

_FEWEST_FOR_A_LINE: Final = 8
"""Tasks: with fewer, one slow task turns the line."""

_LENGTHS_APART: Final = 2.0
"""How many times as long the longest tasks are as the shortest, at least, to tell calls from rows."""

_OTHER_DAY: Final = (0.9, 1.15)
"""By how much the same work takes less or more in another run: other programs, caches, a processor's temperature."""

_UNLIKE: Final = (0.5, 2.0)
"""How much cheaper or dearer the rest may be than a single place shows."""

_LEAST_SHARE: Final = 0.2
"""Of what was measured: a range that reaches down to nothing says nothing."""

_DISK_BYTES_A_SECOND: Final = 100e6
"""Of a slow disk: an estimate may say more time than there is, not less."""

_NONE_SEEN: Final = 3.0
"""Where none of n rows was bad, at most 3/n of all are, 19 times in 20."""

Range = tuple[float, float]


@dataclass(frozen=True, slots=True)
class SampledTask:
    """A task of the sample: who did it, how many rows, what it took and what it gave."""

    worker: str
    rows: int
    seconds: float
    rows_out: int = 0
    bytes_out: int = 0
    bad_rows: int = 0


@dataclass(slots=True)
class Trial:
    """What was measured of the rows that were tried."""

    rows: int
    """How many the whole input has."""
    is_spread: bool
    """Whether rows of all the input are tried, not its first ones."""
    before: float = 0.0
    """Seconds until the first task could begin."""
    for_types: float = 0.0
    """Seconds of these in which every value was looked at, where a full run looks at some."""
    tasks: list[SampledTask] = field(default_factory=list)

    def take(self, worker: str, *outcomes: Outcome) -> None:
        """Take in what came of tasks; the worker is unknown where an earlier attempt did them."""
        for one in outcomes:
            size = one.output.bytes if one.output else 0
            self.tasks.append(
                SampledTask(
                    worker=worker,
                    rows=one.rows_in,
                    seconds=one.seconds.total,
                    rows_out=one.rows_out,
                    bytes_out=size,
                    bad_rows=one.bad_rows,
                )
            )

    def estimate(self, worked: float, ended: float, *, workers: int) -> Estimate:
        """Predict a run of all rows; after how many seconds all tasks were done, and after how many the output."""
        after = ended - worked
        workers, rows = max(workers, 1), self.rows
        likeness = (1.0, 1.0) if self.is_spread else _UNLIKE
        out = _ratio(self.tasks, lambda one: one.rows_out, likeness=likeness)
        size = _ratio(self.tasks, lambda one: one.bytes_out, likeness=likeness)
        bad = _ratio(self.tasks, lambda one: one.bad_rows, likeness=likeness)
        tried = sum(one.rows for one in self.tasks)
        if tried and not any(one.bad_rows for one in self.tasks):
            bad = (0.0, min(_NONE_SEEN / tried, 1.0))
        if tried >= rows:
            bad = (bad[0], sum(one.bad_rows for one in self.tasks) / max(rows, 1))
        seconds = self._seconds(worked - self.before, workers=workers, likeness=likeness)
        writing = after + rows * size[1] / _DISK_BYTES_A_SECOND
        return Estimate(
            rows=rows,
            seconds=(round(seconds[0] + after, 3), round(seconds[1] + writing, 3)),
            rows_out=_whole(rows, out),
            bad_rows=_whole(rows, bad),
            bytes=_whole(rows, size),
            workers=workers,
            sampled=tried,
            is_spread=self.is_spread,
        )

    def _seconds(self, working: float, *, workers: int, likeness: Range) -> Range:
        """Predict how long it is until the last task has ended."""
        usual, warming = self._apart()
        rows = self.rows
        low, high = _per_row(usual)
        low, high = low * likeness[0] * _OTHER_DAY[0], high * likeness[1] * _OTHER_DAY[1]
        spent = sum(one.seconds for one in self.tasks)
        longest = max((one.seconds for one in self.tasks), default=0.0)
        idle = max(working - max(spent / workers, longest), 0.0)
        last_task = min(max(TASK_SECONDS, longest), rows * high)
        return (
            max(self.before - self.for_types, 0.0) + min(warming, default=0.0) + rows * low / workers,
            self.before + max(warming, default=0.0) + idle + rows * high / workers + last_task * (1 - 1 / workers),
        )

    def _apart(self) -> tuple[list[SampledTask], list[float]]:
        """Part the tasks from each worker's first, and tell by how much that took longer than it should."""
        met: set[str] = set()
        first: list[SampledTask] = []
        usual: list[SampledTask] = []
        for one in self.tasks:
            (first if one.worker and one.worker not in met else usual).append(one)
            met.add(one.worker)
        if not sum(one.rows for one in usual):
            return first, []
        usual = [one for one in usual if one.rows]
        pace = sum(one.seconds for one in usual) / sum(one.rows for one in usual)
        dearest = max(usual, key=lambda one: one.seconds).seconds
        return usual, [max(one.seconds - max(pace * one.rows, dearest), 0.0) for one in first]


def _per_row(tasks: Sequence[SampledTask]) -> Range:
    """Tell what a row costs in a full run, in seconds of a worker, at the least and at the most."""
    if not tasks:
        return 0.0, 0.0
    low, high = _ratio(tasks, lambda one: one.seconds)
    line = _line(tasks)
    if line is None:
        return low, high
    call, row, error = line
    per_task = min(TASK_SECONDS / max(row, 1e-9), _largest(tasks))
    return max(min(row - error, low), 0.0), max(min(high, row + error + call / per_task), row)


def _largest(tasks: Sequence[SampledTask]) -> float:
    """Tell how many rows the largest task of a full run has, about: rows are as long as they come out."""
    size = sum(one.bytes_out for one in tasks) / sum(one.rows for one in tasks)
    return max(LARGEST_TASK / max(size, 1.0), 1.0)


def _line(tasks: Sequence[SampledTask]) -> tuple[float, float, float] | None:
    """Fit a line by least squares: what a call costs, what a row costs, and the error of that; if lengths differ."""
    count = len(tasks)
    if count < _FEWEST_FOR_A_LINE or max(one.rows for one in tasks) < _LENGTHS_APART * min(one.rows for one in tasks):
        return None
    middle, mean = sum(one.rows for one in tasks) / count, sum(one.seconds for one in tasks) / count
    spread = sum((one.rows - middle) ** 2 for one in tasks)
    row = sum((one.rows - middle) * (one.seconds - mean) for one in tasks) / spread
    call = mean - row * middle
    left = sum((one.seconds - call - row * one.rows) ** 2 for one in tasks)
    error = _quantile(count - 2) * (left / (count - 2) / spread) ** 0.5
    return max(call, 0.0), max(row, 0.0), error


def _ratio(
    tasks: Sequence[SampledTask], measure: Callable[[SampledTask], float], *, likeness: Range = (1.0, 1.0)
) -> Range:
    """Tell how much of something a row has, at the least and at the most.

    The ratio estimator and its error (Cochran, Sampling Techniques, chapter 6), with Student's t for few tasks. One
    task alone shows no spread, so that the range is as wide as where a sample is of one place.
    """
    rows, count = sum(one.rows for one in tasks), len(tasks)
    if not rows:
        return 0.0, 0.0
    share = sum(map(measure, tasks)) / rows
    if count == 1:
        return share * _UNLIKE[0], share * _UNLIKE[1]
    squares = sum((measure(one) - share * one.rows) ** 2 for one in tasks)
    error = _quantile(count - 1) * (squares * count / (count - 1)) ** 0.5 / rows
    if not squares:
        return share, share
    return max(share - error, share * _LEAST_SHARE) * likeness[0], (share + error) * likeness[1]


def _quantile(freedom: int) -> float:
    """Tell Student's t for nine times in ten, within 3%."""
    return 1.645 + 1.5 / freedom + 3.2 / freedom**2


def _whole(rows: int, shares: Range) -> tuple[int, int]:
    return int(rows * shares[0]), -int(-rows * shares[1] // 1)
