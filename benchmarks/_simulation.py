"""Run a job on thousands of workers that are not there: the runner is real, the workers' time is a fake clock's.

What comes back is what real workers give: columns, steps, where the time went, a load now and then, and of each
thousandth row that it is bad, with its line for the rejects. With ``--pieces`` each task also has a file of its own,
which the runner moves to the output; without, the function drops all rows, and no file system has part in the figures.
"""

import argparse
import json
import os
import pickle
import resource
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

from muster._job import Job, Options, Snapshot
from muster._journal.measures import bin_of
from muster._model import Load, Outcome, Piece, Reason, Schema, Seconds, StepMeasure, Target, Task
from muster._run.runner import run
from muster._run.staffing.bodies import make_body
from muster.testing import FakeEngine

ROW_BYTES = 8
SECONDS = 8.0
GOLDEN = 0.6180339887
"""Its multiples are spread evenly over an interval."""

SCHEMA = Schema(("a", "label", "score"), (("str",), ("str",), ("float64",)))
BAD_EVERY = 1_000
LOAD_EVERY = 100
TICK = 0.01
"""What is done within so many seconds of the clock is told at a time, as a runner that has much to do hears of it."""

WHY = "ValueError: the row is one of the bad ones"
TEXT = b"0000000,positive,0.75\n"
LINE = b'{"file":"rows.csv","row":0,"byte_offset":2,"raw":"0000000","step":"classify","error":"%s"}\n' % WHY.encode()


class Body:
    """Answer tasks without doing them, and questions by the real body."""

    tasks = 0
    writes_pieces = False
    tick = TICK
    _folder = Path()
    _real: Any = None
    _asked: object = None
    _answer: object = None

    def brief(self, briefing: bytes) -> None:
        if Body.tasks == 0 and Body._folder == Path():
            Body._folder = Path(pickle.loads(briefing).folder)  # noqa: S301 (this process's own)
            Body._folder.mkdir(parents=True, exist_ok=True)

    def __call__(self, request: Any) -> object:  # noqa: ANN401 (a task, or any question)
        if isinstance(request, Task):
            Body.tasks += 1
            return outcome_of(request)
        if request != Body._asked:  # what all workers are asked side by side costs the runner nothing
            Body._real = Body._real or make_body()  # one for all, whoever is asked: it loads for a while
            Body._asked, Body._answer = request, Body._real(request)
        return Body._answer

    def end(self) -> None:
        pass

    @classmethod
    def piece(cls, name: str, text: bytes, *, rows: int) -> Piece:
        (cls._folder / name).write_bytes(text)
        return Piece(f"{cls._folder.name}/{name}", len(text), 0, rows)


def outcome_of(task: Task) -> Outcome:
    """Tell of a task what a worker would: the last row of each thousandth is bad."""
    total = taken(task)
    rows = task.hi - task.lo
    bad_rows = 1 if task.first % BAD_EVERY == BAD_EVERY - 1 else 0
    good = rows - bad_rows
    output = None
    if Body.writes_pieces and good:
        output = Body.piece(f"{task.number}.csv", TEXT * good, rows=good)
    return Outcome(
        task,
        rows,
        good if output else 0,
        output,
        Body.piece(f"{task.number}.rejects", LINE, rows=1) if bad_rows else None,
        bad_rows,
        SCHEMA,
        seconds=Seconds(read=0.01, function=total - 0.03, write=0.01, total=total, waiting=0.001),
        first_error=WHY if bad_rows else "",
        steps=(StepMeasure(rows, good, 1, total - 0.03, {bin_of(total): 1}),),
        reasons=(Reason("classify", WHY, 1, WHY),) if bad_rows else (),
        cpu=total,
        memory=200 << 20,
        load=None if task.first % LOAD_EVERY else Load(0.9, 8, 4 << 30, 16 << 30, 100 << 30),
    )


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
    began: list[tuple[float, float]] = []
    journaled: list[int] = []

    def make_engine(_: int) -> FakeEngine:
        clock_engine.append(FakeEngine(Body, workers=workers, machines=workers // 8, seconds=taken, tick=Body.tick))
        return clock_engine[0]

    def watch(snapshot: Snapshot) -> None:
        if snapshot.phase != "working":
            if began:  # it is abridged at the end
                journaled.append(journal.stat().st_size)
            return
        if not began:
            began.append((time.monotonic(), os.times().user))
            journaled.append(journal.stat().st_size)
        if snapshot.rows_done >= len(memory) * rows / 10:
            memory.append((snapshot.rows_done, psutil.Process().memory_info().rss))

    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "rows.csv")
        source.write_text("a\n" + "".join(f"{row:07d}\n" for row in range(rows)))
        target = Target("module", "sleeping", "classify")
        options = Options(part_bytes=ROW_BYTES, dtype="str", workers=workers, max_bad_rows="1%")
        os.environ["MUSTER_HOME"] = folder
        job = Job((target,), (str(source),), str(Path(folder, "out.csv")), options)
        journal = Path(folder, "out.csv.muster", "journal.jsonl")
        result = run(job, watch=watch, make_engine=make_engine)
        seconds, user = time.monotonic() - began[0][0], os.times().user - began[0][1]
    return {
        "workers": workers,
        "tasks": Body.tasks,
        "parts": result.parts,
        "bad_rows": result.bad_rows,
        "seconds": seconds,
        "user_seconds": user,
        "memory_begun": memory[1][1],
        "memory_ended": memory[-1][1],
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "journal_bytes_a_task": (max(journaled) - journaled[0]) / Body.tasks,
        "virtual": clock_engine[0].clock.seconds,
        "efficiency": rows * SECONDS / (clock_engine[0].clock.seconds * workers),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("workers", type=int)
    parser.add_argument("tasks", type=int)
    parser.add_argument("--pieces", action="store_true", help="write a file for each task, as workers do")
    parser.add_argument("--one-by-one", action="store_true", help="tell of each task by itself: a wake-up for each")
    parsed = parser.parse_args()
    Body.writes_pieces = parsed.pieces
    Body.tick = 0.0 if parsed.one_by_one else TICK
    print(json.dumps(simulate(parsed.workers, parsed.tasks)))
