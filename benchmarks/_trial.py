"""Give one job to its peers in turn, and judge what each of them wrote."""

import hashlib
import importlib.metadata
import importlib.util
import json
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from _data import DATA
from _jobs import HERE, PEERS, ROOT, Job
from _measure import LIMIT_SECONDS, Run, run

ROUNDS = 3
WORKERS = os.cpu_count() or 1
REASON_LENGTH = 160
Results = dict[str, Any]


def is_installed(module: str) -> bool:
    return not module or importlib.util.find_spec(module) is not None


def environment() -> Mapping[str, str]:
    ours = {
        "PYTHONPATH": os.pathsep.join(map(str, (HERE, ROOT / "examples"))),
        "MUSTER_HOME": str(DATA / "home"),
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # otherwise Ray turns 127.0.0.1 into an address of the network
        "POLARS_MAX_THREADS": str(WORKERS),
    }
    return {**os.environ, **ours}


def measured(job: Job, *, rounds: int | None) -> Results:
    source = job.make(job.rows)
    expected = _expected(job, source)
    found: Results = {name: {"seconds": [], "state": "not installed"} for name in (*job.timed, *job.sampled)}
    turns = [(name, False) for _ in range(rounds or job.rounds or ROUNDS) for name in job.timed]
    for name, samples in turns + [(name, True) for name in job.sampled]:
        if is_installed(PEERS[name].module) and found[name]["state"] != "raised":
            found[name] |= _turn(job, name, source, expected, found[name], samples_memory=samples)
        told = _told(name, found[name], samples_memory=samples)
        print(f"{job.name}, {job.rows:,} rows: {told}", file=sys.stderr, flush=True)
    return {"title": job.title, "rows": job.rows, "bytes": source.stat().st_size, "peers": found}


def _told(name: str, peer: Results, *, samples_memory: bool) -> str:
    words = [name, peer["state"], peer.get("detail", "")]
    if samples_memory and "memory" in peer:
        words.insert(1, f"{peer['memory']['tree'] / 1e6:.0f} MB")
    elif peer["seconds"]:
        words.insert(1, f"{peer['seconds'][-1]:.2f} s")
    return " ".join(words)


def _expected(job: Job, source: Path) -> Path:
    """Keep what pandas makes of the source: what every answer is judged against."""
    stamp = job.function_file.read_bytes() + importlib.metadata.version("pandas").encode() + job.dtype.encode()
    path = DATA / f"expected-{source.stem}-{hashlib.sha256(stamp).hexdigest()[:8]}.csv"
    if not path.exists():
        unfinished = path.with_suffix(".unfinished")
        done = run(job.command("pandas", source, unfinished, workers=WORKERS), environment=environment())
        if done.code:
            sys.exit(f"pandas itself failed on {source.name}:\n{done.errors}")
        unfinished.replace(path)
    return path


def _turn(job: Job, name: str, source: Path, expected: Path, before: Results, *, samples_memory: bool) -> Results:  # noqa: PLR0913
    output = DATA / "outputs" / f"{name}.csv"
    _remove(output.parent)
    output.parent.mkdir()
    os.sync()  # nobody pays for what another left to be written
    command = job.command(name, source, output, workers=WORKERS)
    with tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as scratch:
        surroundings = {**environment(), "RAY_TMPDIR": scratch}  # its default is shared by all users, and only grows
        done = run(command, environment=surroundings, samples_memory=samples_memory)
    try:
        if done.code:
            return {"state": "raised", "detail": _reason(done)}
        verdict = _verdict(expected, output, before, job.numbers)
    finally:
        _remove(output.parent)
    if done.memory is not None:
        memory = {"own": done.memory.own, "worker": done.memory.largest_child, "tree": done.memory.tree}
        return {**verdict, "memory": memory}
    if not PEERS[name].is_floor:
        return {**verdict, "seconds": [*before["seconds"], done.seconds]}
    steps = json.loads(done.output)
    return {**verdict, "seconds": [*before["seconds"], sum(steps.values()) / WORKERS], "steps": steps}


def _remove(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)


def _reason(done: Run) -> str:
    if done.seconds > LIMIT_SECONDS:
        return f"not done after {LIMIT_SECONDS:.0f} s"
    lines = [line.strip() for line in done.errors.splitlines() if line.strip()] or [f"exit code {done.code}"]
    raised = [line for line in lines if re.match(r"[\w.]*(Error|Exception|Invalid)\b.*:", line)]
    return (raised or lines)[-1].replace(f"{ROOT}{os.sep}", "")[:REASON_LENGTH]


def _verdict(expected: Path, output: Path, before: Results, numbers: str) -> Results:
    """Judge an output, unless it is to the byte what this peer wrote the last time."""
    digest = hashlib.sha256()
    for path in _files(output):
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    if before.get("digest") == digest.hexdigest():
        return {}
    judge = [sys.executable, str(HERE / "judge.py"), str(expected), str(output), numbers]
    done = run(judge, environment=environment())
    if done.code:
        return {"state": "wrong", "detail": f"no CSV that can be read: {_reason(done)}"}
    told = json.loads(done.output)
    state = "right" if told["right"] and before["state"] != "wrong" else "wrong"
    return {"state": state, "detail": told["detail"], "digest": digest.hexdigest()}


def _files(output: Path) -> Iterator[Path]:
    yield from sorted(output.glob("*.csv")) if output.is_dir() else [output]
