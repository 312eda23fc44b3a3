"""A look at a run at a moment: its view, whether it goes on, and the tables that are made of it."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from muster._history import State
from muster._measures import StepSum, bound
from muster._model import Reason
from muster._planner import remaining
from muster._watch import figures
from muster._watch.figures import Figures, Spent
from muster._watch.view import Machine, RunView
from muster._watch.worker import Worker

_DIGITS: Final = re.compile(r"(\d+)")


@dataclass(frozen=True, slots=True)
class WorkerRow:
    """A line of the table of workers."""

    worker: Worker
    spent: Spent
    steps: StepSum
    pace: float | None

    @property
    def bounds(self) -> tuple[float | None, float | None]:
        """Tell below which time half of its calls were, and 99%."""
        return bound(self.steps.bins, 0.5), bound(self.steps.bins, 0.99)


@dataclass(frozen=True, slots=True)
class MachineRow:
    """A line of the table of machines."""

    machine: Machine
    workers: int
    there: int
    spent: Spent
    rows_in: int
    pace: float
    lease_left: float | None


@dataclass(frozen=True, slots=True)
class StepRow:
    """A line of the table of steps; ``number`` counts from 1."""

    number: int
    name: str
    figures: Figures
    seconds: float


class Look:
    """Tell about a run at a time of the clock. A look is for one moment: it sees later events only in part."""

    def __init__(self, view: RunView, state: State, at: float) -> None:
        """Look at it now."""
        view.settle()
        self.view = view
        self.state = state
        self.at = at
        self.now = view.elapsed(at, going=self.is_going)
        self.known = view.last
        """Up to when anything is known, in seconds of the run."""

    @property
    def is_going(self) -> bool:
        """Tell whether its process is alive."""
        return self.state is State.RUNNING and self.view.stopped is None and self.view.result is None

    @property
    def badge(self) -> tuple[str, str]:
        """Say what became of it: a kind, and in words."""
        if self.is_going:
            return "running", self.view.phase or "starting"
        if self.view.result is not None or self.state is State.FINISHED:
            return ("bad", "finished, with bad rows") if self.view.bad_rows else ("finished", "finished")
        return ("stopped", "stopped") if self.view.stopped else ("stopped", "interrupted")

    @property
    def names(self) -> list[str]:
        """Name the steps."""
        return [str(step[0]) for step in self.view.job.get("steps", ())]

    @property
    def short_names(self) -> str:
        """Name the steps without where they are found."""
        return " | ".join(name.rpartition(":")[2] or name for name in self.names)

    @property
    def inputs(self) -> str:
        """Name the input; of many files the first."""
        files = [str(one[0]) for one in self.view.job.get("inputs", ())]
        return f"{files[0]} and {len(files) - 1:,} more" if len(files) > 1 else "".join(files)

    @property
    def share(self) -> float | None:
        """Tell which share of the rows is done; ``None`` while nobody knows how many there are."""
        total = self.view.rows_total
        if self.view.result is not None:
            return 1.0
        return None if total is None else self.view.rows_done / total if total else 1.0

    @cached_property
    def left(self) -> tuple[float, float] | None:
        """Tell in how many seconds it will be done, at least and at most."""
        total = self.view.rows_total
        if not self.is_going or total is None or self.view.rows_done >= total:
            return None
        return remaining([(1.0, pace) for pace in self.view.recent.paces()], total - self.view.rows_done)

    @property
    def pace(self) -> float | None:
        """Tell how many rows a second are done now; of a run that is over, how many were."""
        if self.is_going:
            return self.view.recent.lately()
        return self.view.rows_done / self.now if self.now else None

    @property
    def there(self) -> int:
        """Tell how many workers are there now; of a run that is over, how many there were."""
        if self.is_going:
            return sum(worker.is_there for worker in self.view.workers.values())
        told = int(self.view.result["workers"]) if self.view.result is not None else 0
        return told or len(self.view.workers)  # 0 workers are asked for where muster's own process is the one

    @property
    def unmeasured(self) -> int:
        """Tell how many rows an attempt did that ended before it told what they took; only of a run that is over."""
        told = sum(worker.rows_in for worker in self.view.workers.values())
        return 0 if self.is_going or not told else max(self.view.rows_done - told, 0)

    @property
    def dollars(self) -> float | None:
        """Tell what it has cost."""
        return self.view.dollars(self.now)

    @cached_property
    def figures(self) -> Figures:
        """Add up the whole run."""
        return figures.of_workers(self.view, [*self.view.workers.values()], self.known)

    @cached_property
    def spent(self) -> Spent:
        """Add up where the time of all workers went."""
        return self.spent_by(self.view.workers.values())

    def spent_by(self, workers: Iterable[Worker]) -> Spent:
        """Add up where the time of some workers went."""
        all_busy = self.is_going and self.view.running >= self.there
        return figures.spent(workers, self.now if all_busy else self.known, all_busy=all_busy)

    @property
    def rejected(self) -> list[Reason]:
        """List the reasons of rejects, most rows first."""
        return sorted(self.view.reasons.reasons.values(), key=lambda reason: -reason.rows)

    @property
    def rejects(self) -> str:
        """Name the file of rejects."""
        told = self.view.result["rejects"] if self.view.result is not None else None
        return str(told or f"{str(self.view.job.get('output', '')).rstrip('/')}.rejects.jsonl")

    @cached_property
    def workers(self) -> list[WorkerRow]:
        """Lay out the workers, in the order of their names as people count."""
        paces = self.view.recent.of_each_worker()
        return [
            WorkerRow(
                worker,
                self.spent_by([worker]),
                _sum(worker.steps),
                paces.get(worker.name, 0.0) if worker.is_there else None,
            )
            for worker in self.ordered()
        ]

    @cached_property
    def machines(self) -> list[MachineRow]:
        """Lay out the machines."""
        rows: dict[str, list[WorkerRow]] = {name: [] for name in self.view.machines}
        for row in self.workers:
            rows.setdefault(row.worker.machine, []).append(row)
        return [self._machine(name, rows[name]) for name in sorted(rows, key=_counted) if name]

    @cached_property
    def steps(self) -> list[StepRow]:
        """Lay out the steps."""
        return [
            StepRow(at + 1, name, figures.of_step(self.view, at, self.known), self._step_seconds(at))
            for at, name in enumerate(self.names)
        ]

    def ordered(self, machine: str | None = None) -> list[Worker]:
        """List the workers, of one machine or all, in the order of their names as people count."""
        mine = (one for one in self.view.workers.values() if machine is None or one.machine == machine)
        return sorted(mine, key=lambda worker: _counted(worker.name))

    def _machine(self, name: str, rows: Sequence[WorkerRow]) -> MachineRow:
        machine = self.view.machines.get(name) or Machine(name)
        return MachineRow(
            machine,
            len(rows),
            sum(row.worker.is_there for row in rows),
            self.spent_by([row.worker for row in rows]),
            sum(row.worker.rows_in for row in rows),
            sum(row.pace or 0.0 for row in rows),
            machine.lease_left(self.at) if self.is_going else None,
        )

    def _step_seconds(self, number: int) -> float:
        workers = self.view.workers.values()
        return sum(worker.steps[number].seconds for worker in workers if number < len(worker.steps))


def _sum(steps: Sequence[StepSum]) -> StepSum:
    found = StepSum()
    for step in steps:
        found.add(step)
    return found


def _counted(name: str) -> list[tuple[int, str]]:
    """Make a key that puts m2 before m10."""
    return [(int(piece), "") if piece.isdecimal() else (0, piece) for piece in _DIGITS.split(name) if piece]
