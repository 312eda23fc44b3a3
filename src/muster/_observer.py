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
        self._machine_of: dict[str, str] = {}
        self._had_workers = False
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
                self._machine_of[worker] = machine
                self._had_workers = True
                self.most_workers = max(self.most_workers, len(self._machine_of))
                self.most_machines = max(self.most_machines, len({*self._machine_of.values()}))
                self._bill.joined(worker, machine, self._clock())
                self._write("joined", worker=worker, machine=machine)
            case Left(worker, reason):
                self._bill.left(worker, self._machine_of.pop(worker, ""), self._clock())
                self._write("left", worker=worker, reason=reason)
            case Told(text):
                self._write("told", text=text)

    def done(self, worker: str, outcome: Outcome) -> None:
        """Add up what a task came to."""
        self.spent += outcome.seconds
        self._measured.note(worker, self._machine_of.get(worker, ""), outcome)

    def look(self, progress: Progress, *, rows_total: int | None, idle: Callable[[], int]) -> None:
        """Find out why workers wait, where they do; journal what was done since the last time, if that is long ago."""
        now = self._clock()
        if now < self._next_look:
            return
        self._next_look = now + _LOOK_EVERY
        self.waiting_for = self._why_they_wait(progress, idle())
        wanted = span(self._since - self._began, len(self._machine_of))
        if now - self._since >= (wanted if self._measured else max(wanted, _SILENCE_SECONDS)):
            self.tell(progress, rows_total=rows_total)

    def _why_they_wait(self, progress: Progress, idle: int) -> str:
        if not self._machine_of:
            return "every worker is gone; waiting for others" if self._had_workers else "workers start"
        if not idle or progress.is_done:
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
            machine = self._machine_of.get(worker, "")
            rows[machine] = rows.get(machine, 0) + did.rows_in
            busy[machine] = busy.get(machine, 0.0) + did.seconds.total
        done, self._rows_done = rows_done - self._rows_done, rows_done
        if not self._spans and not rows:
            return
        self._spans.append(_Span(seconds, max(done, 0), rows, busy))
        while len(self._spans) > _FEWEST_SPANS and self._window() - self._spans[0].seconds > _WINDOW_SECONDS:
            self._spans.popleft()
        self.rows_per_second = sum(one.rows for one in self._spans) / self._window()
        workers = Counter(self._machine_of.values())
        self.machines = tuple(self._pace_of(machine, workers[machine]) for machine in sorted(workers))

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
            workers=len(self._machine_of),
            dollars_an_hour=self._bill.dollars_an_hour,
        )
        if made is not None:
            self._has_planned = True
            self._write("planned", **dataclasses.asdict(made))
