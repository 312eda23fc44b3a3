"""Observe a run: add up what workers did, journal it now and then, and know how fast it goes."""

import dataclasses
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from typing import Final

from muster._engines.base import Event, Joined, Left, Told
from muster._measures import Measured, span
from muster._model import MachinePace, Outcome, Seconds, Snapshot
from muster._planner import Bill, plan, remaining
from muster._progress import Progress

_WINDOW_SECONDS: Final = 60.0
_FEWEST_SPANS: Final = 20
_SPANS_BEFORE_A_PLAN: Final = 8
_SILENCE_SECONDS: Final = 10.0
_LOOK_EVERY: Final = 0.25

Write = Callable[..., None]


@dataclasses.dataclass(frozen=True, slots=True)
class _Span:
    """What was done in a stretch of time: rows, and what each machine did of it."""

    seconds: float
    rows: int
    rows_of: Mapping[str, int]
    busy_of: Mapping[str, float]


class Observer:
    """Who is at work on a run, how fast, and what it costs; ``write`` journals an event."""

    def __init__(
        self, write: Write, *, prices: Mapping[str, float], clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Begin to observe; prices are in dollars an hour, by machine."""
        self._write = write
        self._clock = clock
        self._bill = Bill(prices)
        self._known: dict[str, str] = {}
        self._workers_on: Counter[str] = Counter()
        self.at_work: frozenset[str] = frozenset()
        """The machines that have workers."""
        self._measured = Measured()
        self._rows_done = 0
        self._began = self._since = clock()
        self._spans: deque[_Span] = deque()
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

    def done(self, worker: str, outcome: Outcome) -> None:
        """Add up what a task came to."""
        self.spent += outcome.seconds
        self._measured.note(worker, self.machine_of(worker), outcome)

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
        self.waiting_for = self._why_they_wait(progress, idle())
        wanted = span(self._since - self._began, self._workers_on.total())
        if now - self._since >= (wanted if self._measured else max(wanted, _SILENCE_SECONDS)):
            self.tell(progress, rows_total=rows_total)

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
        """Journal what was done since the last time."""
        now = self._clock()
        seconds, self._since = now - self._since, now
        self._write(
            "measured",
            span=round(seconds, 3),
            rows_done=progress.rows_done,
            rows_total=rows_total,
            bad_rows=progress.bad_rows,
            running=len(progress.running),
            waiting_for=self.waiting_for,
            **self._measured.as_fields(),
        )
        self._pace(seconds, progress.rows_done)
        self._measured = Measured()
        if rows_total is not None and any(one.rows for one in self._spans):
            self._predict(rows_total - progress.rows_done)

    def _pace(self, seconds: float, rows_done: int) -> None:
        """Learn how fast the run and each machine are, by the last minute, and not before the first row is done."""
        rows: dict[str, int] = {}
        busy: dict[str, float] = {}
        for worker, did in self._measured.workers.items():
            machine = self.machine_of(worker)
            rows[machine] = rows.get(machine, 0) + did.rows_in
            busy[machine] = busy.get(machine, 0.0) + did.seconds.total
        done, self._rows_done = rows_done - self._rows_done, rows_done
        if not self._spans and not rows:
            return
        self._spans.append(_Span(seconds, max(done, 0), rows, busy))
        while len(self._spans) > _FEWEST_SPANS and self._window() - self._spans[0].seconds > _WINDOW_SECONDS:
            self._spans.popleft()
        self.rows_per_second = sum(one.rows for one in self._spans) / self._window()
        self.machines = tuple(self._pace_of(machine, count) for machine, count in sorted(self._workers_on.items()))

    def _window(self) -> float:
        return sum(one.seconds for one in self._spans)

    def _pace_of(self, machine: str, workers: int) -> MachinePace:
        window = self._window()
        busy = sum(one.busy_of.get(machine, 0.0) for one in self._spans) / (window * workers)
        rows = sum(one.rows_of.get(machine, 0) for one in self._spans)
        return MachinePace(machine, workers, rows / window, min(busy, 1.0))

    def _predict(self, rows_left: int) -> None:
        rates = [one.rows / one.seconds for one in self._spans]
        self.seconds_left = remaining(rates, rows_left)
        if self._has_planned or len(rates) < _SPANS_BEFORE_A_PLAN or rows_left <= 0:
            return
        made = plan(
            rates,
            rows_left=rows_left,
            workers=self._workers_on.total(),
            dollars_an_hour=self._bill.dollars_an_hour,
        )
        if made is not None:
            self._has_planned = True
            self._write("planned", **dataclasses.asdict(made))
