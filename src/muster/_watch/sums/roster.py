"""Who works on a run: workers and machines, what they did when, and what the machines cost."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from muster._journal import events
from muster._journal.billing import Billing
from muster._journal.measures import task_seconds
from muster._model import Load

from .series import Buckets, Series
from .worker import WorkerSums
from .worker_paces import Burst, WorkerPaces

_STEP_CHANNELS: Final = 2
"""Rows in, and rows out."""

_SETTLED_AT_ONCE: Final = 10
"""So many measured events, which are 2% of a run at most; with few workers fewer, as that costs little."""

_WORKERS_AN_EVENT: Final = 12
"""So many workers are worth waiting for one event more, as adding up costs by the worker."""


@dataclass(slots=True)
class MachineSums:
    """One computer of a run: its load when last told, and its lease, which began at ``renewed`` by the clock."""

    name: str
    load: Load | None = None
    lease: float | None = None
    """In seconds."""
    renewed: float = 0.0

    def lease_left(self, at: float) -> float | None:
        """Tell how many seconds it may still live, unless it is renewed."""
        return None if self.lease is None else max(self.renewed + self.lease - at, 0.0)


@dataclass(slots=True)
class Roster:
    """The workers and machines of all attempts. Times are in seconds of work; ``now`` is that of the event."""

    workers: dict[str, WorkerSums] = field(default_factory=dict)
    machines: dict[str, MachineSums] = field(default_factory=dict)
    clock: Buckets = field(default_factory=Buckets)
    steps: list[Series] = field(default_factory=list)
    """Rows in and out of each step, over time."""
    worker_paces: WorkerPaces = field(default_factory=WorkerPaces)
    billing: Billing = field(default_factory=Billing)
    _unsettled: int = 0

    def begin(self) -> None:
        """Begin with an attempt."""
        self.worker_paces = WorkerPaces()

    def machine(self, name: str) -> MachineSums:
        """Find a machine, or meet it."""
        return self.machines.setdefault(name, MachineSums(name))

    def join(self, event: events.WorkerJoined, now: float) -> None:
        """Know that a worker is there."""
        worker = self._met(event.worker, now)
        worker.machine = event.machine
        self.machine(event.machine)

    def leave(self, name: str, now: float, *, reason: str = "") -> bool:
        """Know that a worker is gone; tell whether it was known."""
        worker = self.workers.get(name)
        if worker is None:
            return False
        worker.leave(now, reason=reason)
        return True

    def leave_all(self, now: float) -> None:
        """Know that no worker is there any more."""
        for name in self.workers:
            self.leave(name, now)

    def measure(self, event: events.Measured, now: float) -> None:
        """Take in what workers did, and how busy machines are."""
        for name, told in event.workers.items():
            worker = self.workers.get(name) or self._met(name, now)
            worker.take(told, now - max(event.span, task_seconds(told)), now)
        for name, worker in self.workers.items():
            seconds = event.at_work.get(name)
            worker.at_task_since = None if seconds is None else now - seconds
        self._unsettled += 1
        if self._unsettled >= min(len(self.workers) // _WORKERS_AN_EVENT, _SETTLED_AT_ONCE):
            self.settle(now)
        for name, load in event.machines.items():
            self.machine(name).load = Load(*load)

    def settle(self, now: float) -> None:
        """Add up what was told of workers lately; before that their sums lag a few events behind."""
        bursts: dict[str, Burst] = {}
        steps: list[list[float]] = []
        self._unsettled, began = 0, now
        for name, worker in self.workers.items():
            settled = worker.settle(self.clock)
            if settled is None:
                continue
            done, since, _ = settled
            bursts[name] = done.rows_in, since
            began = min(began, since)
            for at, step in enumerate(done.steps):
                if at == len(steps):
                    steps.append([0.0, 0.0])
                steps[at][0] += step.rows_in
                steps[at][1] += step.rows_out
        if bursts:
            self._settle_steps(steps, began, now)
            self.worker_paces.add(now, bursts)

    def _settle_steps(self, steps: list[list[float]], since: float, now: float) -> None:
        shares = self.clock.split(since, now)
        for at, sums in enumerate(steps):
            if at == len(self.steps):
                self.steps.append(Series(_STEP_CHANNELS))
            self.steps[at].add(self.clock, shares, sums)

    def of_machine(self, name: str) -> Iterator[WorkerSums]:
        """Yield the workers of a machine."""
        return (worker for worker in self.workers.values() if worker.machine == name)

    def _met(self, name: str, now: float) -> WorkerSums:
        """Find a worker, or meet it, though nobody told that it joined."""
        worker = self.workers.get(name)
        if worker is None:
            worker = self.workers[name] = WorkerSums(name=name)
        worker.join(now)
        return worker
