"""Give one job to its peers in turn: how long each takes, what it holds, and what it wrote."""

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from _data import DATA
from _jobs import ROOT, Job
from _measure import Run, run
from _peers import HERE, PEERS
from _verdicts import reason, verdict

ROUNDS = 3
WORKERS = os.cpu_count() or 1
FAR_TIMES, FAR_SECONDS = 6, 4
"""Who took so many times muster's time in the first round, and so many seconds, is far enough from it to run once."""
Results = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Turn:
    """A peer's turn at a job: what it reads, and what pandas made of that."""

    job: Job
    name: str
    source: Path
    expected: Path
    samples_memory: bool


def environment() -> Mapping[str, str]:
    ours = {
        "PYTHONPATH": os.pathsep.join(map(str, (HERE, ROOT / "examples"))),
        "MUSTER_HOME": str(DATA / "job" / "home"),
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # otherwise Ray turns 127.0.0.1 into an address of the network
        "POLARS_MAX_THREADS": str(WORKERS),
    }
    return {**os.environ, **ours}


def measured(job: Job, *, rounds: int | None, peers: Sequence[str]) -> Results:
    """Make the job's input, have every peer do the job, and remove all that was written."""
    folder = DATA / "job"
    _remove(folder)
    try:
        source = job.make(job.rows, folder)
        found = _taken(job, source, _expected(job, source), rounds=rounds or job.rounds or ROUNDS, peers=peers)
        return {"title": job.title, "table": job.table, "rows": job.rows, "bytes": _size(source), "peers": found}
    finally:
        _remove(folder)


def _taken(job: Job, source: Path, expected: Path, *, rounds: int, peers: Sequence[str]) -> Results:
    timed, sampled = ([name for name in names if name in peers] for names in (job.timed, job.sampled))
    found: Results = {name: {"seconds": [], "state": "not installed"} for name in (*timed, *sampled)}
    turns = [(name, number, False) for number in range(rounds) for name in timed]
    for name, number, samples_memory in [*turns, *((name, rounds, True) for name in sampled)]:
        if number and not samples_memory and (name in job.once or _is_far(found, name)):
            continue
        if PEERS[name].version is not None and found[name]["state"] != "raised":
            turn = Turn(job, name, source, expected, samples_memory)
            found[name] |= _turn(turn, found[name])
        told = _told(name, found[name], samples_memory=samples_memory)
        print(f"{job.name}, {job.rows:,} rows: {told}", file=sys.stderr, flush=True)
    return found


def _is_far(found: Results, name: str) -> bool:
    mine, theirs = (found.get(one, {}).get("seconds") for one in ("muster", name))
    return bool(mine and theirs) and theirs[0] > max(FAR_TIMES * mine[0], FAR_SECONDS)


def _told(name: str, peer: Results, *, samples_memory: bool) -> str:
    words = [name, peer["state"], peer.get("detail", "")]
    if samples_memory and "memory" in peer:
        words.insert(1, f"{peer['memory']['tree'] / 1e6:.0f} MB")
    elif peer["seconds"]:
        words.insert(1, f"{peer['seconds'][-1]:.2f} s")
    return " ".join(words)


def _expected(job: Job, source: Path) -> Path:
    """Keep what pandas makes of the source: what every answer is judged against."""
    path = source.with_name(f"expected.{job.writes}")
    done = run(job.command("pandas", source, path, workers=WORKERS), environment=environment())
    if done.code:
        sys.exit(f"pandas itself failed on {source.name}:\n{done.errors}")
    return path


def _turn(turn: Turn, before: Results) -> Results:
    output = DATA / "job" / "outputs" / f"{turn.name}.{turn.job.writes}"
    output.parent.mkdir()
    os.sync()  # nobody pays for what another left to be written
    command = turn.job.command(turn.name, turn.source, output, workers=WORKERS)
    with tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as scratch:
        # Ray's default is shared by all users, and only grows.
        surroundings = {**environment(), "RAY_TMPDIR": scratch, "SPARK_LOCAL_DIRS": scratch}
        done = run(command, environment=surroundings, samples_memory=turn.samples_memory)
    try:
        if done.code:
            return {"state": "raised", "detail": reason(done)}
        judged = verdict(turn.expected, output, before, turn.job.numbers, environment=environment())
    finally:
        _remove(output.parent)
    return {**judged, **_figures(turn.name, done, before)}


def _figures(name: str, done: Run, before: Results) -> Results:
    if done.memory is not None:
        return {"memory": {"own": done.memory.own, "worker": done.memory.largest_child, "tree": done.memory.tree}}
    if not PEERS[name].is_floor:
        return {"seconds": [*before["seconds"], done.seconds]}
    steps = json.loads(done.output)
    return {"seconds": [*before["seconds"], sum(steps.values()) / WORKERS], "steps": steps}


def _size(source: Path) -> int:
    return sum(one.stat().st_size for one in source.iterdir()) if source.is_dir() else source.stat().st_size


def _remove(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)
