"""Fleets of workers that are mere numbers, and how long a run takes them by a clock that nobody waits for.

The state of a run is the real one; what is simulated is who joins when, how long each loads, how fast each is, and what
handing a task over costs. The best that any order of tasks could reach is known, too.
"""

import heapq
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate

from muster._model import Outcome, Part, Schema, Seconds, Task
from muster._progress.actions import Submit, TakeBack
from muster._progress.openings import Slots
from muster._progress.progress import Progress

ROW_BYTES = 128
_TICK = 0.1
"""Seconds after which the runner looks around in any case."""

_CLOCK = -1


@dataclass(frozen=True)
class Hand:
    """A worker: its machine, when it joins, how long it loads before its first task, how many times slower it is."""

    machine: str
    joins: float = 0.0
    loads: float = 0.0
    slowness: float = 1.0


@dataclass(frozen=True)
class Labour:
    """What there is to do: how many rows each part has, seconds of each row, of each call, and of handing over."""

    rows: Sequence[int]
    seconds_of: Callable[[int], float]
    call: float = 0.0
    dispatch: float = 0.004
    batch_rows: int | None = None

    @property
    def parts(self) -> list[Part]:
        starts = [0, *accumulate(self.rows)]
        return [
            Part(0, ROW_BYTES * at, ROW_BYTES * (at + rows), at, rows)
            for at, rows in zip(starts, self.rows, strict=False)
        ]

    @property
    def seconds(self) -> float:
        return sum(map(self.seconds_of, range(sum(self.rows))))

    @property
    def longest(self) -> float:
        """How long what cannot be cut takes, at the most."""
        size, total = self.batch_rows or 1, sum(self.rows)
        return max(sum(map(self.seconds_of, range(at, min(at + size, total)))) for at in range(0, total, size))


@dataclass
class Ran:
    """How a run went."""

    seconds: float = 0.0
    tasks: int = 0
    of: Counter[int] = field(default_factory=Counter)
    """How many tasks each worker did."""


def ideal(hands: Sequence[Hand], work: float) -> float:
    """Tell when so many seconds of work are done by a fleet that is never idle, and nothing costs anything else."""
    ready = sorted((hand.joins + hand.loads, 1 / hand.slowness) for hand in hands)
    pace, done, at = 0.0, 0.0, 0.0
    for when, speed in ready:
        if pace and done + pace * (when - at) >= work:
            break
        done += pace * (when - at)
        at, pace = when, pace + speed
    return at + (work - done) / pace


def makespan(hands: Sequence[Hand], labour: Labour) -> Ran:
    """Have a fleet do it all, by the sizes that the state of a run gives out."""
    progress = Progress(workers=len(hands), max_bad_rows=0, batch_rows=labour.batch_rows)
    progress.add_parts(labour.parts)
    progress.no_more_parts()
    return _Fleet(hands, labour, progress).run()


class _Fleet:
    def __init__(self, hands: Sequence[Hand], labour: Labour, progress: Progress) -> None:
        self._hands, self._labour, self._progress = hands, labour, progress
        self._there: list[int] = []
        self._held: dict[int, list[Task]] = {}
        self._fresh = set(range(len(hands)))
        self._turns = Counter[int]()
        self._ended: dict[int, float] = {}
        """When each worker was done with a task."""
        self._due = [(hand.joins, 0, at, 0) for at, hand in enumerate(hands)] + [(0.0, 2, _CLOCK, 0)]
        self._ran = Ran()
        heapq.heapify(self._due)

    def run(self) -> Ran:
        progress = self._progress
        while not progress.is_done:
            now, _, at, turn = heapq.heappop(self._due)
            if at == _CLOCK:
                heapq.heappush(self._due, (now + _TICK, 2, _CLOCK, 0))
            elif turn:
                if self._turns[at] != turn:
                    continue  # it was ended meanwhile
                self._finish(at, now)
            else:
                self._there.append(at)
                self._held[at] = []
                progress.work_on(frozenset(self._hands[one].machine for one in self._there))
            self._is_new = True
            while self._is_new:
                self._is_new = False
                self._hand_out(now)
            self._ran.seconds = now
        return self._ran

    def _slots(self) -> dict[str, Slots]:
        slots: dict[str, Slots] = {}
        for at in self._there:
            machine, held = self._hands[at].machine, len(self._held[at])
            idle, ahead = slots.get(machine, (0, 0))
            slots[machine] = Slots(idle + (not held), ahead + (held == 1))
        return slots

    def _hand_out(self, now: float) -> None:
        for action in self._progress.submit(self._slots(), now=now):
            if isinstance(action, TakeBack):
                self._take_back(action.number)
                continue
            assert isinstance(action, Submit)
            there = [at for at in self._there if self._hands[at].machine == action.machine]
            at = min(there, key=lambda one: len(self._held[one]))
            self._held[at].append(action.task)
            if len(self._held[at]) == 1:
                self._begin(at, now, waited=self._labour.dispatch)

    def _begin(self, at: int, now: float, *, waited: float) -> None:
        self._turns[at] += 1
        heapq.heappush(self._due, (now + waited + self._seconds(at), 1, at, self._turns[at]))

    def _take_back(self, number: int) -> None:
        """End the worker that is on a task; another takes its place, which loads anew."""
        holding = (at for at in self._there if any(task.number == number for task in self._held[at]))
        if (at := next(holding, None)) is None:
            return  # it was lost with another one
        lost, self._held[at] = self._held[at], []
        self._turns[at] += 1
        self._fresh.add(at)
        self._ended.pop(at, None)
        for task in lost:
            self._progress.lost(task.number, "it was cancelled", began=task is lost[0])
        self._is_new = True

    def _seconds(self, at: int) -> float:
        """Say how long a worker takes for the task that it is on: for its first, it loads."""
        hand, task = self._hands[at], self._held[at][0]
        calls = 1 if self._labour.batch_rows is None else -(-(task.hi - task.lo) // self._labour.batch_rows)
        work = sum(map(self._labour.seconds_of, range(task.lo, task.hi))) + calls * self._labour.call
        return work * hand.slowness + (hand.loads if at in self._fresh else 0.0)

    def _finish(self, at: int, now: float) -> None:
        seconds = self._seconds(at)
        self._fresh.discard(at)
        task = self._held[at].pop(0)
        self._ran.tasks += 1
        self._ran.of[at] += 1
        rows = task.hi - task.lo
        schema = Schema(("a",), (("str",),))
        waiting = now - seconds - self._ended[at] if at in self._ended else 0.0
        self._ended[at] = now
        outcome = Outcome(task, rows, rows, schema=schema, seconds=Seconds(total=seconds, waiting=max(waiting, 0.0)))
        self._progress.done(task.number, outcome, machine=self._hands[at].machine)
        if self._held[at]:
            self._begin(at, now, waited=0.0)
