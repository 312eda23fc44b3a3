"""Run groups and states over an input that is four times as large as the memory which the run may have.

Memory is that of the control group of the run: muster, its workers, and what the kernel keeps of files for them. A run
that needs more is killed. Linux, version 1 of control groups, and root. Prints markdown.
"""

import argparse
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from _data import DATA

WORKERS: Final = 2
KEYS: Final = 100_000
GROUP: Final = Path("/sys/fs/cgroup/memory/muster-beyond-memory")

BEGIN: Final = """
import json, sys
import muster

def last(df):
    return df.tail(1).assign(rows=len(df))

def counted(df, states):
    totals = df.groupby("user").cumcount() + df["user"].map(states.__getitem__) + 1
    states.update(zip(df["user"], totals))
    return df.assign(nth=totals)[["user", "nth"]]

rows = muster.read_csv(sys.argv[1])
"""

JOBS: Final = {
    "agg": 'rows.group_by("user").agg(n="count", total=("amount", "sum"), items=("item", "nunique"))',
    "map_groups": 'rows.group_by("user").map_groups(last)',
    "key_by": 'rows.key_by("user").map_batches(counted, state=int)',
}
END: Final = """
result = job.write_csv(sys.argv[2]).run(workers=2, fresh=True, progress=False)
print(json.dumps(result.as_fields()))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("jobs", nargs="*", default=[*JOBS], help=f"of {', '.join(JOBS)} (default: all)")
    parser.add_argument("--megabytes", type=int, default=300, help="of memory, a worker (default: %(default)s)")
    parsed = parser.parse_args()
    limit = WORKERS * parsed.megabytes << 20
    rows = DATA / "beyond_memory.csv"
    count = write(rows, 4 * parsed.megabytes << 20)
    heads = "| job | seconds | memory without files, at most | on disk between stages | output |"
    print(
        f"\n{count:,} rows of {KEYS:,} keys, {rows.stat().st_size >> 20} MB of CSV; {WORKERS} workers,"
        f" {limit >> 20} MB of memory in all.\n\n{heads}\n|---|---|---|---|---|"
    )
    for name in parsed.jobs:
        seconds, peak, told = run(JOBS[name], rows, limit)
        between = sum(stage["bytes"] for stage in told["stages"][:-1])
        size = told["stages"][-1]["bytes"]
        print(f"| `{name}` | {seconds:.0f} | {peak >> 20} MB | {between >> 20} MB | {size >> 20} MB |", flush=True)


def write(path: Path, size: int) -> int:
    """Write at least so many bytes of rows, the same million again and again; count the rows."""
    DATA.mkdir(exist_ok=True)
    rng, rows = np.random.default_rng(0), 1_000_000
    frame = pd.DataFrame({"user": rng.integers(0, KEYS, rows), "amount": rng.random(rows).round(6)})
    frame["item"] = "item " + pd.Series(rng.integers(0, 1000, rows)).astype(str)
    frame["note"] = "a note of some length"
    text = frame.to_csv(index=False, header=False)
    times = -(-size // len(text))
    with path.open("w") as file:
        file.write("user,amount,item,note\n")
        for _ in range(times):
            file.write(text)
    return times * rows


def run(job: str, rows: Path, limit: int) -> tuple[float, int, dict[str, list[dict[str, int]]]]:
    """Run a job in a control group; tell its seconds, the most memory that it had, and its result."""
    GROUP.mkdir(exist_ok=True)
    try:
        (GROUP / "memory.limit_in_bytes").write_text(str(limit))
        joins = f"import os\nopen('{GROUP}/cgroup.procs', 'w').write(str(os.getpid()))\n"
        code = f"{joins}{BEGIN}\njob = {job}\n{END}"
        output = DATA / "beyond_memory.out.csv"
        began, peak = time.perf_counter(), Peak()
        with peak:
            done = subprocess.run(
                [sys.executable, "-c", code, str(rows), str(output)],
                stdout=subprocess.PIPE,
                text=True,
                check=True,
                env={**os.environ, "MUSTER_HOME": str(DATA / "home")},
            )
        return time.perf_counter() - began, peak.bytes, json.loads(done.stdout.splitlines()[-1])
    finally:
        GROUP.rmdir()


class Peak:
    """The most memory that the processes of the group have, without what the kernel keeps of files."""

    def __init__(self) -> None:
        self.bytes = 0
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._look)

    def _look(self) -> None:
        while not self._is_over.wait(0.05):
            told = dict(line.split() for line in (GROUP / "memory.stat").read_text().splitlines())
            self.bytes = max(self.bytes, int(told["total_rss"]))

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()


if __name__ == "__main__":
    main()
