"""The tables of a run at a moment: a line for each worker, each machine and each step."""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from muster._journal.measures import Spent, StepSum, bound

from . import figures
from .figures import Figures
from .roster import MachineSums, Roster
from .run import RunView
from .worker import WorkerSums

_DIGITS: Final = re.compile(r"(\d+)")

SpentBy = Callable[[Iterable[WorkerSums]], Spent]
"""Adds up where the time of some workers went, at the moment of the tables."""


@dataclass(frozen=True, slots=True)
class WorkerRow:
    """A line of the table of workers."""

    worker: WorkerSums
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

    machine: MachineSums
    workers: int
    there: int
    spent: Spent
    rows_in: int
    pace: float
    lease_left: float | None
    cpu: float
    """Seconds of the processor that its workers' tasks took."""
    at_tasks: float
    """Seconds that those tasks took, each counted."""


@dataclass(frozen=True, slots=True)
class StepRow:
    """A line of the table of steps; ``number`` counts from 1."""

    number: int
    name: str
    figures: Figures
    seconds: float


def workers_of(roster: Roster, known: float, *, spent_by: SpentBy) -> list[WorkerRow]:
    """Lay out the workers; ``known`` is up to when their rows are known, in seconds of the run."""
    paces = roster.worker_paces.of_each_worker(known)
    return [
        WorkerRow(
            worker,
            spent_by([worker]),
            _sum(worker.steps),
            paces.get(worker.name, 0.0) if worker.is_there else None,
        )
        for worker in in_order(roster.workers.values())
    ]


def machines_of(
    roster: Roster, rows: Sequence[WorkerRow], *, spent_by: SpentBy, leases_at: float | None
) -> list[MachineRow]:
    """Lay out the machines of some workers; ``leases_at`` is the time by the clock, ``None`` where no lease counts."""
    of: dict[str, list[WorkerRow]] = {name: [] for name in roster.machines}
    for row in rows:
        of.setdefault(row.worker.machine, []).append(row)
    return [
        _machine(roster.machines.get(name) or MachineSums(name), of[name], spent_by=spent_by, leases_at=leases_at)
        for name in sorted(of, key=_counted)
        if name  # of a worker that nobody told to have joined
    ]


def _machine(
    machine: MachineSums, rows: Sequence[WorkerRow], *, spent_by: SpentBy, leases_at: float | None
) -> MachineRow:
    return MachineRow(
        machine=machine,
        workers=len(rows),
        there=sum(row.worker.is_there for row in rows),
        spent=spent_by([row.worker for row in rows]),
        rows_in=sum(row.worker.rows_in for row in rows),
        pace=sum(row.pace or 0.0 for row in rows),
        lease_left=machine.lease_left(leases_at) if leases_at is not None else None,
        cpu=sum(row.worker.cpu for row in rows),
        at_tasks=sum(row.worker.seconds.total - row.worker.seconds.lost for row in rows),
    )


def steps_of(view: RunView, names: Sequence[str], known: float) -> list[StepRow]:
    """Lay out the steps."""
    return [
        StepRow(at + 1, name, figures.of_step(view, at, known), _seconds_in(view.roster, at))
        for at, name in enumerate(names)
    ]


def _seconds_in(roster: Roster, step: int) -> float:
    return sum(worker.steps[step].seconds for worker in roster.workers.values() if step < len(worker.steps))


def in_order(workers: Iterable[WorkerSums]) -> list[WorkerSums]:
    """Sort workers by their names as people count."""
    return sorted(workers, key=lambda worker: _counted(worker.name))


def _sum(steps: Sequence[StepSum]) -> StepSum:
    whole = StepSum()
    for step in steps:
        whole.add(step)
    return whole


def _counted(name: str) -> list[tuple[int, str]]:
    """Make a key that puts m2 before m10."""
    return [(int(piece), "") if piece.isdecimal() else (0, piece) for piece in _DIGITS.split(name) if piece]
