"""The figures of a whole run, a step, a machine or a worker: the same for each, so that each can be shown alike."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from muster._journal.measures import Spent, bound
from muster._model import Seconds
from muster._watch.charts import Shares

from .run import RunView
from .series import rates, total
from .worker import FUNCTION, LOST, READ, ROWS_IN, ROWS_OUT, SORTING, WRITE, WorkerSums

SHARES: Final = (0.5, 0.95, 0.99, 0.999, 0.9999)
"""The percentiles that the seed system's page shows."""

_LEAST_SHARE: Final = 0.75
"""Of the time so far: where more than one worker in ten is long at a task, the last quarter is shown later."""

SHARE_NAMES: Final = ("50%", "95%", "99%", "99.9%", "99.99%")


@dataclass(frozen=True, slots=True)
class Figures:
    """What some workers did: rows, calls of the function and how long each took, and rows a second over time."""

    rows_in: int
    rows_out: int
    calls: int
    bins: Counter[int]
    rates_in: Sequence[float]
    rates_out: Sequence[float]
    until: float
    """Up to when the rates are known, in seconds of the run: tasks that still go on have not counted."""

    @property
    def bounds(self) -> list[float | None]:
        """Tell below which time 50, 95, 99, 99.9 and 99.99% of the calls were, in seconds."""
        return [bound(self.bins, share) for share in SHARES]


def of_workers(view: RunView, workers: Sequence[WorkerSums], now: float) -> Figures:
    """Add up what some workers did until now, in seconds of the run."""
    bins: Counter[int] = Counter()
    for worker in workers:
        bins.update(_bins_of(worker))
    channels = [worker.series.at(view.roster.clock) for worker in workers]
    until = _known_until(workers, now)
    return Figures(
        rows_in=sum(worker.rows_in for worker in workers),
        rows_out=sum(worker.rows_out for worker in workers),
        calls=sum(step.batches for worker in workers for step in worker.steps),
        bins=bins,
        rates_in=rates(total(channel[ROWS_IN] for channel in channels), view.roster.clock, until),
        rates_out=rates(total(channel[ROWS_OUT] for channel in channels), view.roster.clock, until),
        until=until,
    )


def of_step(view: RunView, number: int, now: float) -> Figures:
    """Add up what was done in a step, counted from 0, until now."""
    steps = [worker.steps[number] for worker in view.roster.workers.values() if number < len(worker.steps)]
    bins: Counter[int] = Counter()
    for step in steps:
        bins.update(step.bins)
    channels = view.roster.steps[number].at(view.roster.clock) if number < len(view.roster.steps) else [[0.0], [0.0]]
    until = _known_until(view.roster.workers.values(), now)
    return Figures(
        rows_in=sum(step.rows_in for step in steps),
        rows_out=sum(step.rows_out for step in steps),
        calls=sum(step.batches for step in steps),
        bins=bins,
        rates_in=rates(channels[0], view.roster.clock, until),
        rates_out=rates(channels[1], view.roster.clock, until),
        until=until,
    )


def spent(workers: Iterable[WorkerSums], now: float, *, all_busy: bool) -> Spent:
    """Add up where the time of some workers went until ``now``; where all are busy, until each one's last task ended.

    A worker that is busy says nothing before its task ends: the time since then would show as idle.
    """
    mine = list(workers)
    return Spent.of(
        sum((worker.seconds for worker in mine), Seconds()),
        there=sum(worker.stayed(_known_of(worker, now, all_busy=all_busy)) for worker in mine),
        going=sum(worker.going(now) for worker in mine),
    )


def _known_of(worker: WorkerSums, now: float, *, all_busy: bool) -> float:
    """Tell up to when the time of a worker counts."""
    return min(worker.until, now) if all_busy and worker.tasks and worker.at_task_since is None else now


def activity(view: RunView, worker: WorkerSums, now: float) -> list[Shares]:
    """Tell for each bucket which share of it (of 1) went into each of ``charts.ACTIVITIES``.

    All shares are 0 while the worker was absent, and after the last task that it has finished: nobody knows yet what it
    does since then.
    """
    channels, width = worker.series.at(view.roster.clock), view.roster.clock.width
    found = []
    for at in range(min(int(now / width) + 1, len(channels[0]))):
        start, stop = at * width, min((at + 1) * width, now)
        length = max(stop - start, 1e-9)
        known = worker.until if worker.is_there and worker.tasks and worker.at_task_since is None else now
        there = sum(
            max(min(stop, known if stay.stop is None else stay.stop) - max(start, stay.start), 0.0)
            for stay in worker.present
        )
        busy = [channels[one][at] / length for one in (READ, FUNCTION, SORTING, WRITE, LOST)]
        scale = 1 / sum(busy) if sum(busy) > 1 else 1.0
        done = [share * scale for share in busy]
        going = max(stop - max(start, worker.at_task_since), 0.0) / length if worker.at_task_since is not None else 0.0
        done.append(min(going, max(there / length - sum(done), 0.0)))
        found.append((*done, max(there / length - sum(done), 0.0)))
    return found


def _known_until(workers: Iterable[WorkerSums], now: float) -> float:
    """Tell up to when all is known of nine workers in ten; one that is long at a task does not hold up the rest."""
    times = sorted(worker.until for worker in workers if worker.is_there and worker.tasks)
    return max(min(times[len(times) // 10], now), now * _LEAST_SHARE) if times else now


def _bins_of(worker: WorkerSums) -> Counter[int]:
    bins: Counter[int] = Counter()
    for step in worker.steps:
        bins.update(step.bins)
    return bins
