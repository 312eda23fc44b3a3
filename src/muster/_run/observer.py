"""Observe a run: add up what workers did, journal it now and then, and know how fast it goes."""

import dataclasses
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Mapping
from queue import SimpleQueue
from typing import TYPE_CHECKING, Final

from muster._engines.base import Began, Joined, Left, Message, Told
from muster._job import MachinePace, Snapshot
from muster._journal import events
from muster._journal.measures import Measured, Spent, span
from muster._model import Outcome, Seconds
from muster._planner import Bill, plan, remaining
from muster._progress.progress import Progress

from .calls import Calls, Held
from .lately import Lately

if TYPE_CHECKING:
    from muster._clouds.base import Renewed

_SPANS_BEFORE_A_PLAN: Final = 8
_PROGRESS_EVERY: Final = 5.0
"""Seconds after which watchers are told how far the run is in any case."""

_LONG: Final = 2.0
"""Seconds after which an unfinished task is journalled: most end before, and need no event of their own."""

_LOOK_EVERY: Final = 0.25

Write = Callable[[events.Event], None]


@dataclasses.dataclass(slots=True)
class _Stays:
    """How long workers were there, each counted."""

    _since: dict[str, float] = dataclasses.field(default_factory=dict)
    _at_zero: float = 0.0
    """What it would be at second 0, had it always been as it is: one step leads from there to any time."""

    def joined(self, worker: str, at: float) -> None:
        if worker not in self._since:
            self._since[worker] = at
            self._at_zero -= at

    def left(self, worker: str, at: float) -> None:
        if self._since.pop(worker, None) is not None:
            self._at_zero += at

    def seconds(self, at: float) -> float:
        return self._at_zero + len(self._since) * at


