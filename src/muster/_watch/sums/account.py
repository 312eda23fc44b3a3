"""The account of a run that advice is drawn from: who did what, for how long, and what there was to do it with."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from muster._model import Load, Seconds

from .run import RunView
from .worker import WorkerSums

_PACKED: Final = (".gz", ".zst", ".bz2", ".xz", ".zip")


@dataclass(frozen=True, slots=True)
class WorkDone:
    """What a worker has done; ``first`` is what its first tasks took, and how many rows these had."""

    name: str
    machine: str
    tasks: int
    rows: int
    seconds: Seconds
    cpu: float
    memory: int
    until: float
    """When its last task had ended, in seconds of the run."""
    first: Seconds = field(default_factory=Seconds)
    first_rows: int = 0
    is_of_last_attempt: bool = True
    """Whether it was there in the attempt that was the last."""


@dataclass(frozen=True, slots=True)
class Account:
    """What a run amounts to, added up: pure figures."""

    took: float
    """Seconds of work so far, or in all."""
    there: float
    """Seconds that workers were there, each counted."""
    workers: Sequence[WorkDone] = ()
    bad_rows: int = 0
    load: Load | None = None
    """Of the busiest machine, when it was told last."""
    engine: str = "cores"
    format: str = "csv"
    is_packed: bool = False
    """Whether every input is compressed."""
    is_over: bool = True
    is_stream: bool = False
    """Whether its inputs are followed: they are text, and batches end where epochs do."""

    @property
    def seconds(self) -> Seconds:
        """Add up where the workers' time went."""
        return sum((one.seconds for one in self.workers), Seconds())

    @property
    def first(self) -> Seconds:
        """Add up what the first tasks of workers took."""
        return sum((one.first for one in self.workers), Seconds())

    def of_the_run(self, seconds: float) -> float:
        """Tell by how much some seconds of workers made the run longer, had all of them shared these."""
        return seconds * self.took / self.there if self.there else 0.0


def account_of(view: RunView, *, is_over: bool) -> Account:
    """Take the account of a run whose events are added up."""
    view.settle()
    inputs = [str(one[0]).lower() for one in view.job.get("inputs", ())]
    since = view.attempts[-1].time if view.attempts else 0.0
    loads = [machine.load for machine in view.roster.machines.values() if machine.load is not None]
    names = [name[: -len(end)] for name in inputs for end in _PACKED if name.endswith(end)] or inputs
    return Account(
        took=view.time.seconds,
        there=sum(worker.stayed(view.time.seconds) for worker in view.roster.workers.values()),
        workers=[_done(worker, since=since) for worker in view.roster.workers.values() if worker.tasks],
        bad_rows=view.standing.bad_rows + view.standing.unkept.rows,
        load=max(loads, key=lambda load: load.cpu, default=None),
        engine=view.attempts[-1].engine if view.attempts else "cores",
        format="parquet" if names and all(name.endswith(".parquet") for name in names) else "text",
        is_packed=bool(inputs) and all(name.endswith(_PACKED) for name in inputs),
        is_over=is_over,
        is_stream="follows" in view.job,
    )


def _done(worker: WorkerSums, *, since: float) -> WorkDone:
    first = worker.first
    return WorkDone(
        name=worker.name,
        machine=worker.machine,
        tasks=worker.tasks,
        rows=worker.rows_in,
        seconds=worker.seconds,
        cpu=worker.cpu,
        memory=worker.memory,
        until=worker.until,
        first=first.seconds if first else Seconds(),
        first_rows=first.rows_in if first else 0,
        is_of_last_attempt=any(stay.stop is None or stay.stop > since for stay in worker.present),
    )
