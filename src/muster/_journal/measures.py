"""What a run's work comes to, worker by worker: pure sums, which the runner journals now and then and pages add up.

Times of batches are counted in bins a quarter of an octave wide, so that the counts of two workers, or of two hours,
add up, and a bound that is read off them is at most 19% above the truth. After HdrHistogram.
"""

import math
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, zip_longest
from typing import Any, Final, NamedTuple

from muster._model import Load, Outcome, Reason, Seconds, StepMeasure

BINS_AN_OCTAVE: Final = 4
"""A bin's upper edge is 19% above its lower one: percentiles are as exact as that."""

_SHORTEST_BIN: Final = -80
"""A microsecond; whatever is shorter counts as that."""

FIRST_SPAN: Final = 0.5
"""Seconds that the first measured events add up."""

_SPANS_A_RUN: Final = 600
"""A run of any length has about so many measured events: its journal stays small, and its page quick."""

_WORKERS_AT_FULL_PACE: Final = 28
"""Those of four machines. With more, what each did is told more rarely, as a line names all of them."""

MOST_REASONS: Final = 50
"""Reasons of rejects that are told apart, in a run: a function that names the row in each error has thousands."""

OTHER_REASONS: Final = "other reasons"


def bin_of(seconds: float) -> int:
    """Tell which bin a time belongs to."""
    return max(math.floor(math.log2(seconds) * BINS_AN_OCTAVE), _SHORTEST_BIN) if seconds > 0 else _SHORTEST_BIN


def upper_edge(number: int) -> float:
    """Tell which time, in seconds, all of a bin are below."""
    return float(2.0 ** ((number + 1) / BINS_AN_OCTAVE))


def bound(bins: Mapping[int, int], share: float) -> float | None:
    """Tell below which time, in seconds, this share of all calls was; ``None`` where there was none."""
    wanted, seen = share * sum(bins.values()), 0
    for number in sorted(bins):
        seen += bins[number]
        if seen >= wanted:
            return upper_edge(number)
    return None


def span(elapsed: float, workers: int) -> float:
    """Tell how many seconds the next measured event shall add up.

    Their number grows with the logarithm of the time, so that a run of days journals little more than one of an hour;
    with many workers they are rarer.
    """
    return max(FIRST_SPAN, elapsed / _SPANS_A_RUN) * max(1.0, workers / _WORKERS_AT_FULL_PACE)


class Spent(NamedTuple):
    """Where the time of workers went, in seconds; ``there`` is how long they were there, each counted.

    The one account of it, which the terminal, the page and the report give alike: shares are of ``there``.
    """

    read: float = 0.0
    function: float = 0.0
    sorting: float = 0.0
    write: float = 0.0
    transfer: float = 0.0
    lost: float = 0.0
    going: float = 0.0
    """In unfinished tasks, of which it is not known yet what the time went into."""
    waiting: float = 0.0
    there: float = 0.0

    @classmethod
    def of(cls, seconds: Seconds, *, there: float, going: float = 0.0) -> "Spent":
        """Combine what tasks report with the time that workers were there."""
        return cls(
            seconds.read,
            seconds.function,
            seconds.sorting,
            seconds.write,
            seconds.transfer,
            seconds.lost,
            going,
            seconds.waiting,
            there,
        )

    @property
    def busy(self) -> float:
        """Seconds that workers were at tasks: finished, failed or still going on."""
        return self.read + self.function + self.sorting + self.write + self.transfer + self.lost + self.going

    @property
    def rest(self) -> float:
        """Seconds that no task accounts for: before the first, between two, after the last."""
        return max(self.there - self.busy - self.waiting, 0.0)

    @property
    def busy_share(self) -> float | None:
        """Tell which share of their time workers were at tasks."""
        return self.share(self.busy)

    def share(self, seconds: float) -> float | None:
        """Tell which share some seconds are of the time that workers were there; ``None`` where none was."""
        return min(seconds / self.there, 1.0) if self.there > 0 else None


@dataclass(slots=True)
class StepSum:
    """What a step has done: rows, calls, seconds in the user's function, and how long each call took, in bins."""

    rows_in: int = 0
    rows_out: int = 0
    batches: int = 0
    seconds: float = 0.0
    bins: Counter[int] = field(default_factory=Counter)

    def count_call(self, seconds: float) -> None:
        """Count a call that took so long."""
        self.batches += 1
        self.seconds += seconds
        self.bins[bin_of(seconds)] += 1

    def add(self, other: "StepMeasure | StepSum") -> None:
        """Take in what was done besides."""
        self.rows_in += other.rows_in
        self.rows_out += other.rows_out
        self.batches += other.batches
        self.seconds += other.seconds
        bins = self.bins
        for number, count in other.bins.items():
            bins[number] = bins.get(number, 0) + count  # a `Counter` takes longer to find that it has none


@dataclass(slots=True)
class WorkerSum:
    """What a worker has done; ``memory`` in bytes is what it held last, ``cpu`` seconds of its processor."""

    tasks: int = 0
    rows_in: int = 0
    rows_out: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    bad_rows: int = 0
    seconds: Seconds = field(default_factory=Seconds)
    cpu: float = 0.0
    memory: int = 0
    steps: list[StepSum] = field(default_factory=list)

    def add(self, other: "WorkerSum") -> None:
        """Take in what was done besides."""
        for name in _COUNTS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.seconds += other.seconds
        self.cpu += other.cpu
        self.memory = other.memory or self.memory
        self.add_steps(other.steps)

    def add_steps(self, steps: "Iterable[StepMeasure | StepSum]") -> None:
        """Take in what each step did besides."""
        known = self.steps
        for at, step in enumerate(steps):
            if at == len(known):
                known.append(StepSum())
            known[at].add(step)


