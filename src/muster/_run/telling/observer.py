"""Observe a run: journal what workers did now and then, notice what hangs, and know how fast it goes."""

import time
from collections import defaultdict, deque
from collections.abc import Callable, Mapping
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

from muster._engines.base import Began, Joined, Left, Message, Told
from muster._job import Snapshot
from muster._journal import events
from muster._journal.measures import Measures, Spent, span
from muster._model import Outcome
from muster._progress.progress import Progress

from .attendance import Attendance
from .pace import Pace
from .stream_told import StreamTold
from .tally import Tally
from .under_way import StuckRows, UnderWay

if TYPE_CHECKING:
    from muster._clouds.base import Renewals

_PROGRESS_EVERY: Final = 5.0
"""Seconds after which watchers are told how far the run is in any case."""

_LONG: Final = 2.0
"""Seconds after which an unfinished task is journalled: most end before, and need no event of their own."""

_LOOK_EVERY: Final = 0.25
"""Seconds: how often people see a change of a bar."""

_STREAM_EVERY: Final = 1.0
"""Seconds: who looks at a stream wants to see whether it keeps up, and a line of its journal is small."""

Write = Callable[[events.Event], None]


class RowsDone(Protocol):
    """How many rows are done."""

    @property
    def rows_done(self) -> int:
        """Count those that were read and settled."""

    @property
    def rows_out(self) -> int:
        """Count those that came of them."""

    @property
    def bad_rows(self) -> int:
        """Count those that could not be processed."""


class _Counted(NamedTuple):
    rows_done: int
    rows_out: int
    bad_rows: int


NONE_DONE: Final[RowsDone] = _Counted(0, 0, 0)
"""How it is before the first task."""


class _Told(NamedTuple):
    """When the journal was told of what, in seconds of the clock."""

    began: float
    """When there was nothing to tell yet."""
    work: float
    """What workers did: more rarely, the longer the run lasts."""
    progress: float
    stream: float


