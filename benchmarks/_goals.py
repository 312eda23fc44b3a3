"""Tell what the goals came to, in a table: what was asked for, what was measured, and whether that is enough.

A time counts where the answer is right. Where muster's is not, its goal is not met; where its peer's is not, there is
nothing to compare with, and the table says so. A goal is left out only where the job was not measured, or the peer.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import median
from typing import Any

from _figures import is_right, more, seconds, times
from _peers import PEERS

MEGABYTE = 1_000_000
LARGEST_OWN = 200 * MEGABYTE
FLAT = 1.2
"""What is allowed against the smallest job."""
A_SECOND = 1_000_000
"""How many rows a step that keeps states shall get."""
MEMORY_JOBS = ("memory-1", "memory-4", "large")
OURS = ("muster", "inline")
BY_HAND = ("pandas", "pool", "joblib", "dask", "ray")
AHEAD_OF_POLARS = {
    "plain": 1.4,
    "quoted": 1.1,
    "packed": 1.1,
    "wide": 1.0,
    "json": 1 / 1.3,
    "parquet": 1.0,
    "parquet-csv": 1.0,
    "csv-parquet": 1.0,
    "files": 1 / 1.3,
}
"""How many times muster's time Polars shall take: no less than that where a job has work for two cores, else 1 of 1.3.

