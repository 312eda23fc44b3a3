"""Observe a run: add up what workers did, journal it now and then, and know how fast it goes."""

import dataclasses
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from queue import SimpleQueue
from typing import TYPE_CHECKING, Final

from muster._engines.base import Event, Joined, Left, Told
from muster._measures import Measured, span
from muster._model import MachinePace, Outcome, Seconds, Snapshot
from muster._planner import Bill, Stretch, plan, remaining
from muster._progress import Progress

if TYPE_CHECKING:
    from muster._clouds.base import Renewed

_WINDOW_SECONDS: Final = 60.0
_FEWEST_SPANS: Final = 20
_SPANS_BEFORE_A_PLAN: Final = 8
_PROGRESS_EVERY: Final = 5.0
"""Seconds after which watchers are told how far the run is in any case."""

_LOOK_EVERY: Final = 0.25

Write = Callable[..., None]


@dataclasses.dataclass(slots=True)
class _Span:
    """What was done in a stretch of time, on each machine: rows, and seconds in tasks."""

    seconds: float = 0.0
    longest: float = 0.0
    """Seconds that the longest of its tasks took."""
    rows_of: Counter[str] = dataclasses.field(default_factory=Counter)
    busy_of: dict[str, float] = dataclasses.field(default_factory=dict)

    def add(self, machine: str, *, rows: int, seconds: float) -> None:
        """Take in a task."""
        self.longest = max(self.longest, seconds)
        self.rows_of[machine] += rows
        self.busy_of[machine] = self.busy_of.get(machine, 0.0) + seconds

    @property
    def stretch(self) -> Stretch:
        """Tell how long it was, and how many rows were done."""
        return self.seconds, self.rows_of.total()


class _Lately:
    """What was done in the last minute, and not before the first row: starting is no work."""

    def __init__(self) -> None:
        self._spans: deque[_Span] = deque()
        self.now = _Span()
        """What goes on."""

    @property
    def stretches(self) -> list[Stretch]:
        """List the stretches, all but the one that goes on."""
        return [one.stretch for one in self._spans]

    def end_span(self, seconds: float) -> None:
        """Begin another stretch; the one that ends was as long as is said, and the first as its longest task."""
        if self._spans or self.now.rows_of:
            self.now.seconds = seconds if self._spans else max(seconds, self.now.longest)
            self._spans.append(self.now)
        self.now = _Span()
        while len(self._spans) > _FEWEST_SPANS and self._seconds() - self._spans[0].seconds > _WINDOW_SECONDS:
            self._spans.popleft()

    def _seconds(self) -> float:
        return sum(one.seconds for one in self._spans)

    def rows_per_second(self) -> float:
        """Tell how many rows were done a second."""
        return sum(rows for _, rows in self.stretches) / (self._seconds() or 1.0)

    def pace_of(self, machine: str, workers: int) -> MachinePace:
        """Tell what a machine did."""
        seconds = self._seconds() or 1.0
        busy = sum(one.busy_of.get(machine, 0.0) for one in self._spans) / (seconds * workers)
        return MachinePace(machine, workers, sum(one.rows_of[machine] for one in self._spans) / seconds, min(busy, 1.0))


class Observer:
    """Who is at work on a run, how fast, and what it costs; ``write`` journals an event."""

    def __init__(
        self,
        write: Write,
        *,
        prices: Mapping[str, float],
        renewals: "SimpleQueue[Renewed] | None" = None,
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
        self._measured = Measured()
        self._reasons: set[tuple[str, str]] = set()
        self._lately = _Lately()
        self._began = self._since = self._told = clock()
        self._has_planned = False
        self._next_look = 0.0
        self.spent = Seconds()
        """Where the time of all tasks went."""
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
        return Snapshot(
            phase,
            run=run,
            workers=workers,
            rows_done=progress.rows_done if progress else 0,
            rows_total=rows_total,
            bad_rows=progress.bad_rows if progress else 0,
            rows_per_second=self.rows_per_second,
            seconds_left=self.seconds_left,
            function_seconds=self.spent.function,
            worker_seconds=self.spent.total,
            machines=self.machines,
            dollars=self.dollars,
            waiting_for=self.waiting_for,
        )

    @property
    def dollars(self) -> float:
        """Tell what the run has cost so far."""
        return self._bill.dollars(self._clock())

    def hear(self, event: Event) -> None:
        """Journal that a worker came or went, or what an engine told."""
        match event:
            case Joined(worker, machine):
                self._known[worker] = machine
                self._workers_on[machine] += 1
                self._see_machines()
                self.most_workers = max(self.most_workers, self._workers_on.total())
                self.most_machines = max(self.most_machines, len(self._workers_on))
                self._bill.joined(worker, machine, self._clock())
                self._write("joined", worker=worker, machine=machine)
            case Left(worker, reason):
                self._bill.left(worker, self.machine_of(worker), self._clock())
                self._lose(self.machine_of(worker))
                self._write("left", worker=worker, reason=reason)
            case Told(text):
                self._write("told", text=text)

    def done(self, worker: str, outcome: Outcome, *, is_kept: bool) -> None:
        """Add up what a task came to; of one that is not kept, as it will be done again, only its time."""
        machine = self.machine_of(worker)
        self.spent += outcome.seconds
        self._measured.note(worker, machine, outcome, is_kept=is_kept)
        self._lately.now.add(machine, rows=outcome.rows_in if is_kept else 0, seconds=outcome.seconds.total)

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
            self._write("renewed", machines=renewed.machines, lease=renewed.lease)
        self.waiting_for = self._why_they_wait(progress, idle())
        wanted = span(self._since - self._began, self._workers_on.total())
        if now - self._since >= wanted and self._measured:
            self.tell(progress, rows_total=rows_total)
        elif now - self._told >= _PROGRESS_EVERY:
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
        self._lately.end_span(now - self._told)
        self._write(
            "measured",
            span=round(now - self._since, 3),
            rows_done=progress.rows_done,
            rows_total=rows_total,
            bad_rows=progress.bad_rows,
            running=len(progress.running),
            waiting_for=self.waiting_for,
            **measured.as_fields(known=self._reasons),
        )
        self._told = now
        if measured:
            self._since = now
            self._reasons.update(measured.reasons)
        self.rows_per_second = self._lately.rows_per_second()
        self.machines = tuple(
            self._lately.pace_of(machine, count) for machine, count in sorted(self._workers_on.items())
        )
        if rows_total is not None:
            self._predict(rows_total - progress.rows_done)

    def _predict(self, rows_left: int) -> None:
        stretches = self._lately.stretches
        self.seconds_left = remaining(stretches, rows_left)
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
            self._write("planned", **dataclasses.asdict(made))
