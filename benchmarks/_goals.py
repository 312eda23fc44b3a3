"""Tell what the goals came to, in a table: what was asked for, what was measured, and whether that is enough."""

from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median
from typing import Any

from _figures import is_right, more, times

MEGABYTE = 1_000_000
LARGEST_OWN = 200 * MEGABYTE
FLAT = 1.2
"""What is allowed against the smallest job."""
BY_HAND = ("pandas", "pool", "joblib", "dask", "ray")
AHEAD_OF_POLARS = {
    "plain": 1.4,
    "quoted": 1.1,
    "packed": 1.1,
    "wide": 1.0,
    "json": 1.0,
    "parquet": 1.0,
    "files": 1 / 1.3,
}
"""How many times muster's time Polars shall take; with files of 100 rows two cores have nothing to share."""
AHEAD_OF_PANDAS = ("wide", "files", "parquet", "json")
Results = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Goal:
    what: str
    asked: str
    measured: str
    is_met: bool

    @property
    def line(self) -> str:
        return f"| {self.what} | {self.asked} | {self.measured} | {'met' if self.is_met else '**not met**'} |"


def goals(results: Results) -> Iterator[str]:
    jobs = results["jobs"]
    found = [
        *_fastest(jobs),
        *_polars(jobs),
        *_pandas(jobs),
        *_floor(jobs),
        *_classifier(jobs, results["machine"]["cores"]),
        *_start(jobs, results.get("help")),
        *_memory(jobs),
    ]
    yield from ("| goal | asked for | measured | |", "| --- | --- | --- | --- |")
    yield from (goal.line for goal in found)


def _fastest(jobs: Results) -> Iterator[Goal]:
    if "plain" not in jobs or not is_right(jobs["plain"], "muster"):
        return
    found = {name: times(jobs["plain"], name) for name in BY_HAND if is_right(jobs["plain"], name)}
    measured = {name: one for name, one in found.items() if one is not None}
    if measured:
        name = min(measured, key=lambda name: measured[name])
        what = f"plain CSV: the fastest of {', '.join(BY_HAND)}: {name}"
        yield Goal(what, "at least 5x", f"{measured[name]:.2f}x", measured[name] >= 5)  # noqa: PLR2004 (the goal)


def _polars(jobs: Results) -> Iterator[Goal]:
    for name, asked in AHEAD_OF_POLARS.items():
        yield from _ahead(jobs, name, "polars", "Polars by hand", asked)


def _pandas(jobs: Results) -> Iterator[Goal]:
    for name in AHEAD_OF_PANDAS:
        yield from _ahead(jobs, name, "pandas", "pandas", 1.5)


def _ahead(jobs: Results, name: str, peer: str, title: str, asked: float) -> Iterator[Goal]:
    if name in jobs and is_right(jobs[name], "muster") and (measured := times(jobs[name], peer)) is not None:
        what = f"{jobs[name]['title']}: {title}"
        yield Goal(what, f"at least {asked:.2f}x", f"{measured:.2f}x", measured >= asked)


def _floor(jobs: Results) -> Iterator[Goal]:
    floors = {"floor": ("one table", 1.3), "floor-pieces": ("pieces", 1.2)}
    for floor, (title, asked) in floors.items():
        mine = times(jobs["large"], "muster", floor) if "large" in jobs else None
        if mine is not None:
            what = f"10M rows: muster against the Arrow floor of {title}"
            yield Goal(what, f"at most {asked}x", f"{mine:.2f}x", mine <= asked)


def _classifier(jobs: Results, cores: int) -> Iterator[Goal]:
    job = jobs.get("classifier", {"peers": {}})
    inline, pool = times(job, "inline"), times(job, "pool")
    if inline is not None:
        what = f"classifier: of perfect scaling to {cores} workers"
        yield Goal(what, "at least 99%", f"{inline / cores:.1%}", inline / cores >= 0.99)  # noqa: PLR2004 (the goal)
    if pool is not None:
        yield Goal("classifier: Pool", "at least 1x", f"{pool:.3f}x", pool >= 1)


def _start(jobs: Results, helps: list[float] | None) -> Iterator[Goal]:
    measured = more(jobs.get("start-up", {"peers": {}}), "muster", "pandas")
    if measured is not None:
        what = "start-up: muster against pandas' three lines"
        yield Goal(what, "at most +0.10 s", f"{measured:+.2f} s", measured <= 0.1)  # noqa: PLR2004 (the goal)
    if helps is not None:
        answer = median(helps)
        yield Goal("`muster --help`", "under 0.3 s", f"{answer:.2f} s", answer < 0.3)  # noqa: PLR2004 (the goal)


def _memory(jobs: Results) -> Iterator[Goal]:
    """Ask for memory that stays as it is while the rows become ten times as many."""
    kinds = {
        "own": ("own process", "flat, under 200 MB", 200 * MEGABYTE),
        "worker": ("largest worker", "flat", 1 << 62),
    }
    runs = [jobs[name]["peers"].get("muster", {}) for name in ("memory-1", "memory-4", "large") if name in jobs]
    for kind, (title, asked, most) in kinds.items():
        sizes = [run["memory"][kind] for run in runs if "memory" in run]
        if len(sizes) > 1:
            told = ", ".join(f"{size / MEGABYTE:,.0f}" for size in sizes)
            is_flat = max(sizes) < most and max(sizes) <= FLAT * sizes[0]
            yield Goal(f"memory at 1x, 4x and 10x the rows: {title}", asked, f"{told} MB", is_flat)
