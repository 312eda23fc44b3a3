"""Measure how long the page of a long run takes to open, and what it holds: a journal of a million events.

112 workers have done a million tasks, each as long as so many workers get them. What workers did is journaled as often
as a run does; the other events tell where rows lie, which the page skips.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from muster._journal.measures import span
from muster._progress.queue import TASK_SECONDS, TASK_SECONDS_A_WORKER

EVENTS = 1_000_000
MACHINES, WORKERS_EACH = 16, 7
WORKERS = MACHINES * WORKERS_EACH
KEPT = json.dumps(
    {
        "event": "kept",
        "at": 1795553649.573,
        "task": [123456, 123520, 0, 16166666666, 16175000000, 123456789, 64000, 123456789, 123520789],
        "rows_in": 64000,
        "rows_out": 64000,
        "output": {
            "name": "0-123456.rows",
            "bytes": 8333333,
            "crc": 3735928559,
            "rows": 64000,
            "place": {"file": "grown-1a2b3c4d", "offset": 16166666666},
        },
        "schema": [["ID", "SKU", "FLUX", "CLASSIFICATION"], [["int64"], ["int64"], ["float64"], ["str"]]],
        "seconds": {"read": 0.012345, "function": 2.123456, "write": 0.012345, "total": 2.148146},
    },
    separators=(",", ":"),
).encode()
OPEN = """
import resource, sys, time
begun = time.perf_counter()
from muster._journal.runs import find
from muster._watch.pages import overview_of
page = overview_of(find(None))
memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
print(time.perf_counter() - begun, time.process_time(), memory, len(page))
"""


def make(folder: Path) -> Path:
    sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
    from watching import Story  # noqa: PLC0415 (found by the path just added)

    spans = list(_spans())
    story = Story(
        folder,
        machines={f"m{at + 1}": WORKERS_EACH for at in range(MACHINES)},
        rows_total=10**12,
        at=time.time() - sum(spans),
    ).begin()
    for seconds in spans:
        story.work(0.01, span=seconds)
        os.write(story.journal._descriptor, (KEPT + b"\n") * (EVENTS // len(spans) - 1))  # noqa: SLF001 (a million at once)
    story.close()
    return story.path


def _spans() -> Iterator[float]:
    """Tell how far apart the measured events of the run are, in seconds."""
    seconds = EVENTS * max(TASK_SECONDS, WORKERS * TASK_SECONDS_A_WORKER) / WORKERS
    at = 0.0
    while at < seconds:
        one = span(at, WORKERS)
        at += one
        yield one


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        os.environ["MUSTER_HOME"] = folder
        journal = make(Path(folder))
        print(
            f"{EVENTS:,} events, {journal.stat().st_size / 1e6:,.0f} MB; of this process, "
            f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3:,.0f} MB"
        )
        for _ in range(3):
            done = subprocess.run([sys.executable, "-c", OPEN], check=True, capture_output=True, text=True)
            seconds, processor, megabytes, size = done.stdout.split()
            took = f"{float(seconds):.2f} s, {float(processor):.2f} s of the processor"
            print(f"opened in {took}; {float(megabytes):,.0f} MB at most, a page of {int(size):,} bytes")


if __name__ == "__main__":
    main()
