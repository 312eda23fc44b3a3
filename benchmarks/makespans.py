"""Judge how tasks are sized and dealt out: jobs on machines that are not there, by the real state of a run.

No process, no file and no clock: what workers would do is worked out. Each worker loads before its first task, a call
has a fixed cost, and machines have paces of their own. Prints how much of the workers' time went into rows: from when
each was ready, and from when it joined.
"""

import argparse
from collections import Counter
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


@dataclass(frozen=True, slots=True)
class Scene:
    """A job, and the machines that it is on."""

    name: str
    rows: int
    machines: int
    each: int = 7
    call: float = 0.02
    """Seconds that a task costs besides its rows."""
    load: tuple[float, float] = (0.0, 0.0)
    """Seconds that the workers of the first and of the last machine load, from when they have their first task."""
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
    Scene("100,000 rows on 112, the last at half the pace", 100_000, 16, slowest=2.0),
    Scene("100,000 rows on 112, 0.2 s a call", 100_000, 16, call=0.2),
    Scene("100,000 rows on 112, rows of 0.5 to 1.5 times the time", 100_000, 16, spread=0.5),
    Scene("1,000,000 rows on 112", 1_000_000, 16),
    Scene("1,000,000 rows on 112 that load for 2 to 60 s", 1_000_000, 16, load=(2.0, 60.0)),
)


@dataclass(slots=True)
class _Worker:
    machine: int
    held: list[Task] = field(default_factory=list)
    ready_at: float | None = None
    rows: int = 0


class Played:
    """A scene, played to its end."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        count = scene.machines * scene.each
        self._progress = Progress(workers=count, max_bad_rows=0, may_duplicate=True)
        self._progress.work_on(frozenset(map(str, range(scene.machines))))
        self._progress.add_parts(parts_of(scene.rows))
        self._progress.no_more_parts()
        self.workers = [_Worker(number % scene.machines) for number in range(count)]
        self._ends: list[tuple[float, int, int]] = []
        self.now = 0.0
        self.tasks = 0
        self._play()

    def _play(self) -> None:
        self._act(self._progress.submit(self._slots(), now=0.0))
        while not self._progress.is_done:
            self.now, number, _ = heappop(self._ends)
            if number >= 0:
                self._end(number)
            self._act(self._progress.submit(self._slots(), now=self.now))

    def _end(self, number: int) -> None:
        worker = self.workers[number]
        task = worker.held.pop(0)
        if self._progress.is_running(task.number):
            self._done(worker, task)
        if worker.held:
            self._begin(number)

    def _done(self, worker: _Worker, task: Task) -> None:
        rows, worker.ready_at = task.hi - task.lo, worker.ready_at or self.now
        worker.rows += rows
        seconds = self._seconds(worker, task)
        outcome = Outcome(task, rows, rows, seconds=Seconds(function=seconds, total=seconds))
        self._act(self._progress.done(task.number, outcome, machine=str(worker.machine)))

    def _seconds(self, worker: _Worker, task: Task) -> float:
        scene = self.scene
        slow = 1.0 + (scene.slowest - 1.0) * worker.machine / max(scene.machines - 1, 1)
        odd = 1.0 + scene.spread * (2.0 * (task.first * 0.6180339887 % 1.0) - 1.0)
        return scene.call + (task.hi - task.lo) * ROW_SECONDS * slow * odd

    def _slots(self) -> dict[str, Slots]:
        holding = Counter((worker.machine, len(worker.held)) for worker in self.workers)
        return {str(at): Slots(holding[at, 0], holding[at, 1]) for at in range(self.scene.machines)}

    def _act(self, actions: list[Action]) -> None:
        for action in actions:
            if isinstance(action, Submit):
                there = [at for at, worker in enumerate(self.workers) if str(worker.machine) == action.machine]
                number = min(there, key=lambda at: (len(self.workers[at].held), self.workers[at].ready_at is None))
                self.workers[number].held.append(action.task)
                self.tasks += 1
                if len(self.workers[number].held) == 1:
                    self._begin(number)

    def _begin(self, number: int) -> None:
        worker = self.workers[number]
        first, last = self.scene.load
        loading = 0.0
        if worker.ready_at is None:
            loading = first + (last - first) * worker.machine / max(self.scene.machines - 1, 1)
        ends = self.now + LATENCY + loading + self._seconds(worker, worker.held[0])
        heappush(self._ends, (ends, number, len(self._ends)))

    @property
    def best(self) -> float:
        """Tell how long it would take if rows could be dealt out at any time, one by one, and calls cost nothing."""
        loads, scene = self.scene.load, self.scene
        low, high = 0.0, 1e9
        while high - low > FINE:
            middle = (low + high) / 2
            done = sum(
                scene.each * max(middle - loads[0] - (loads[1] - loads[0]) * at / max(scene.machines - 1, 1), 0.0)
                / (ROW_SECONDS * (1.0 + (scene.slowest - 1.0) * at / max(scene.machines - 1, 1)))
                for at in range(scene.machines)
            )  # fmt: skip
            low, high = (low, middle) if done >= scene.rows else (middle, high)
        return high


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
