"""What the events of a run add up to, for those who look at it: bounded in size, however long it takes."""

import gc
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from muster._journal import events
from muster._journal.events import Event
from muster._journal.file import Entry
from muster._journal.kept_rows import rows_kept
from muster._journal.measures import Measures
from muster._journal.runs import KnownRun
from muster._journal.status import RunState, became_of
from muster._journal.streaming import StreamSums
from muster._journal.work_time import WorkTime
from muster._model import Reason, StageDone
from muster._planner import Plan
from muster._words import duration

from .log import Log
from .roster import Roster
from .standing import RunStanding

_UNSEEN: Final = events.ONLY_TO_RESUME | {events.Other}


@dataclass(frozen=True, slots=True)
class AttemptSums:
    """One process's work on a run; ``time`` is when it began, in seconds of the run."""

    number: int
    time: float
    engine: str
    workers: int
    process: tuple[int, object]
    """Its id, and when it was born."""
    cluster: str
    is_one_computer: bool = False
    """Whether all machines are the computer that it was started on."""


@dataclass(frozen=True, slots=True)
class Break:
    """A gap of some seconds between two attempts; ``time`` is when, in seconds of the run without its gaps."""

    time: float
    away: float


@dataclass(slots=True)
class RunView:
    """Add up events. Times are seconds of work: from the first event on, without the pauses between attempts."""

    run: str = ""
    job: Mapping[str, Any] = field(default_factory=dict)
    time: WorkTime = field(default_factory=WorkTime)
    attempts: list[AttemptSums] = field(default_factory=list)
    breaks: list[Break] = field(default_factory=list)
    standing: RunStanding = field(default_factory=RunStanding)
    roster: Roster = field(default_factory=Roster)
    reasons: Measures = field(default_factory=Measures)
    """Why rows were rejected."""
    log: Log = field(default_factory=Log)
    stages: dict[int, StageDone] = field(default_factory=dict)
    """What stages came to that are done, by their numbers, where there are several."""
    stream: StreamSums = field(default_factory=StreamSums)
    """How it stands, if it is a stream."""
    plan: Plan | None = None
    planned: float = 0.0
    """When the plan was made, in seconds of the run."""
    stopped: tuple[str, str] | None = None
    """The error that ended the last attempt, and its message."""
    result: Mapping[str, Any] | None = None
    """What ``--json`` says of a run that has finished."""

    def take(self, entry: Entry) -> None:
        """Add an event; those of kinds that nobody looks at change nothing."""
        if type(entry.event) in _UNSEEN:
            return
        self.see(entry)
        self.stream.take(entry)
        now, at = self.time.seconds, self.time.last_at
        self.roster.billing.take(entry.event, now)
        match entry.event:
            case events.Measured():
                self.standing.take(entry.event)
                self.roster.measure(entry.event, now)
                self.reasons.add_reasons(Reason(*told) for told in entry.event.reasons)
            case events.WorkerJoined():
                self.roster.join(entry.event, now)
                self.log.joined(at, entry.event)
            case events.WorkerLeft(worker, reason):
                if self.roster.leave(worker, now, reason=reason):
                    self.log.note(at, "left", f"Worker {worker} left: {reason}.")
            case events.Retried():
                self.log.retried(at, entry.event)
            case events.Renewed(machines, lease, _):
                for name in machines:
                    machine = self.roster.machine(name)
                    machine.lease, machine.renewed = lease, at
            case _:
                self._take_beginning_or_end(entry.event, now, at)

    def _take_beginning_or_end(self, event: Event, now: float, at: float) -> None:
        match event:
            case events.Started():
                self.run, self.job = event.run, event.job
            case events.TryStarted():
                self._attempt(event)
            case events.Phase(phase):
                self.standing.phase = phase
            case Plan():
                self.planned, self.plan = now, event
            case StageDone():
                self.stages[event.number] = event
            case events.UserTold(text):
                self.log.note(at, "told", text)
            case events.Accepted():
                self.log.accept(at, event)
            case events.Stopped():
                self._stopped(event)
            case events.Finished():
                self.result = event.result
                self.standing.finish(event.result)
                self._end("finished", "The run finished.")

    def see(self, entry: Entry) -> None:
        """Know that a run went on until an event, whatever that tells."""
        last_at = self.time.last_at
        away = self.time.take(entry)
        if away is not None:
            self._pause(away, last_at)
        self.roster.clock.reach(self.time.seconds)

    def count(self, known: KnownRun) -> None:
        """Count the rows that are kept of a run whose process is gone before it was done."""
        if (
            known.state is RunState.UNFINISHED
            and self.result is None
            and (rows := rows_kept(known.journal)) is not None
        ):
            self.standing.count(rows)

    def take_all(self, entries: Iterable[Entry]) -> None:
        """Add many events, without looking for garbage meanwhile: they leave none that has to be looked for."""
        was_on = gc.isenabled()
        gc.disable()
        try:
            for entry in entries:
                self.take(entry)
        finally:
            if was_on:
                gc.enable()

    def settle(self) -> None:
        """Add up what was told of workers lately; before that their sums lag a few events behind."""
        self.roster.settle(self.time.seconds)

    def dollars(self, now: float) -> float | None:
        """Tell what the machines cost until now, in seconds of the run; ``None`` if nobody knows their prices.

        Of a run that one process finished it is what that said itself.
        """
        if self.result is not None and self.result.get("cost") and self.time.processes <= 1:
            return float(self.result["cost"])
        return self.roster.billing.dollars(now)

    def _pause(self, away: float, last_at: float) -> None:
        """Leave the time since the attempt before out, and its workers: this is another process."""
        now = self.time.seconds
        self.breaks.append(Break(now, away))
        if self.stopped is None:
            self.log.note(last_at, "killed", f"The run's process was gone from about now on, for {duration(away)}.")
        self.roster.leave_all(now)
        self.roster.billing.bill.end(now)

    def _attempt(self, event: events.TryStarted) -> None:
        process = event.pid, event.born
        if self.attempts and self.attempts[-1].process == process:
            self.reasons = Measures()  # it began anew, with wider types: what was rejected before comes again
        is_one_computer, cluster = event.one_computer, event.cluster or ""
        began = self.time.seconds
        self.attempts.append(
            AttemptSums(
                number=event.number,
                time=began,
                engine=event.engine,
                workers=event.workers,
                process=process,
                cluster=cluster,
                is_one_computer=is_one_computer,
            )
        )
        self.stopped = None
        self.standing.begin()
        self.roster.begin()
        if len(self.attempts) > 1:
            self.log.note(self.time.last_at, "attempt", f"Attempt {len(self.attempts)} began.")

    def _stopped(self, event: events.Stopped) -> None:
        self.stopped = event.error, event.message
        self.standing.stop(event)
        became = became_of(event.error)
        self._end(became, f"The run {'was stopped' if became == 'stopped' else 'failed'}: {event.error}.")

    def _end(self, kind: str, text: str) -> None:
        self.roster.leave_all(self.time.seconds)
        self.log.note(self.time.last_at, kind, text)
