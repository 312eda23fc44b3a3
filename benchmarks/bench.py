"""Measure muster and its peers, interleaved, as whole processes, and judge what each of them wrote.

Prints one table of times and answers and one of memory, in markdown. ``--show`` prints the last results again. The
data, pandas' answers and results.json lie in benchmarks/.data; delete it to start afresh.
"""

import argparse
import datetime as dt
import importlib.metadata
import json
import os
import platform
import sys
from typing import Any

import psutil

import _tables
from _data import DATA, MUSTER
from _jobs import jobs
from _measure import run
from _trial import ROUNDS, WORKERS, environment, is_installed, measured

HELP_ROUNDS = 7
LIBRARIES = ("pandas", "pyarrow", "joblib", "dask", "ray", "polars")
Results = dict[str, Any]


def main() -> None:
    parsed = _arguments()
    saved = DATA / ("results-quick.json" if parsed.quick else "results.json")
    results: Results = json.loads(saved.read_text()) if saved.exists() else {}
    if not parsed.show:
        large = not parsed.quick if parsed.large is None else parsed.large
        offered = jobs(quick=parsed.quick, large=large)
        chosen = [job for job in offered if parsed.only in {None, job.name}]
        if not chosen:
            sys.exit(f"No job is called {parsed.only!r}. Choose among {', '.join(job.name for job in offered)}.")
        DATA.mkdir(exist_ok=True)
        results = (results if parsed.only else {}) | {
            "machine": _machine(),
            "help": _help_seconds(),
            "quick": parsed.quick,
        }
        for job in chosen:
            began = dt.datetime.now(dt.UTC).strftime("%Y-%m-%d %H:%M")
            results.setdefault("jobs", {})[job.name] = measured(job, rounds=parsed.rounds) | {"date": began}
            saved.write_text(json.dumps(results, indent=1))
    print(_tables.render(results))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a twentieth of the rows, one round")
    parser.add_argument("--large", action=argparse.BooleanOptionalAction, help="10M rows too (default: unless --quick)")
    parser.add_argument("--rounds", type=int, help=f"runs of each peer (default: {ROUNDS}; --quick: 1)")
    parser.add_argument("--only", metavar="JOB", help="measure one job again; the rest stays as it was")
    parser.add_argument("--show", action="store_true", help="measure nothing; print the last results again")
    parsed = parser.parse_args()
    if parsed.rounds is None and parsed.quick:
        parsed.rounds = 1
    return parsed


def _machine() -> dict[str, Any]:
    return {
        "cores": WORKERS,
        "memory": psutil.virtual_memory().total,
        "load": os.getloadavg()[0],
        "system": platform.system(),
        "python": platform.python_version(),
        "libraries": {name: importlib.metadata.version(name) for name in LIBRARIES if is_installed(name)},
    }


def _help_seconds() -> list[float]:
    return [run([str(MUSTER), "--help"], environment=environment()).seconds for _ in range(HELP_ROUNDS)]


if __name__ == "__main__":
    main()