class Observer:
    """Who is at work on a run, how fast, and what it costs; ``write`` journals an event."""

    def __init__(
        self,
        write: Write,
        *,
        prices: Mapping[str, float],
        renewals: "SimpleQueue[Renewed] | None" = None,
        calls: Calls | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begin to observe; prices are in dollars an hour, by machine; ``renewals`` tells of leases."""
        self._write = write
        self._renewals = renewals or SimpleQueue()
        self._clock = clock
        self._bill = Bill(prices)
        self._known: dict[str, str] = {}
        self._workers_on: Counter[str] = Counter()
        self.at_work: frozenset[str] = frozenset()
        """The machines that have workers."""
        self.calls = calls or Calls()
        self.held: Held | None = None
        """The call that seems to hang, if any."""
        self._remarks: deque[str] = deque()
        self._stays = _Stays()
        self._unkept: Outcome | None = None
        self._measured = Measured()
        self._reasons: set[tuple[str, str]] = set()
        self._lately = Lately()
        self._began = self._since = self._told = clock()
        self._has_planned = False
        self._next_look = 0.0
        self._seconds = Seconds()
        self.most_workers = self.most_machines = 0
        """How many had joined and were there, at the time when they were most."""
        self.rows_per_second = 0.0
        self.seconds_left: tuple[float, float] | None = None
        self.machines: tuple[MachinePace, ...] = ()
        self.waiting_for = ""
        """Why workers have nothing to do; empty where they have."""

    def machine_of(self, worker: str) -> str:
        """Name the machine of a worker, also of one that has left."""
        return self._known.get(worker, "")

    def snapshot(
        self, phase: str, progress: Progress | None, *, run: str, rows_total: int | None, workers: int
    ) -> Snapshot:
        """Tell how far the run is."""
        spent = self.spent
        return Snapshot(
            phase,
            run=run,
            workers=workers,
            rows_done=progress.rows_done if progress else 0,
            rows_total=rows_total,
            rows_out=progress.rows_out if progress else 0,
            bad_rows=progress.bad_rows if progress else 0,
            rows_per_second=self.rows_per_second,
            seconds_left=None if self.held else self.seconds_left,
            function_seconds=spent.function,
            sorting_seconds=spent.sorting,
            lost_seconds=spent.lost,
            worker_seconds=spent.there,
            machines=self.machines,
            dollars=self.dollars,
            waiting_for=self.waiting_for,
            held=self.held.told() if self.held else "",
        )

    @property
    def spent(self) -> Spent:
        """Tell where the time of all workers went, while they were there."""
        return Spent.of(self._seconds, there=self._stays.seconds(self._clock()))

    def remark(self) -> str:
        """Tell what whoever watches should know, once."""
        return self._remarks.popleft() if self._remarks else ""

    @property
    def dollars(self) -> float:
        """Tell what the run has cost so far."""
        return self._bill.dollars(self._clock())

    def hear(self, event: Message) -> None:
        """Journal that a worker came or went, or what an engine told."""
        match event:
            case Joined(worker, machine):
                self._known[worker] = machine
                self._workers_on[machine] += 1
                self._see_machines()
                self.most_workers = max(self.most_workers, self._workers_on.total())
                self.most_machines = max(self.most_machines, len(self._workers_on))
                self._bill.joined(worker, machine, self._clock())
                self._stays.joined(worker, self._clock())
                self._write(events.Joined(worker, machine))
            case Left(worker, reason):
                self._bill.left(worker, self.machine_of(worker), self._clock())
                self._stays.left(worker, self._clock())
                self._lose(self.machine_of(worker))
                self._write(events.Left(worker, reason))
            case Told(text):
                self._write(events.Told(text))
            case Began(ticket, worker):
                self.calls.began(ticket, worker, self._clock())

    def done(self, worker: str, outcome: Outcome, *, is_kept: bool) -> None:
        """Add up what a task came to; of one that is not kept, as it will be done again, only its time."""
        machine = self.machine_of(worker)
        self.calls.done(outcome.task, outcome.seconds.total, self._clock())
        self._seconds += outcome.seconds
        self._measured.note(worker, machine, outcome, is_kept=is_kept)
        self._lately.now.add(machine, rows=outcome.rows_in if is_kept else 0, seconds=outcome.seconds.total)

    def lost(self, number: int, reason: str) -> None:
        """Journal that a task was not finished, and how long its worker had been at it."""
        task, worker, seconds = self.calls.lost(number, self._clock())
        place = self.calls.place_of(task) if task else {}
        self._write(events.Retried(reason, worker or None, round(seconds, 3) if worker else 0.0, **place))
        if worker:
            spent = Seconds(total=seconds, lost=seconds)
            self._seconds += spent
            self._measured.spend(worker, spent)
            self._lately.now.add(self.machine_of(worker), rows=0, seconds=seconds)

    def gave_up(self, outcome: Outcome) -> None:
        """Note the outcome that stops the run: its rows are not kept, but its bad rows are shown."""
        self._unkept = outcome

    def stopped(self, error: BaseException) -> None:
        """Journal why the run stops, with the bad rows of the outcome that stopped it."""
        told = events.Stopped(type(error).__name__.lstrip("_"), str(error))
        if self._unkept is not None:
            reasons = [[one.step, one.error, one.rows, one.example] for one in self._unkept.reasons]
            told = told._replace(unkept=self._unkept.bad_rows, reasons=reasons)
        self._write(told)

    def _lose(self, machine: str) -> None:
        self._workers_on[machine] -= 1
        if self._workers_on[machine] <= 0:
            del self._workers_on[machine]
        self._see_machines()

    def _see_machines(self) -> None:
        if len(self._workers_on) != len(self.at_work):
            self.at_work = frozenset(self._workers_on)

    def look(self, progress: Progress, *, rows_total: int | None, idle: Callable[[], int]) -> None:
        """Find out why workers wait, where they do; journal what was done since the last time, if that is long ago."""
        now = self._clock()
        if now < self._next_look:
            return
        self._next_look = now + _LOOK_EVERY
        while not self._renewals.empty():
            renewed = self._renewals.get()
            self._write(events.Renewed(renewed.machines, renewed.lease))
            for text in renewed.news:
                self._write(events.Told(text))
                self._remarks.append(text)
        self.waiting_for = self._why_they_wait(progress, idle())
        self._wonder(progress, rows_total, now)
        wanted = span(self._since - self._began, self._workers_on.total())
        if now - self._since >= wanted and self._measured:
            self.tell(progress, rows_total=rows_total)
        elif now - self._told >= _PROGRESS_EVERY:
            self._tell_progress(progress, rows_total, Measured())

    def _wonder(self, progress: Progress, rows_total: int | None, now: float) -> None:
        """Notice rows that a worker is at for strangely long: say so once, and journal it at once."""
        before, self.held = self.held, self.calls.held(now, workers=self._workers_on.total())
        if self.held is not None and (before is None or before.place != self.held.place):
            if not self.held.limit:
                self._remarks.append(self.held.advice())
            self._tell_progress(progress, rows_total, Measured())

    def _why_they_wait(self, progress: Progress, idle: int) -> str:
        if not self.at_work:
            return "every worker is gone; waiting for others" if self._known else "workers start"
        if not idle or progress.is_done or progress.waiting_weight:
            return ""
        if not progress.is_complete:
            return "the input is read no faster"
        count = len(progress.running)
        return f"the last {count} tasks are with workers" if count > 1 else "the last task is with its worker"

    def tell(self, progress: Progress, *, rows_total: int | None) -> None:
        """Journal how far the run is, and what every worker did since the last time."""
        measured, self._measured = self._measured, Measured()
        self._tell_progress(progress, rows_total, measured)

    def _tell_progress(self, progress: Progress, rows_total: int | None, measured: Measured) -> None:
        """Journal how far the run is: what workers did follows more rarely, the longer it lasts."""
        now = self._clock()
        self._lately.end_span(now - max(self._told, self.calls.first_began or 0.0))
        self.rows_per_second = self._lately.rows_per_second()
        at_work = self.calls.at_work(now, longer=_LONG)
        going: defaultdict[str, list[float]] = defaultdict(list)
        for worker, seconds in at_work.items():
            going[self.machine_of(worker)].append(seconds)
        self.machines = tuple(
            self._lately.pace_of(machine, count, going=going[machine])
            for machine, count in sorted(self._workers_on.items())
        )
        rows_left = None if rows_total is None else rows_total - progress.rows_done
        self.seconds_left = None if rows_left is None else remaining(self._lately.stretches, rows_left)
        self._write(
            events.Measured(
                span=round(now - self._since, 3),
                rows_done=progress.rows_done,
                rows_total=rows_total,
                rows_out=progress.rows_out,
                bad_rows=progress.bad_rows,
                rows_per_second=round(self.rows_per_second, 3),
                seconds_left=[round(one, 3) for one in self.seconds_left] if self.seconds_left else None,
                held=self.held.as_field() if self.held else None,
                at_work={worker: round(seconds, 1) for worker, seconds in at_work.items()},
                running=len(progress.running),
                waiting_for=self.waiting_for,
                **measured.as_fields(known=self._reasons),
            )
        )
        self._told = now
        if measured:
            self._since = now
            self._reasons.update(measured.reasons)
        if rows_left is not None:
            self._plan(rows_left)

    def _plan(self, rows_left: int) -> None:
        stretches = self._lately.stretches
        if self._has_planned or len(stretches) < _SPANS_BEFORE_A_PLAN or rows_left <= 0:
            return
        made = plan(
            stretches,
            rows_left=rows_left,
            workers=self._workers_on.total(),
            dollars_an_hour=self._bill.dollars_an_hour,
        )
        if made is not None:
            self._has_planned = True
            self._write(made)