class Observer:
    """Who is at work on a run, how fast, and what it costs; ``write`` journals an event."""

    def __init__(
        self,
        write: Write,
        *,
        prices: Mapping[str, float | None],
        renewals: "SimpleQueue[Renewals] | None" = None,
        under_way: UnderWay | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begin to observe; prices are in dollars an hour, by machine; ``renewals`` tells of leases."""
        self._write = write
        self._clock = clock
        self._renewals = renewals or SimpleQueue()
        self.there = Attendance(prices, clock)
        self.under_way = under_way or UnderWay()
        self.held: StuckRows | None = None
        """The call that seems to hang, if any."""
        self._remarks: deque[str] = deque()
        self._tally = Tally()
        self._unkept: Outcome | None = None
        self.pace = Pace()
        self._told = _Told(*[clock()] * 4)
        self._next_look = 0.0
        self.stream = StreamTold()
        self.waiting_for = ""
        """Why workers have nothing to do; empty where they have."""

    def begin_on(self, prices: Mapping[str, float | None], renewals: "SimpleQueue[Renewals] | None") -> None:
        """Begin anew on a cluster: what was there before it did none of the work."""
        self._renewals = renewals or SimpleQueue()
        self.there.charge(prices)
        self._told = _Told(*[self._clock()] * 4)

    def snapshot(self, phase: str, rows: RowsDone, *, run: str, rows_total: int | None, workers: int) -> Snapshot:
        """Tell how far the run is."""
        spent = self.spent
        return Snapshot(
            phase,
            run=run,
            workers=workers,
            rows_done=rows.rows_done,
            rows_total=rows_total,
            rows_out=rows.rows_out,
            bad_rows=rows.bad_rows,
            rows_per_second=self.pace.rows_per_second,
            seconds_left=None if self.held else self.pace.seconds_left,
            function_seconds=spent.function,
            sorting_seconds=spent.sorting,
            lost_seconds=spent.lost,
            worker_seconds=spent.there,
            machines=self.pace.machines,
            dollars=self.there.dollars,
            waiting_for=self.waiting_for,
            held=self.held.told() if self.held else "",
            stream=self.stream.now(),
        )

    @property
    def spent(self) -> Spent:
        """Tell where the time of all workers went, while they were there."""
        return Spent.of(self._tally.seconds, there=self.there.seconds)

    def remark(self) -> str:
        """Tell what whoever watches should know, once."""
        return self._remarks.popleft() if self._remarks else ""

    def hear(self, message: Message) -> None:
        """Journal that a worker came or went, or what an engine told."""
        match message:
            case Joined(worker, machine):
                self.there.joined(worker, machine)
                self._write(events.WorkerJoined(worker, machine))
            case Left(worker, reason):
                self.there.left(worker)
                self._write(events.WorkerLeft(worker, reason))
            case Told(text):
                self._write(events.UserTold(text))
            case Began():
                self.began(message)

    def began(self, message: Began) -> None:
        """Know that a worker has begun a task."""
        self.under_way.began(message.ticket, message.worker, self._clock())

    def done(self, worker: str, outcome: Outcome, *, is_kept: bool) -> None:
        """Add up what a task came to; of one that is not kept, as it will be done again, only its time."""
        machine = self.there.machine_of(worker)
        self.under_way.done(outcome.task, outcome.seconds.total, self._clock())
        self._tally.done(worker, machine, outcome, is_kept=is_kept)
        self.pace.add(machine, rows=outcome.rows_in if is_kept else 0, seconds=outcome.seconds.total)

    def lost(self, number: int, reason: str) -> None:
        """Journal that a task was not finished, and how long its worker had been at it."""
        task, worker, seconds = self.under_way.lost(number, self._clock())
        place = self.under_way.place_of(task) if task else {}
        self._write(events.Retried(reason, worker or None, round(seconds, 3) if worker else 0.0, **place))
        self._spent_in_vain(worker, seconds)

    def recalled(self, number: int) -> None:
        """Count as lost how long a worker was at a task that nobody waits for any more; there is no other try at it."""
        self._spent_in_vain(*self.under_way.recalled(number, self._clock()))

    def _spent_in_vain(self, worker: str, seconds: float) -> None:
        if worker:
            self._tally.lost(worker, seconds)
            self.pace.add(self.there.machine_of(worker), rows=0, seconds=seconds)

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

    def look(self, progress: Progress, *, rows_total: int | None, idle: Callable[[], int]) -> None:
        """Find out why workers wait, where they do; journal what was done since the last time, if that is long ago."""
        now = self._clock()
        if now < self._next_look:
            return
        self._next_look = now + _LOOK_EVERY
        self._hear_of_leases()
        self.waiting_for = self._why_they_wait(progress, idle())
        self._wonder(progress, rows_total, now)
        wanted = span(self._told.work - self._told.began, self.there.workers)
        if now - self._told.work >= wanted and self._tally.untold:
            self.tell(progress, rows_total=rows_total)
        elif now - self._told.progress >= _PROGRESS_EVERY:
            self._tell(progress, rows_total, Measures())
        elif now - self._told.stream >= _STREAM_EVERY:
            self._tell_of_stream(now)

    def begin_journal_anew(self) -> None:
        """Journal how a stream stands, as nothing that was told of that is in the journal any more."""
        self.stream.forget()
        self._tell_of_stream(self._clock())

    def _tell_of_stream(self, now: float) -> None:
        """Journal how a stream stands, unless it is as before."""
        self._told = self._told._replace(stream=now)
        if (news := self.stream.news()) is not None:
            self._write(news)

    def _hear_of_leases(self) -> None:
        while not self._renewals.empty():
            renewed = self._renewals.get()
            new = self.there.came(renewed.machines, renewed.prices)
            self.there.leaving = frozenset(renewed.notices)
            self._write(events.Renewed(renewed.machines, renewed.lease, new))
            for text in renewed.news:
                self._write(events.UserTold(text))
                self._remarks.append(text)

    def _wonder(self, progress: Progress, rows_total: int | None, now: float) -> None:
        """Notice rows that a worker is at for strangely long: say so once, and journal it at once."""
        before, self.held = self.held, self.under_way.held(now, workers=self.there.workers)
        if self.held is not None and (before is None or before.place != self.held.place):
            if not self.held.limit:
                self._remarks.append(self.held.advice())
            self._tell(progress, rows_total, Measures())

    def _why_they_wait(self, progress: Progress, idle: int) -> str:
        if not self.there.machines:
            return "every worker is gone; waiting for others" if self.there.had_any else "workers start"
        if not idle or progress.is_done or progress.waiting_weight:
            return ""
        if not progress.is_complete:
            return "the input is read no faster"
        count = len(progress.running)
        return f"the last {count} tasks are with workers" if count > 1 else "the last task is with its worker"

    def tell(self, progress: Progress, *, rows_total: int | None) -> None:
        """Journal how far the run is, and what every worker did since the last time."""
        self._tell(progress, rows_total, self._tally.tell())

    def _tell(self, progress: Progress, rows_total: int | None, measured: Measures) -> None:
        """Journal how far the run is: what workers did follows more rarely, the longer it lasts."""
        now = self._clock()
        at_work = self.under_way.at_work(now, longer=_LONG)
        rows_left = None if rows_total is None else rows_total - progress.rows_done
        self._reckon(now, at_work, rows_left)
        self._write(
            events.Measured(
                span=round(now - self._told.work, 3),
                rows_done=progress.rows_done,
                rows_total=rows_total,
                rows_out=progress.rows_out,
                bad_rows=progress.bad_rows,
                at_work={worker: round(seconds, 1) for worker, seconds in at_work.items()},
                running=len(progress.running),
                **self._as_it_goes(),
                **measured.as_fields(known=self._tally.reasons),
            )
        )
        self._told = self._told._replace(progress=now)
        self._tell_of_stream(now)
        if measured:
            self._told = self._told._replace(work=now)
            self._tally.reasons.update(measured.reasons)
        if rows_left is not None:
            self._plan(rows_left)

    def _reckon(self, now: float, at_work: Mapping[str, float], rows_left: int | None) -> None:
        """Reckon how fast it goes, which tasks have part in that are not finished yet."""
        going: defaultdict[str, list[float]] = defaultdict(list)
        for worker, seconds in at_work.items():
            going[self.there.machine_of(worker)].append(seconds)
        seconds = now - max(self._told.progress, self.under_way.first_began or 0.0)
        self.pace.reckon(seconds, self.there.workers_on, going=going, rows_left=rows_left)

    def _as_it_goes(self) -> dict[str, Any]:
        """Write pace, time left and what holds the run up as fields of an event."""
        left = self.pace.seconds_left
        return {
            "rows_per_second": round(self.pace.rows_per_second, 3),
            "seconds_left": [round(one, 3) for one in left] if left else None,
            "held": self.held.as_field() if self.held else None,
            "waiting_for": self.waiting_for,
        }

    def _plan(self, rows_left: int) -> None:
        made = self.pace.plan(rows_left, workers=self.there.workers, dollars_an_hour=self.there.dollars_an_hour)
        if made is not None:
            self._write(made)
