"""Judge how tasks are sized and dealt out: jobs on machines that are not there, by the real state of a run.

No process, no file and no clock: what workers would do is worked out. Each worker joins, loads with its first task, a
call has a fixed cost, and machines have paces of their own. Prints the time from when the first worker joined, and the
share of it that the best possible way to deal out rows would take, which knows all that beforehand. What is lost to
machines that start one after the other is in both of them: what is left is lost by how tasks are dealt out.
"""

import argparse
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from heapq import heappop, heappush

from muster._dialects import Dialect
from muster._formats.survey import scans_of
from muster._model import Outcome, Part, Seconds, Slots, Source, Task
from muster._progress.actions import Action, Submit
from muster._progress.progress import Progress

ROW_SECONDS = 3.83e-3
FINE = 1e-6
"""Seconds to which the best time is worked out."""
ROW_BYTES = 131
LATENCY = 0.005
"""Seconds from when a worker is done to when it has its next task."""
TICK = 0.1
"""Seconds after which a run looks again at what is under way, also where nothing has happened."""


@dataclass(frozen=True, slots=True)
class Scene:
    """A job, and the machines that it is on."""

    name: str
    rows: int
    machines: int
    each: int = 7
    call: float = 0.02
    """Seconds that a task costs besides its rows."""
    joins: tuple[float, float] = (0.0, 0.0)
    """When the workers of the first and of the last machine join."""
    load: tuple[float, float] = (0.0, 0.0)
    """Seconds that the workers of the first and of the last machine load, from when they have their first task."""
    stagger: float = 0.0
    """By how many seconds each worker of a machine loads longer than the one before it."""
    slowest: float = 1.0
    """How many times as long as the first machine the last one takes for a row."""
    spread: float = 0.0
    """By which share of itself the time of a row differs from task to task."""


SCENES = (
    Scene("100,000 rows on 8", 100_000, 1, each=8),
    Scene("100,000 rows on 56", 100_000, 8),
    Scene("100,000 rows on 112", 100_000, 16),
    Scene("100,000 rows on 112 that load for 2 to 10 s", 100_000, 16, load=(2.0, 10.0)),
    Scene("100,000 rows on 112 that load for 2 to 60 s", 100_000, 16, load=(2.0, 60.0)),
    Scene("100,000 rows on 112, each of a machine 3 s later ready", 100_000, 16, load=(2.0, 4.0), stagger=3.0),
    Scene("100,000 rows on 112, the last at half the pace", 100_000, 16, slowest=2.0),
    Scene("100,000 rows on 112, 0.2 s a call", 100_000, 16, call=0.2),
    Scene("100,000 rows on 112, rows of 0.5 to 1.5 times the time", 100_000, 16, spread=0.5),
    Scene("1,000,000 rows on 112", 1_000_000, 16),
    Scene("1,000,000 rows on 112 that load for 2 to 60 s", 1_000_000, 16, load=(2.0, 60.0)),
)


@dataclass(slots=True)
class _Worker:
    machine: int
    joins: float
    loads: float
    pace: float
    """Rows a second."""
    held: list[Task] = field(default_factory=list)
    ready_at: float | None = None
    rows: int = 0


