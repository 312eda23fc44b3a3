"""A run at a moment: whether it goes on, how fast, and how long the rest takes."""

import time
from collections.abc import Iterable
from dataclasses import replace
from functools import cached_property
from typing import Final

from muster import _words as words
from muster._journal.measures import Measures, Spent
from muster._journal.runs import KnownRun
from muster._journal.status import RunState, status
from muster._model import Reason
from muster._run.telling.under_way import StuckRows
from muster._show.mending import to_mend_of

from . import figures, tables
from .figures import Figures
from .run import RunView
from .stream import StreamStanding
from .tables import MachineRow, StepRow, WorkerRow
from .worker import WorkerSums

_TELLS_WITHIN: Final = 15.0
"""Seconds of silence that are remarkable: three times the longest that a runner at work leaves."""


def look_at(known: KnownRun) -> "Moment":
    """Look at a run as it is now, by its whole journal. Raises ``UnreadableError``, or ``OSError`` where it is gone."""
    view = RunView(known.run)
    view.take_all(known.entries())
    view.count(known)
    return Moment(view, known.state, time.time())


class Moment:
    """A run at a time of the clock; use it at once, as it sees later events only in part."""

    def __init__(self, view: RunView, state: RunState, at: float) -> None:
        """Look at it now."""
        view.settle()
        self.view = view
        self.standing, self.roster, self.time = view.standing, view.roster, view.time
        self.state = state
        self.at = at
        self.now = view.time.by(at) if self.is_going else view.time.seconds
        self.known = view.time.seconds
        """Up to when anything is known, in seconds of the run."""

    @property
    def is_going(self) -> bool:
        """Tell whether its process is alive."""
        return self.state is RunState.RUNNING and self.view.stopped is None and self.view.result is None

    @property
    def badge(self) -> tuple[str, str]:
        """Say what became of it: a kind, and in words."""
        if self.is_going:
            return "running", "starting" if self.is_starting else "running"
        if self.status == "finished":
            return ("bad", "finished, with bad rows") if self.standing.bad_rows else ("finished", "finished")
        return self.status, self.status

    @property
    def status(self) -> str:
        """Say in one word how it is."""
        error = self.view.stopped[0] if self.view.stopped else None
        return status(self.state, error=error, has_finished=self.view.result is not None)

    @property
    def is_starting(self) -> bool:
        """Tell whether no worker has joined yet, in this attempt."""
        began = self.view.attempts[-1].time if self.view.attempts else 0.0
        stays = (worker.present[-1] for worker in self.roster.workers.values() if worker.present)
        return self.is_going and not any(stay.stop is None or stay.start >= began for stay in stays)

    @property
    def silence(self) -> float | None:
        """Seconds without an event, if that is remarkable: a run at work writes one every few seconds."""
        seconds = self.at - self.time.last_at
        is_at_work = self.is_going and not self.is_starting and self.standing.phase == "working"
        return seconds if is_at_work and seconds > _TELLS_WITHIN else None

    @property
    def held(self) -> StuckRows | None:
        """The call that seems to hang, if any, as of now."""
        held = self.standing.pace.held
        return replace(held, seconds=held.seconds + self.at - self.time.last_at) if held and self.is_going else None

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

    @cached_property
    def stream(self) -> StreamStanding | None:
        """Tell how a stream stands, or stood when it was heard of last; ``None`` for a run that is none."""
        at = self.at if self.is_going else self.time.last_at
        return StreamStanding.of(self.view.stream, at) if self.view.stream else None

    @property
    def share(self) -> float | None:
        """Tell which share of the rows is done; ``None`` while nobody knows how many there are."""
        total = self.standing.rows_total
        if self.view.result is not None:
            return 1.0
        return None if total is None else self.standing.rows_done / total if total else 1.0

    @cached_property
    def left(self) -> tuple[float, float] | None:
        """Tell in how many seconds it will be done, at least and at most."""
        left, passed = self.standing.pace.seconds_left, max(self.at - self.time.last_at, 0.0)
        if (
            left is None
            or not self.is_going
            or self.silence
            or self.held
            or self.standing.rows_done == self.standing.rows_total
        ):
            return None
        low, high = (max(one - passed, 0.0) for one in left)
        return (low, high) if high else None

    @property
    def pace(self) -> float | None:
        """Tell how many rows a second were done in the last minute; of a run that is over, in all its time."""
        if self.is_going:
            return None if self.silence else self.standing.pace.rows_per_second
        if self.view.result is not None and self.time.processes <= 1:
            return float(self.view.result["rows_per_second"])
        return self.standing.rows_done / self.now if self.now else None

    @property
    def took(self) -> float:
        """Tell how many seconds it has taken so far, or took, in all its attempts."""
        return self.now if self.is_going else self.time.took(self.view.result)

    @property
    def bad_rows(self) -> int:
        """Count the rows that were rejected; with those of the task that stopped it."""
        return self.standing.bad_rows + self.standing.unkept.rows

    @property
    def dropped(self) -> int | None:
        """Tell how many rows the function left out, less those it added.

        ``None`` where nobody told what is written, and of groups and states, whose functions make one row of many.
        """
        rows = self.view.standing
        if rows.rows_out is None or self.view.job.get("groups"):
            return None
        return rows.rows_done - rows.rows_out - rows.bad_rows

    @property
    def there(self) -> int:
        """Tell how many workers are there now; of a run that is over, how many there were."""
        if self.is_going:
            return sum(worker.is_there for worker in self.roster.workers.values())
        told = int(self.view.result["workers"]) if self.view.result is not None else 0
        return told or len(self.roster.workers)  # 0 workers are asked for where muster's own process is the one

    @property
    def unmeasured(self) -> int:
        """Tell how many rows an attempt did that ended before it told what they took; only of a run that is over."""
        told = sum(worker.rows_in for worker in self.roster.workers.values())
        return 0 if self.is_going or not told else max(self.standing.rows_done - told, 0)

    @property
    def dollars(self) -> float | None:
        """Tell what it has cost."""
        return self.view.dollars(self.now)

    @property
    def is_cost_unknown(self) -> bool:
        """Tell whether it costs something, and nobody knows how much."""
        return self.roster.billing.bill.is_unknown

    @cached_property
    def figures(self) -> Figures:
        """Add up the whole run."""
        return figures.of_workers(self.view, [*self.roster.workers.values()], self.known)

    @cached_property
    def spent(self) -> Spent:
        """Add up where the time of all workers went."""
        return self.spent_by(self.roster.workers.values())

    def spent_by(self, workers: Iterable[WorkerSums]) -> Spent:
        """Add up where the time of some workers went."""
        all_busy = self.is_going and self.standing.running >= self.there
        return figures.spent(workers, self.now if all_busy else self.known, all_busy=all_busy)

    @property
    def rejected(self) -> list[Reason]:
        """List the reasons of rejects, most rows first."""
        reasons = Measures(reasons=dict(self.view.reasons.reasons))
        reasons.add_reasons(self.standing.unkept.reasons)
        return sorted(reasons.reasons.values(), key=lambda reason: -reason.rows)

    @property
    def rejects(self) -> str | None:
        """Name the file of rejects, once there is one: it appears with the output."""
        return self.view.result["rejects"] if self.view.result is not None else None

    @property
    def to_mend(self) -> str:
        """Say what to do about bad rows, once it is finished; a stream does none again."""
        return to_mend_of(self.view.result) if self.view.result is not None else ""

    @cached_property
    def workers(self) -> list[WorkerRow]:
        """Lay out the workers, in the order of their names as people count."""
        return tables.workers_of(self.roster, self.known, spent_by=self.spent_by)

    @cached_property
    def machines(self) -> list[MachineRow]:
        """Lay out the machines."""
        leases_at = self.at if self.is_going else None
        return tables.machines_of(self.roster, self.workers, spent_by=self.spent_by, leases_at=leases_at)

    @cached_property
    def steps(self) -> list[StepRow]:
        """Lay out the steps."""
        return tables.steps_of(self.view, self.names, self.known)

    def ordered(self, machine: str | None = None) -> list[WorkerSums]:
        """List the workers, of one machine or all, in the order of their names as people count."""
        mine = self.roster.workers.values() if machine is None else self.roster.of_machine(machine)
        return tables.in_order(mine)

    @property
    def over(self) -> str:
        """Say how long its attempts lie apart, where there are several."""
        if not self.time.paused or self.time.begun is None:
            return ""
        return f"of work, over {words.duration(self.now + self.time.paused)}"

    @property
    def settled(self) -> list[tuple[str, str, float]]:
        """Say what became of the rows that are done: a kind, in words, and how many."""
        rows, dropped = self.standing, self.dropped
        if rows.rows_out is None or not rows.rows_done:
            return []
        return [
            ("written", f"{rows.rows_out:,} written", min(rows.rows_out, rows.rows_done - rows.bad_rows)),
            ("rejected", f"{rows.bad_rows:,} rejected", rows.bad_rows),
            *([("dropped", _left_out(dropped), max(dropped, 0))] if dropped else []),
        ]

    @property
    def breaks(self) -> list[tuple[float, str]]:
        """Tell when nobody was at work, in seconds of the run, and for how long."""
        return [(one.time, f"nobody at work for {words.duration(one.away)}") for one in self.view.breaks]

    @property
    def is_one_computer(self) -> bool:
        """Tell whether its machines are all on the computer that it was started on."""
        return len(self.machines) > 1 and bool(self.view.attempts) and self.view.attempts[-1].is_one_computer


def _left_out(rows: int) -> str:
    return f"{rows:,} dropped by the function" if rows >= 0 else f"{-rows:,} more than came in"
