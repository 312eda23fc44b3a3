"""Measure muster and its peers, in turns, as whole processes, and judge what each of them wrote.

Prints the tables of times and answers, one of memory, and the goals, in markdown. ``--show`` prints the last results
again: they lie in benchmarks/.data. Inputs are made for each job, and removed after it. Each job keeps the machine and
the versions that it was measured with.
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
from _data import DATA, MUSTER, remove_old
from _jobs import JOBS, Job
from _measure import run
from _peers import APART, PEERS, versions
from _trial import ROUNDS, WORKERS, environment, measured

HELP_ROUNDS = 7
LIBRARIES = ("pandas", "numpy", "pyarrow", "joblib", "dask", "ray", "pyspark", "daft", "duckdb", "polars")
FORMAT = 2
"""Of the saved results: another one is not read."""
NAMES = tuple(job.name for job in JOBS)
Results = dict[str, Any]


def main() -> None:
    parsed = _arguments()
    saved = DATA / ("results.json" if parsed.most is None else "results-tried.json")
    results = _saved(saved) if parsed.show or parsed.jobs or parsed.missing else {"format": FORMAT}
    chosen = [] if parsed.show else [job for job in JOBS if job.name in (parsed.jobs or NAMES)]
    if parsed.missing:
        chosen = [job for job in chosen if job.name not in results.get("jobs", {})]
    if parsed.needs_peers:
        print(*(job.name for job in chosen if job.has_apart(parsed.peers)))
        return
    if chosen:
        DATA.mkdir(exist_ok=True)
        remove_old()
    if "start-up" in (job.name for job in chosen):
        results["help"] = _help_seconds()
    for job in chosen:
        results.setdefault("jobs", {})[job.name] = _measured(job, parsed)
        saved.write_text(json.dumps(results, indent=1))
    print(_tables.render(results))


def _saved(path: Path) -> Results:
    """Read the results of earlier jobs, which stay in the tables; none, where none were measured."""
    results: Results = json.loads(path.read_text()) if path.exists() else {"format": FORMAT}
    if results.get("format") != FORMAT:
        sys.exit(
            f"{path} was written by another version of this benchmark, which kept other things. Type make bench without"
            " JOBS to measure all jobs anew, or remove the file."
        )
    return results


def _measured(job: Job, parsed: argparse.Namespace) -> Results:
    began = dt.datetime.now(dt.UTC).strftime("%Y-%m-%d %H:%M")
    about = {"date": began, "most": parsed.most, "load": os.getloadavg()[0], "machine": _machine()}
    chosen = job if parsed.most is None else job.at_most(parsed.most)
    return measured(chosen, rounds=parsed.runs, peers=parsed.peers) | about


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("jobs", nargs="*", metavar="JOB", help=f"measure these alone, of {', '.join(NAMES)}")
    parser.add_argument("--runs", type=int, metavar="N", help=f"of each peer (default: {ROUNDS} of most jobs)")
    parser.add_argument("--peers", default=",".join(PEERS), help="those alone, separated by commas (default: all)")
    parser.add_argument("--most", type=int, metavar="ROWS", help="of a job: to try things out; times say nothing then")
    parser.add_argument("--missing", action="store_true", help="only jobs that the last tables lack, which are kept")
    parser.add_argument("--show", action="store_true", help="measure nothing; print the last results again")
    parser.add_argument("--needs-peers", action="store_true", help="only print the jobs that have peers of .venv-peers")
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
    runs = [run([str(MUSTER), "--help"], environment=environment()) for _ in range(HELP_ROUNDS)]
    if failed := [one for one in runs if one.code]:
        sys.exit(f"muster --help itself failed:\n{failed[0].errors}")
    return [one.seconds for one in runs]


if __name__ == "__main__":
    main()
