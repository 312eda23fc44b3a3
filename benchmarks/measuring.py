"""Measure what measuring costs: the cheap job with measures and without, in turns, as whole processes.

The cheap function is the worst case: the more a function does, the smaller the share of everything else.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

from _data import rows

ROWS = 2_000_000
HERE = Path(__file__).parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    rounds = parser.parse_args().rounds
    source = rows(ROWS)
    found: dict[str, list[tuple[float, float]]] = {"with": [], "without": []}
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "MUSTER_HOME": folder, "PYTHONPATH": str(HERE)}
        for _ in range(rounds):
            for name, runs in found.items():
                output = Path(folder, "out.csv")
                output.unlink(missing_ok=True)
                os.sync()  # nobody pays for what another left to be written
                command = [sys.executable, str(HERE / "_one_run.py"), str(source), str(output), name]
                done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
                seconds, processor = map(float, done.stdout.split())
                runs.append((seconds, processor))
    for at, what in enumerate(("time", "processor time")):
        there, not_there = (median(run[at] for run in found[name]) for name in ("with", "without"))
        pairs = [one[at] / other[at] - 1 for one, other in zip(found["with"], found["without"], strict=True)]
        print(f"{what}: {there:.2f} s with measures, {not_there:.2f} s without; pair by pair {median(pairs):+.1%}")


if __name__ == "__main__":
    main()