_COUNTS: Final = ("tasks", "rows_in", "rows_out", "bytes_in", "bytes_out", "bad_rows")
_SECONDS: Final = Seconds._fields
_LOAD: Final = Load._fields
_AT_SECONDS: Final = len(_COUNTS)
_AT_TOTAL: Final = _SECONDS.index("total")
_DIGITS: Final = 6
"""Microseconds."""

_NOTHING: Final = (0, 0, 0, 0.0, ())
"""What an event tells of a step that no row came to."""


@dataclass(slots=True)
class Measures:
    """What was done in a stretch of a run: by workers, with the load of machines and the reasons of rejects."""

    workers: dict[str, WorkerSum] = field(default_factory=dict)
    machines: dict[str, Load] = field(default_factory=dict)
    reasons: dict[tuple[str, str], Reason] = field(default_factory=dict)

    def __bool__(self) -> bool:
        """Tell whether there is anything to tell."""
        return bool(self.workers)

    def note(self, worker: str, machine: str, outcome: Outcome, *, is_kept: bool = True) -> None:
        """Add what a task came to; of one that is not kept only its time, as its rows will be done again."""
        found = self.workers.get(worker)
        if found is None:
            found = self.workers[worker] = WorkerSum()
        found.tasks += 1
        found.seconds += outcome.seconds
        found.cpu += outcome.cpu
        found.memory = outcome.memory or found.memory
        if outcome.load is not None and machine:  # this computer is no machine of a run on others
            self.machines[machine] = outcome.load
        if is_kept:
            found.rows_in += outcome.rows_in
            found.rows_out += outcome.rows_out
            found.bytes_in += outcome.task.stop - outcome.task.start
            found.bytes_out += outcome.output.bytes if outcome.output else 0
            found.bad_rows += outcome.bad_rows
            found.add_steps(outcome.steps)
            self.add_reasons(outcome.reasons)

    def spend(self, worker: str, seconds: Seconds) -> None:
        """Add time that a worker spent in vain."""
        self.workers.setdefault(worker, WorkerSum()).seconds += seconds

    def add_reasons(self, reasons: Iterable[Reason]) -> None:
        """Count rejects by their reasons, of which so many are told apart."""
        for reason in reasons:
            key = reason.step, reason.error
            if key not in self.reasons and len(self.reasons) >= MOST_REASONS:
                reason = Reason("", OTHER_REASONS, reason.rows, reason.example)  # noqa: PLW2901 (it counts as that)
                key = reason.step, reason.error
            before = self.reasons.get(key)
            rows, example = (before.rows, before.example) if before else (0, reason.example)
            self.reasons[key] = Reason(reason.step, reason.error, rows + reason.rows, example)

    def as_fields(self, *, known: Collection[tuple[str, str]] = ()) -> dict[str, Any]:
        """Write as fields of an event: lists in the order of the fields here, no examples of known reasons."""
        return {
            "workers": {name: _worker_as_fields(worker) for name, worker in self.workers.items()},
            "machines": {name: [getattr(load, one) for one in _LOAD] for name, load in self.machines.items()},
            "reasons": [
                [one.step, one.error, one.rows, "" if key in known else one.example]
                for key, one in self.reasons.items()
            ],
        }


def _worker_as_fields(worker: WorkerSum) -> list[Any]:
    return [
        *(getattr(worker, name) for name in _COUNTS),
        [round(seconds, _DIGITS) for seconds in worker.seconds],
        round(worker.cpu, _DIGITS),
        worker.memory,
        [
            [step.rows_in, step.rows_out, step.batches, round(step.seconds, _DIGITS), sorted(step.bins.items())]
            for step in worker.steps
        ],
    ]


def added(told: Sequence[Sequence[Any]]) -> WorkerSum:
    """Add up what events tell of one worker, as ``Measured.as_fields`` wrote it: many at once, which is cheaper."""
    *counts, seconds, cpu, memory, steps = zip(*told, strict=True)
    return WorkerSum(
        **dict(zip(_COUNTS, map(sum, counts), strict=True)),
        seconds=Seconds(*map(sum, zip_longest(*seconds, fillvalue=0.0))),  # an earlier muster told of fewer kinds
        cpu=sum(cpu),
        memory=next(filter(None, reversed(memory)), 0),
        steps=[_step_added(told_of_step) for told_of_step in zip_longest(*steps, fillvalue=_NOTHING)],
    )


def _step_added(told: Sequence[Sequence[Any]]) -> StepSum:
    rows_in, rows_out, batches, seconds, bins = zip(*told, strict=True)
    found = StepSum(sum(rows_in), sum(rows_out), sum(batches), sum(seconds))
    for number, count in chain.from_iterable(bins):
        found.bins[number] += count
    return found


def task_seconds(told: Sequence[Any]) -> float:
    """Read how many seconds the tasks of a worker took, from what a measured event tells of it."""
    return float(told[_AT_SECONDS][_AT_TOTAL])
