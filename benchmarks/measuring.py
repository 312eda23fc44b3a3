"""Measure what measuring costs: the cheap job with measures and without, in turns, as whole processes.

The cheap function is the worst case: the more a function does, the smaller the share of everything else. Of two runs
the one with measures is the first as often as the second, since what the first leaves to be written slows the next.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median, quantiles
from typing import NamedTuple

import psutil

from _data import rows

HERE = Path(__file__).parent
MEMORY = Path("/dev/shm")  # noqa: S108 (disks are not what is measured here)
HALVES = 2


class Cost(NamedTuple):
    """What a run took: seconds, and seconds of all processors of the computer."""

    wall: float
    processors: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=24)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parsed = parser.parse_args()
    source = rows(parsed.rows)
    found: dict[str, list[Cost]] = {"with": [], "without": []}
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.exists() else None) as folder:
        for at in range(parsed.rounds):
            for name in sorted(found, reverse=at % HALVES == 0):
                found[name].append(cost(name, source, Path(folder)))
    for what in Cost._fields:
        there, not_there = ([getattr(run, what) for run in found[name]] for name in ("with", "without"))
        pairs = [one / other - 1 for one, other in zip(there, not_there, strict=True)]
        low, _, high = quantiles(pairs, n=4)
        print(
            f"{what}: {median(there):.2f} s with measures, {median(not_there):.2f} s without; pair by pair "
            f"{median(pairs):+.1%} in the middle of {len(pairs)}, half of them from {low:+.1%} to {high:+.1%}"
        )


def cost(name: str, source: Path, folder: Path) -> Cost:
    """Run the job once, with measures or without; what it wrote is on the disk before another begins."""
    output = folder / "out.csv"
    output.unlink(missing_ok=True)
    os.sync()
    command = [sys.executable, str(HERE / "_one_run.py"), str(source), str(output), name]
    environment = {**os.environ, "MUSTER_HOME": str(folder), "PYTHONPATH": str(HERE)}
    began, used = time.perf_counter(), processor_seconds()
    subprocess.run(command, env=environment, check=True)
    return Cost(time.perf_counter() - began, processor_seconds() - used)


def processor_seconds() -> float:
    """Tell how long this computer's processors have worked: also for workers, for which nobody waits."""
    times = psutil.cpu_times()
    return float(times.user + times.system)


if __name__ == "__main__":
    main()