It has where Polars takes longer for the rows than to start. On 2026-11-28 it took 0.47 s to start; for the rows, 0.3 s
in ``json`` and ``files``, 0.5 s in ``wide``, 1.0 to 1.5 s in those with Parquet.
"""
AHEAD_OF_PANDAS = ("wide", "files", "parquet", "parquet-csv", "csv-parquet", "json")
Results = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Goal:
    what: str
    asked: str
    measured: str
    is_met: bool | None
    """None where there is nothing to compare with."""

    @property
    def line(self) -> str:
        told = {True: "met", False: "**not met**", None: "not compared"}[self.is_met]
        return f"| {self.what} | {self.asked} | {self.measured} | {told} |"


@dataclass(frozen=True, slots=True)
class Comparison:
    """A goal of two peers at one job."""

    what: str
    asked: str
    compare: Callable[[Results, str, str], float | None]
    """``times`` or ``more``."""
    spelled: str
    """How to write what was measured, for ``str.format``."""
    is_enough: Callable[[float], bool]

    def goal(self, jobs: Results, job: str, peer: str, other: str = "muster") -> Iterator[Goal]:
        if job not in jobs or not all(_is_measured(jobs[job], name) for name in (peer, other)):
            return
        if told := _wrong(jobs[job], peer, other):
            is_ours = any(name in OURS and not is_right(jobs[job], name) for name in (peer, other))
            yield Goal(self.what, self.asked, told, False if is_ours else None)
        elif (found := self.compare(jobs[job], peer, other)) is not None:
            yield Goal(self.what, self.asked, self.spelled.format(found), self.is_enough(found))


def _is_measured(job: Results, peer: str) -> bool:
    return job["peers"].get(peer, {"state": "not installed"})["state"] != "not installed"


def _wrong(job: Results, *peers: str) -> str:
    """Tell who of them has no right answer: ``muster: raised``."""
    wrong = [name for name in peers if not is_right(job, name)]
    return ", ".join(f"{PEERS[name].title.strip('*')}: {job['peers'][name]['state']}" for name in wrong)


def goals(results: Results) -> Iterator[str]:
    jobs = results["jobs"]
    found = [
        *_fastest(jobs),
        *_polars(jobs),
        *_pandas(jobs),
        *_groups(jobs),
        *_floor(jobs),
        *_classifier(jobs),
        *_start(jobs, results.get("help")),
        *_memory(jobs),
    ]
    yield from ("| goal | asked for | measured | |", "| --- | --- | --- | --- |")
    yield from (goal.line for goal in found)


def _fastest(jobs: Results) -> Iterator[Goal]:
    """Compare with the fastest of those whose answer is right; with any of them where none is."""
    job = jobs.get("plain", {"peers": {}})
    measured = [name for name in BY_HAND if _is_measured(job, name)]
    right = [name for name in measured if is_right(job, name) and seconds(job, name) is not None]
    if measured:
        fastest = min(right, key=lambda name: times(job, name) or seconds(job, name) or 0, default=measured[0])
        what = f"plain CSV: the fastest of {', '.join(BY_HAND)}: {fastest}"
        yield from Comparison(what, "at least 5x", times, "{:.2f}x", lambda found: found >= 5).goal(  # noqa: PLR2004 (the goal)
            jobs, "plain", fastest
        )


def _polars(jobs: Results) -> Iterator[Goal]:
    for name, asked in AHEAD_OF_POLARS.items():
        yield from _ahead(jobs, name, "polars", asked)


def _pandas(jobs: Results) -> Iterator[Goal]:
    for name in AHEAD_OF_PANDAS:
        yield from _ahead(jobs, name, "pandas", 1.5)


def _ahead(jobs: Results, name: str, peer: str, asked: float) -> Iterator[Goal]:
    if name in jobs:
        what = f"{jobs[name]['title']}: {PEERS[peer].title}"
        comparison = Comparison(what, f"at least {asked:.2f}x", times, "{:.2f}x", lambda found: found >= asked)
        yield from comparison.goal(jobs, name, peer)


def _groups(jobs: Results) -> Iterator[Goal]:
    for name, peer, asked in (
        ("agg", "polars", 1 / 1.5),
        ("agg", "dask", 3),
        ("agg", "pandas", 5),
        ("groups", "pandas", 1.8),
        ("groups", "dask", 4),
    ):
        yield from _ahead(jobs, name, peer, asked)
    if "states" in jobs and _is_measured(jobs["states"], "muster"):
        job = jobs["states"]
        took = seconds(job, "muster")
        told = _wrong(job, "muster") or (f"{job['rows'] / took:,.0f}" if took else "not measured")
        is_met = is_right(job, "muster") and took is not None and job["rows"] / took >= A_SECOND
        yield Goal(f"{job['title']}: rows a second", f"at least {A_SECOND:,}", told, is_met)


def _floor(jobs: Results) -> Iterator[Goal]:
    for floor, title, asked in (("floor", "one table", 1.3), ("floor-pieces", "pieces", 1.2)):
        what = f"10M rows: muster against the Arrow floor of {title}"
        comparison = Comparison(what, f"at most {asked}x", times, "{:.2f}x", lambda found, most=asked: found <= most)
        yield from comparison.goal(jobs, "large", "muster", floor)


def _classifier(jobs: Results) -> Iterator[Goal]:
    if "classifier" not in jobs:
        return
    cores = jobs["classifier"]["machine"]["cores"]
    scaling = Comparison(
        f"classifier: of perfect scaling to {cores} workers",
        "at least 99%",
        lambda *told: None if (found := times(*told)) is None else found / cores,
        "{:.1%}",
        lambda found: found >= 0.99,  # noqa: PLR2004 (the goal)
    )
    yield from scaling.goal(jobs, "classifier", "inline")
    pool = Comparison("classifier: Pool", "at least 1x", times, "{:.3f}x", lambda found: found >= 1)
    yield from pool.goal(jobs, "classifier", "pool")


def _start(jobs: Results, helps: list[float] | None) -> Iterator[Goal]:
    what = "start-up: muster against pandas' three lines"
    comparison = Comparison(what, "at most +0.10 s", more, "{:+.2f} s", lambda found: found <= 0.1)  # noqa: PLR2004 (the goal)
    yield from comparison.goal(jobs, "start-up", "muster", "pandas")
    if helps is not None:
        answer = median(helps)
        yield Goal("`muster --help`", "under 0.3 s", f"{answer:.2f} s", answer < 0.3)  # noqa: PLR2004 (the goal)


def _memory(jobs: Results) -> Iterator[Goal]:
    """Ask for memory that stays as it is while the rows become ten times as many: of all three sizes."""
    kinds = {
        "own": ("own process", "flat, under 200 MB", LARGEST_OWN),
        "worker": ("largest worker", "flat", 1 << 62),
    }
    runs = [jobs[name]["peers"].get("muster", {}) if name in jobs else {} for name in MEMORY_JOBS]
    if not any(runs):
        return
    for kind, (title, asked, most) in kinds.items():
        sizes = [run["memory"][kind] for run in runs if "memory" in run and run["state"] == "right"]
        told = ", ".join(_size(run, kind) for run in runs)
        is_flat = len(sizes) == len(MEMORY_JOBS) and max(sizes) < most and max(sizes) <= FLAT * sizes[0]
        yield Goal(f"memory at 1x, 4x and 10x the rows: {title}", asked, told, is_flat)


def _size(run: Results, kind: str) -> str:
    if run.get("state", "right") != "right":
        return str(run["state"])
    return f"{run['memory'][kind] / MEGABYTE:,.0f} MB" if "memory" in run else "not measured"
