"""Tell what the goals of issue 2 came to, each a line: what was measured, and what was asked for."""

from collections.abc import Iterator
from statistics import median
from typing import Any

MEGABYTE = 1_000_000
BY_HAND = ("pandas", "pool", "joblib", "dask", "ray")
Results = dict[str, Any]


def goals(results: Results) -> Iterator[str]:
    jobs = results["jobs"]
    lines = [
        *_cheap(jobs),
        *_floor(jobs),
        *_classifier(jobs, results["machine"]["cores"]),
        *_start(jobs),
        *_memory(jobs),
    ]
    yield from (f"- {line}" for line in lines)
    yield f"- `muster --help` answers in {median(results['help']):.2f} s (goal: under 0.3)"


def seconds(jobs: Results, job: str, peer: str) -> float | None:
    """Tell a peer's median, if it was measured and gave the right answer."""
    found = jobs.get(job, {"peers": {}})["peers"].get(peer)
    if found is None or found["state"] != "right" or not found["seconds"]:
        return None
    return float(median(found["seconds"]))


def _cheap(jobs: Results) -> Iterator[str]:
    mine = seconds(jobs, "cheap", "muster")
    found = {name: theirs for name in BY_HAND if (theirs := seconds(jobs, "cheap", name)) is not None}
    polars = seconds(jobs, "cheap", "polars")
    if mine is not None and found:
        fastest = min(found, key=lambda name: found[name])
        times = found[fastest] / mine
        yield f"cheap function: the fastest peer, {fastest}, takes {times:.2f}x muster's time (goal: at least 4)"
    if mine is not None and polars is not None:
        yield f"cheap function: Polars by hand takes {polars / mine:.2f}x muster's time (goal: more than 1)"


def _floor(jobs: Results) -> Iterator[str]:
    mine = seconds(jobs, "large", "muster")
    titles = {
        "floor": "the Arrow floor of one table (goal: at most 1.3)",
        "floor-pieces": "the lower floor of pieces (no goal)",
    }
    for floor, title in titles.items():
        theirs = seconds(jobs, "large", floor)
        if mine is not None and theirs is not None:
            yield f"large file: muster takes {mine / theirs:.2f}x {title}"


def _classifier(jobs: Results, cores: int) -> Iterator[str]:
    mine, inline = seconds(jobs, "classifier", "muster"), seconds(jobs, "classifier", "inline")
    pool = seconds(jobs, "classifier", "pool")
    if mine is not None and inline is not None:
        yield f"classifier: {inline / mine / cores:.1%} of perfect scaling to {cores} workers (goal: at least 97%)"
    if mine is not None and pool is not None:
        yield f"classifier: Pool takes {pool / mine:.3f}x muster's time (goal: at least 1)"


def _start(jobs: Results) -> Iterator[str]:
    mine, pandas = seconds(jobs, "start-up", "muster"), seconds(jobs, "start-up", "pandas")
    if mine is not None and pandas is not None:
        yield f"start-up: muster takes {mine - pandas:+.2f} s against pandas' three lines (goal: at most +0.5)"


def _memory(jobs: Results) -> Iterator[str]:
    kinds = {"own": ("own process", "under 200 MB and flat"), "worker": ("largest worker", "flat")}
    runs = [jobs[name]["peers"]["muster"] for name in ("memory-1", "memory-4", "large") if name in jobs]
    for kind, (title, goal) in kinds.items():
        sizes = [run.get("memory") for run in runs]
        if sizes and all(sizes):
            told = ", ".join(f"{size[kind] / MEGABYTE:,.0f}" for size in sizes)
            yield f"memory of muster at 1x, 4x and 10x: {title} {told} MB (goal: {goal})"
