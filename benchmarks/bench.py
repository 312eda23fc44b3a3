"""Measure muster and its peers, in turns, as whole processes, and judge what each of them wrote.

Prints the tables of times and answers, one of memory, and the goals, in markdown. ``--show`` prints the last results
again: they lie in benchmarks/.data. Inputs are made for each job, and removed after it.
"""

import argparse
import datetime as dt
import json
import os
import platform
import sys
from pathlib import Path
from typing import Any

import psutil

import _tables
from _data import DATA, MUSTER
from _jobs import JOBS
from _measure import run
from _peers import APART, PEERS, versions
from _trial import ROUNDS, WORKERS, environment, measured

HELP_ROUNDS = 7
LIBRARIES = ("pandas", "numpy", "pyarrow", "joblib", "dask", "ray", "pyspark", "daft", "duckdb", "polars")
NAMES = tuple(job.name for job in JOBS)
Results = dict[str, Any]


def main() -> None:
    parsed = _arguments()
    saved = DATA / ("results.json" if parsed.most is None else "results-tried.json")
    results: Results = json.loads(saved.read_text()) if saved.exists() else {}
    if not parsed.show:
        DATA.mkdir(exist_ok=True)
        results = (results if parsed.jobs else {}) | {"machine": _machine(), "most": parsed.most}
        if "start-up" in (parsed.jobs or NAMES):
            results["help"] = _help_seconds()
        for job in (job for job in JOBS if job.name in (parsed.jobs or NAMES)):
            began = dt.datetime.now(dt.UTC).strftime("%Y-%m-%d %H:%M")
            chosen = job if parsed.most is None else job.at_most(parsed.most)
            found = measured(chosen, rounds=parsed.runs, peers=parsed.peers) | {"date": began}
            results.setdefault("jobs", {})[job.name] = found
            saved.write_text(json.dumps(results, indent=1))
    print(_tables.render(results))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("jobs", nargs="*", metavar="JOB", help=f"measure these alone, of {', '.join(NAMES)}")
    parser.add_argument("--runs", type=int, metavar="N", help=f"of each peer (default: {ROUNDS} of most jobs)")
    parser.add_argument("--peers", default=",".join(PEERS), help="those alone, separated by commas (default: all)")
    parser.add_argument("--most", type=int, metavar="ROWS", help="of a job: to try things out; times say nothing then")
    parser.add_argument("--show", action="store_true", help="measure nothing; print the last results again")
    parsed = parser.parse_args()
    parsed.peers = parsed.peers.split(",")
    for what, given, offered in (("job", parsed.jobs, NAMES), ("peer", parsed.peers, tuple(PEERS))):
        if strange := [name for name in given if name not in offered]:
            sys.exit(f"No {what} is called {', '.join(strange)}. Choose among {', '.join(offered)}.")
    return parsed


def _machine() -> Results:
    return {
        "cores": WORKERS,
        "memory": psutil.virtual_memory().total,
        "load": os.getloadavg()[0],
        "system": platform.system(),
        "python": platform.python_version(),
        "libraries": _libraries(Path(sys.executable)),
        "apart": _libraries(APART),
        "versions": {name: peer.version for name, peer in PEERS.items()},
    }


def _libraries(python: Path) -> dict[str, str]:
    there = versions(python)
    return {name: there[name] for name in LIBRARIES if name in there}


def _help_seconds() -> list[float]:
    return [run([str(MUSTER), "--help"], environment=environment()).seconds for _ in range(HELP_ROUNDS)]


if __name__ == "__main__":
    main()
