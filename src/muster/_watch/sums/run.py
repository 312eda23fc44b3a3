"""What the events of a run add up to, for those who look at it: bounded in size, however long it takes."""

import gc
from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Self

from muster._journal import events
from muster._journal.events import Event
from muster._journal.file import Entry
from muster._journal.measures import OTHER_REASONS, Measured, task_seconds
from muster._journal.status import became_of
from muster._model import Load, Reason
from muster._planner import Plan
from muster._run.calls import Held
from muster._words import duration

from .pace import Burst, Recent
from .series import BUCKETS, Clock, Series
from .worker import Worker

_HOUR: Final = 3600
_NOTES: Final = 50
_RETRIES_TOLD_APART: Final = 20
_STEP_CHANNELS: Final = 2

_SETTLED_AT_ONCE: Final = 10
"""So many measured events, which are 2% of a run at most; with few workers fewer, as that costs little."""

_WORKERS_AN_EVENT: Final = 12

_UNSEEN: Final = events.ONLY_TO_RESUME | {events.Other}


@dataclass(frozen=True, slots=True)
class Attempt:
    """One process's work on a run; ``time`` is when it began, in seconds of the run."""

    number: int
    time: float
    engine: str
    workers: int
    process: tuple[int, object]
    """Its id, and when it was born."""
    cluster: str
    prices: Mapping[str, float]
    is_one_computer: bool = False
    """Whether all machines are the computer that it was started on."""


