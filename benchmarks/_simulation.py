"""Run a job on thousands of workers that are not there: the runner is real, the workers' time is a fake clock's."""

import json
import os
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

from muster._job import Job, Options, Snapshot
from muster._model import Outcome, Seconds, Target, Task
from muster._run.assembly import make_body
from muster._run.runner import run
from muster.testing import FakeEngine

ROW_BYTES = 8
SECONDS = 8.0
GOLDEN = 0.6180339887
"""Its multiples are spread evenly over an interval."""


class Body:
    """Answer tasks without doing them, and questions by the real body."""

    tasks = 0
    _real: Any = None
    _asked: object = None
    _answer: object = None

    def brief(self, briefing: bytes) -> None:
        pass

    def __call__(self, request: Any) -> object:  # noqa: ANN401 (a task, or any question)
        if isinstance(request, Task):
            Body.tasks += 1
            rows = request.hi - request.lo
            return Outcome(request, rows, 0, seconds=Seconds(total=taken(request)))
        if request != Body._asked:  # what all workers are asked side by side costs the runner nothing
            Body._real = Body._real or make_body()  # one for all, whoever is asked: it loads for a while
            Body._asked, Body._answer = request, Body._real(request)
        return Body._answer

    def end(self) -> None:
        pass


def taken(request: object) -> float:
    """Say how long a task takes: 8 s a row, a fifth more or less, the same for the same row."""
    if not isinstance(request, Task):
        return 0.0
    return SECONDS * (request.hi - request.lo) * (0.8 + 0.4 * (request.first * GOLDEN % 1.0))


def simulate(workers: int, tasks: int) -> dict[str, float]:
    """Settle about so many tasks; tell the pace, the memory, and how well the workers were used.

    All tasks but the first of each worker are of one row.
    """
    rows = tasks * 4 // 3
    clock_engine: list[FakeEngine] = []
    memory: list[tuple[int, int]] = []
    began: list[float] = []

    def make_engine(_: int) -> FakeEngine:
        clock_engine.append(FakeEngine(Body, workers=workers, machines=workers // 8, seconds=taken))
        return clock_engine[0]

    def watch(snapshot: Snapshot) -> None:
        if snapshot.phase != "working":
            return
        if not began:
            began.append(time.monotonic())
        if snapshot.rows_done >= len(memory) * rows / 10:
            memory.append((snapshot.rows_done, psutil.Process().memory_info().rss))

    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "rows.csv")
        source.write_text("a\n" + "".join(f"{row:07d}\n" for row in range(rows)))
        target = Target("module", "sleeping", "classify")
        options = Options(part_bytes=ROW_BYTES, dtype="str", workers=workers)
        os.environ["MUSTER_HOME"] = folder
        job = Job((target,), (str(source),), str(Path(folder, "out.csv")), options)
        result = run(job, watch=watch, make_engine=make_engine)
        seconds = time.monotonic() - began[0]
    return {
        "workers": workers,
        "tasks": Body.tasks,
        "parts": result.parts,
        "seconds": seconds,
        "memory_begun": memory[1][1],
        "memory_ended": memory[-1][1],
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "virtual": clock_engine[0].clock.seconds,
        "efficiency": rows * SECONDS / (clock_engine[0].clock.seconds * workers),
    }


if __name__ == "__main__":
    print(json.dumps(simulate(int(sys.argv[1]), int(sys.argv[2]))))