class Played:
    """A scene, played to its end; each time that work was handed out, ``watch`` may look at it."""

    def __init__(self, scene: Scene, *, watch: Callable[["Played"], None] = lambda _: None) -> None:
        self.scene = scene
        self._watch = watch
        count = scene.machines * scene.each
        self.progress = Progress(workers=count, max_bad_rows=0, may_duplicate=True)
        self.progress.work_on(frozenset(map(str, range(scene.machines))))
        self.progress.add_parts(parts_of(scene.rows))
        self.progress.no_more_parts()
        self.workers = [self._worker(number % scene.machines, number // scene.machines) for number in range(count)]
        self._ends = [(at, -1, 0) for at in sorted({worker.joins for worker in self.workers})]
        self.now = 0.0
        self.tasks = 0
        self._play()

    def _worker(self, machine: int, number: int) -> _Worker:
        scene, share = self.scene, machine / max(self.scene.machines - 1, 1)
        loads = _between(scene.load, share) + scene.stagger * number
        return _Worker(
            machine, _between(scene.joins, share), loads, 1 / (ROW_SECONDS * _between((1.0, scene.slowest), share))
        )

    def _play(self) -> None:
        heappush(self._ends, (TICK, -1, -1))
        while not self.progress.is_done:
            self.now, number, again = heappop(self._ends)
            if number >= 0:
                self._end(number)
            elif again:
                heappush(self._ends, (self.now + TICK, -1, -1))
            self._act(self.progress.submit(self._slots(), now=self.now))
            self._watch(self)

    def _end(self, number: int) -> None:
        worker = self.workers[number]
        task = worker.held.pop(0)
        if self.progress.is_running(task.number):
            self._done(worker, task)
        if worker.held:
            self._begin(number)

    def _done(self, worker: _Worker, task: Task) -> None:
        rows, worker.ready_at = task.hi - task.lo, worker.ready_at or self.now
        worker.rows += rows
        seconds = self._seconds(worker, task)
        outcome = Outcome(task, rows, rows, seconds=Seconds(function=seconds, total=seconds))
        self._act(self.progress.done(task.number, outcome, machine=str(worker.machine)))

    def _seconds(self, worker: _Worker, task: Task) -> float:
        scene = self.scene
        odd = 1.0 + scene.spread * (2.0 * (task.first * 0.6180339887 % 1.0) - 1.0)
        return scene.call + (task.hi - task.lo) / worker.pace * odd

    def _slots(self) -> dict[str, Slots]:
        joined = (worker for worker in self.workers if worker.joins <= self.now)
        holding = Counter((worker.machine, len(worker.held)) for worker in joined)
        return {str(at): Slots(holding[at, 0], holding[at, 1]) for at in range(self.scene.machines)}

    def _act(self, actions: list[Action]) -> None:
        for action in actions:
            if isinstance(action, Submit):
                there = [
                    at
                    for at, worker in enumerate(self.workers)
                    if str(worker.machine) == action.machine and worker.joins <= self.now
                ]
                number = min(there, key=lambda at: (len(self.workers[at].held), self.workers[at].ready_at is None))
                self.workers[number].held.append(action.task)
                self.tasks += 1
                if len(self.workers[number].held) == 1:
                    self._begin(number)

    def _begin(self, number: int) -> None:
        worker = self.workers[number]
        self.progress.began(worker.held[0].number, str(number))
        loading = worker.loads if worker.ready_at is None else 0.0
        ends = self.now + LATENCY + loading + self._seconds(worker, worker.held[0])
        heappush(self._ends, (ends, number, len(self._ends)))

    @property
    def best(self) -> float:
        """Tell how long it would take if rows could be dealt out at any time, one by one, and calls cost nothing."""
        low, high = 0.0, 1e9
        while high - low > FINE:
            middle = (low + high) / 2
            done = sum(max(middle - one.joins - one.loads, 0.0) * one.pace for one in self.workers)
            low, high = (low, middle) if done >= self.scene.rows else (middle, high)
        return high


def _between(ends: tuple[float, float], share: float) -> float:
    return ends[0] + (ends[1] - ends[0]) * share


def parts_of(rows: int) -> list[Part]:
    """Cut a file of so many rows as a survey would."""
    size = rows * ROW_BYTES
    ((scan, *_),) = scans_of([Source("rows.csv", size, "", "csv")], dialect=Dialect(), atom=None)
    each = max(round(scan.atom / ROW_BYTES), 1)
    return [
        Part(0, row * ROW_BYTES, min(row + each, rows) * ROW_BYTES, row, min(each, rows - row))
        for row in range(0, rows, each)
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.parse_args()
    print("| job | tasks | seconds | of the best possible |\n|---|---|---|---|")
    for scene in SCENES:
        played = Played(scene)
        print(f"| {scene.name} | {played.tasks:,} | {played.now:.2f} | {played.best / played.now:.1%} |")


if __name__ == "__main__":
    main()