@dataclass(frozen=True, slots=True)
class Break:
    """A gap of some seconds between two attempts; ``time`` is when, in seconds of the run without its gaps."""

    time: float
    away: float


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast the run was in the minute before its last event, and how long the rest would take from then.

    ``held`` is which worker was then at which rows for strangely long.
    """

    rows_per_second: float | None = None
    seconds_left: tuple[float, float] | None = None
    held: Held | None = None

    @classmethod
    def of(cls, event: events.Measured) -> Self:
        """Read what an event tells; an earlier muster told of none of these."""
        left, held = event.seconds_left, event.held
        return cls(event.rows_per_second, (left[0], left[1]) if left else None, Held.of_field(held) if held else None)


@dataclass(frozen=True, slots=True)
class Unkept:
    """Bad rows of the task that stopped the run: nothing of that is kept, and it will be done again."""

    rows: int = 0
    reasons: Sequence[Reason] = ()


@dataclass(frozen=True, slots=True)
class Note:
    """Something that happened, and when by the clock."""

    at: float
    kind: str
    text: str
    machine: str = ""
    count: int = 1


@dataclass(slots=True)
class Machine:
    """One computer of a run: its load when last told, and its lease, which began at ``renewed`` by the clock."""

    name: str
    load: Load | None = None
    lease: float | None = None
    renewed: float = 0.0

    def lease_left(self, at: float) -> float | None:
        """Tell how many seconds it may still live, unless it is renewed."""
        return None if self.lease is None else max(self.renewed + self.lease - at, 0.0)


@dataclass(slots=True)
class RunView:
    """Add up events. Times are seconds of work: from the first event on, without the pauses between attempts."""

    run: str = ""
    job: Mapping[str, Any] = field(default_factory=dict)
    begun: float | None = None
    last_at: float = 0.0
    last: float = 0.0
    paused: float = 0.0
    attempts: list[Attempt] = field(default_factory=list)
    breaks: list[Break] = field(default_factory=list)
    phase: str = ""
    waiting_for: str = ""
    rows_done: int = 0
    rows_total: int | None = None
    rows_out: int | None = None
    """Rows that are written; an earlier muster did not tell."""
    bad_rows: int = 0
    unkept: Unkept = Unkept()
    pace: Pace = Pace()
    running: int = 0
    workers: dict[str, Worker] = field(default_factory=dict)
    machines: dict[str, Machine] = field(default_factory=dict)
    reasons: Measured = field(default_factory=Measured)
    retries: Counter[str] = field(default_factory=Counter)
    accepted: list[str] = field(default_factory=list)
    """What had changed between attempts, and was accepted."""
    lost_tries: int = 0
    """Tries of tasks that ended with their worker."""
    notes: deque[Note] = field(default_factory=lambda: deque(maxlen=_NOTES))
    plan: Plan | None = None
    planned: float = 0.0
    """When the plan was made, in seconds of the run."""
    stopped: tuple[str, str] | None = None
    result: Mapping[str, Any] | None = None
    clock: Clock = field(default_factory=Clock)
    steps: list[Series] = field(default_factory=list)
    recent: Recent = field(default_factory=Recent)
    _unsettled: int = 0

    def take(self, entry: Entry) -> None:
        """Add an event; those of kinds that nobody looks at change nothing."""
        if type(entry.event) in _UNSEEN:
            return
        self.see(entry)
        match entry.event:
            case events.Measured():
                self._measured(entry.event)
            case events.Joined():
                self._joined(entry.event)
            case events.Left():
                self._left(entry.event)
            case events.Retried():
                self._retried(entry.event)
            case events.Renewed():
                self._renewed(entry.event)
            case Plan():
                self.planned, self.plan = self.last, entry.event
            case events.Told(text):
                self._note("told", text)
            case events.Phase(phase):
                self.phase = phase
            case _:
                self._take_beginning_or_end(entry.event)

    def _take_beginning_or_end(self, event: Event) -> None:
        match event:
            case events.Started():
                self.run, self.job = event.run, event.job
            case events.Attempt():
                self._attempt(event)
            case events.Accepted(changes):
                self.accepted += changes
                self._note("accepted", f"Went on although this had changed: {'; '.join(changes)}.")
            case events.Stopped():
                self._stopped(event)
            case events.Finished():
                self._finished(event)

    def see(self, entry: Entry) -> None:
        """Know that a run went on until an event, whatever that tells."""
        at = self.last_at if entry.at is None else entry.at
        if self.begun is None:
            self.begun = at
        if isinstance(entry.event, events.Attempt):
            self._pause(at, entry.event)
        self.last_at = max(at, self.last_at)
        self.last = max(at - self.begun - self.paused, self.last)
        self.clock.reach(self.last)

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

    def elapsed(self, at: float, *, going: bool) -> float:
        """Tell how many seconds of work there were by a time of the clock; of a run that is over, in all."""
        if not going or self.begun is None:
            return self.last
        return max(at - self.begun - self.paused, self.last)

    def dollars(self, now: float) -> float | None:
        """Tell what the machines cost until now, in seconds of the run; ``None`` if nobody knows their prices."""
        prices = {name: price for attempt in self.attempts for name, price in attempt.prices.items()}
        if not prices:
            return None
        return sum(price * self.seconds_of(name, now) / _HOUR for name, price in prices.items())

    def seconds_of(self, machine: str, now: float) -> float:
        """Tell how long a machine was there: while any of its workers was."""
        stays = sorted(
            (stay.start, now if stay.stop is None else stay.stop)
            for worker in self.workers.values()
            if worker.machine == machine
            for stay in worker.present
        )
        seconds, reached = 0.0, 0.0
        for start, stop in stays:
            seconds += max(stop - max(start, reached), 0.0)
            reached = max(reached, stop)
        return seconds

    def _pause(self, at: float, event: events.Attempt) -> None:
        """Leave the time since the attempt before out, and its workers, unless this is the same process."""
        if self.attempts and self.attempts[-1].process != (event.pid, event.born):
            away = max(at - self.last_at, 0.0)
            self.paused += away
            self.breaks.append(Break(self.last, away))
            if self.stopped is None:
                text = f"The run's process was gone from about now on, for {duration(away)}."
                self.notes.append(Note(self.last_at, "killed", text))
            for worker in self.workers.values():
                worker.leave(self.last)

    def _attempt(self, event: events.Attempt) -> None:
        if self.attempts and self.attempts[-1].process == (event.pid, event.born):
            self.reasons = Measured()  # it began anew, with wider types: what was rejected before comes again
        self.attempts.append(
            Attempt(
                event.number,
                self.last,
                event.engine,
                event.workers,
                (event.pid, event.born),
                event.cluster or "",
                event.prices,
                event.one_computer,
            )
        )
        self.stopped, self.waiting_for, self.running = None, "", 0
        self.recent, self.pace, self.unkept = Recent(), Pace(), Unkept()
        if len(self.attempts) > 1:
            self._note("attempt", f"Attempt {len(self.attempts)} began.")

    def _joined(self, event: events.Joined) -> None:
        worker = self._met(event.worker)
        worker.machine = event.machine
        worker.join(self.last)
        self.machines.setdefault(worker.machine, Machine(worker.machine))
        self._note_joined(event)

    def _left(self, event: events.Left) -> None:
        if event.worker in self.workers:
            self.workers[event.worker].leave(self.last, reason=event.reason)
            self._note("left", f"Worker {event.worker} left: {event.reason}.")

    def _measured(self, event: events.Measured) -> None:
        self._take_progress(event)
        now, span, workers = self.last, event.span, self.workers
        for name, told in event.workers.items():
            worker = workers.get(name) or self._met(name)
            worker.take(told, now - max(span, task_seconds(told)), now)
        for name, worker in workers.items():
            seconds = event.at_work.get(name)
            worker.at_task_since = None if seconds is None else now - seconds
        self._unsettled += 1
        if self._unsettled >= min(len(workers) // _WORKERS_AN_EVENT, _SETTLED_AT_ONCE):
            self.settle()
        for name, load in event.machines.items():
            self.machines.setdefault(name, Machine(name)).load = Load(*load)
        self.reasons.add_reasons(Reason(*told) for told in event.reasons)

    def settle(self) -> None:
        """Add up what was told of workers lately; before that their sums lag a few events behind."""
        bursts: dict[str, Burst] = {}
        steps: list[list[float]] = []
        self._unsettled, began = 0, self.last
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
            self._settle_steps(steps, began)
            self.recent.add(self.last, bursts)

    def _take_progress(self, event: events.Measured) -> None:
        self.rows_done, self.rows_total = event.rows_done, event.rows_total
        self.bad_rows, self.running = event.bad_rows, event.running
        self.waiting_for = event.waiting_for
        self.rows_out = event.rows_out
        self.pace = Pace.of(event)

    def _settle_steps(self, steps: list[list[float]], since: float) -> None:
        shares = self.clock.split(since, self.last)
        for at, sums in enumerate(steps):
            if at == len(self.steps):
                self.steps.append(Series(_STEP_CHANNELS))
            self.steps[at].add(self.clock, shares, sums)

    def _retried(self, event: events.Retried) -> None:
        known = event.reason in self.retries or len(self.retries) < _RETRIES_TOLD_APART
        self.retries[event.reason if known else OTHER_REASONS] += 1
        self.lost_tries += event.worker is not None
        self._note("retried", _told_of_retry(event))

    def _renewed(self, event: events.Renewed) -> None:
        for name in event.machines:
            machine = self.machines.setdefault(name, Machine(name))
            machine.lease, machine.renewed = event.lease, self.last_at

    def _stopped(self, event: events.Stopped) -> None:
        self.stopped = event.error, event.message
        if event.unkept is not None:
            self.unkept = Unkept(event.unkept, [Reason(*told) for told in event.reasons])
        became = became_of(event.error)
        self._end(became, f"The run {'was stopped' if became == 'stopped' else 'failed'}: {event.error}.")

    def _finished(self, event: events.Finished) -> None:
        self.result = event.result
        self.rows_done = self.rows_total = self.result["rows_in"]
        self.rows_out, self.bad_rows = self.result["rows_out"], self.result["bad_rows"]
        self._end("finished", "The run finished.")

    def _end(self, kind: str, text: str) -> None:
        self.waiting_for, self.running, self.pace = "", 0, Pace()
        for worker in self.workers.values():
            worker.leave(self.last)
        self._note(kind, text)

    def _met(self, name: str) -> Worker:
        """Find a worker, or meet it, though nobody told that it joined."""
        worker = self.workers.get(name)
        if worker is None:
            worker = self.workers[name] = Worker(name=name)
        worker.join(self.last)
        return worker

    def _note_joined(self, event: events.Joined) -> None:
        """Note that a worker joined; those that join a machine together share one note."""
        worker, machine, count = event.worker, event.machine, 1
        if self.notes and (self.notes[-1].kind, self.notes[-1].machine) == ("joined", machine):
            count += self.notes.pop().count
        who = f"{count:,} workers" if count > 1 else f"Worker {worker}"
        self.notes.append(Note(self.last_at, "joined", f"{who} joined on {machine}.", machine, count))

    def _note(self, kind: str, text: str) -> None:
        self.notes.append(Note(self.last_at, kind, text))


def _told_of_retry(event: events.Retried) -> str:
    """Say what was tried again, why, and what it had cost; an earlier muster told of the reason alone."""
    rows = "A task was"
    if event.row is not None:
        first, last = event.row, event.row + event.rows - 1
        rows = f"Rows {first:,} to {last:,} of {event.file} were"
        if last <= first:
            rows = f"Row {first:,} of {event.file} was"
    spent = f", after {duration(event.seconds)} on worker {event.worker}" if event.worker else ""
    return f"{rows} tried again: {event.reason}{spent}."


__all__ = ["BUCKETS", "Attempt", "Machine", "Note", "RunView"]
