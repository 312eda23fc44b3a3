"""Render results as one markdown table of times and answers, one of memory, and the goals with what they came to."""

from collections.abc import Sequence
from statistics import median
from typing import Any

from _goals import goals
from _jobs import PEERS

MEGABYTE = 1_000_000
MILLION = 1_000_000
SIZES = ("memory-1", "memory-4", "large")
NONE = "-"
ABOUT = """\
Whole processes, medians of interleaved runs; 2x is twice muster's time, +1 s one second more than pandas. Every answer
is compared with pandas': an unmarked time is that of a right one. Peak memory is that of the process tree in the first
job, pages that processes share counted once. Ray Data's answer is a folder of files, everybody else's one file. The
floor is reading, converting, calling and writing with Arrow, each timed alone on one thread, added up and divided by
the number of cores; no start-up."""
QUICK = "**Quick: a twentieth of the rows. This shows that everything runs; its times say nothing.**"
NUMBERED_ANEW = """\
The classifier hashes `repr(row)`, which tells the row's number and the type of its text: in Dask and Ray Data each
block's rows count from 0, and text is Arrow's own type."""
Results = dict[str, Any]


def render(results: Results) -> str:
    if "jobs" not in results:
        return "Nothing was measured yet: run benchmarks/bench.py without --show."
    jobs = results["jobs"]
    notes: list[str] = []
    parts = [
        QUICK if results["quick"] else "",
        _machine(results),
        _times(jobs, notes),
        ABOUT,
        _renumbered(jobs),
        _numbered(notes),
    ]
    parts += [_memory(jobs), "\n".join(goals(results))]
    return "\n\n".join(part for part in parts if part)


def _machine(results: Results) -> str:
    machine = results["machine"]
    dates = [job["date"] for job in results["jobs"].values()]
    libraries = ", ".join(f"{name} {version}" for name, version in machine["libraries"].items())
    return (
        f"Begun {min(dates)} to {max(dates)} UTC: {machine['cores']} cores and as many workers,"
        f" {machine['memory'] / 1e9:.0f} GB, {machine['system']}, Python {machine['python']}, {libraries};"
        f" load at the start {machine['load']:.1f}."
    )


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _times(jobs: Results, notes: list[str]) -> str:
    timed = [job for job in jobs.values() if any(peer["seconds"] for peer in job["peers"].values())]
    names = [name for name in PEERS if any(name in job["peers"] for job in timed)]
    head = ["", *(f"{job['title']}, {_count(job['rows'])} rows" for job in timed), "peak memory"]
    rows = [[PEERS[name].title, *(_cell(job, name, notes) for job in timed), _peak(jobs, name)] for name in names]
    return _table(head, rows)


def _count(rows: int) -> str:
    return f"{rows / MILLION:g}M" if rows >= MILLION else f"{rows:,}"


def _cell(job: Results, name: str, notes: list[str]) -> str:
    peer = job["peers"].get(name)
    if peer is None or (not peer["seconds"] and peer["state"] in {"right", "wrong"}):
        return NONE
    if peer["state"] == "not installed":
        return "not installed"
    mark = _mark(job, name, notes)
    if peer["state"] == "raised":
        return f"**raised**{mark}"
    wrong = ", **wrong**" if peer["state"] == "wrong" else ""
    return f"{median(peer['seconds']):.2f} s{_compared(job, name)}{wrong}{mark}"


def _mark(job: Results, name: str, notes: list[str]) -> str:
    peer = job["peers"][name]
    if not peer.get("detail"):
        return ""
    notes.append(f"{PEERS[name].title.strip('*')}, {job['title']}: {peer['state']}: {peer['detail']}")
    return f" [{len(notes)}]"


def _compared(job: Results, name: str) -> str:
    against = "pandas" if job["title"] == "start-up" else "muster"
    seconds = job["peers"].get(against, {}).get("seconds")
    if name == against or not seconds:
        return ""
    mine, theirs = median(seconds), median(job["peers"][name]["seconds"])
    return f", {theirs - mine:+.2f} s" if against == "pandas" else f", {theirs / mine:.2f}x"


def _peak(jobs: Results, name: str) -> str:
    memory = jobs.get("cheap", {"peers": {}})["peers"].get(name, {}).get("memory")
    return f"{memory['tree'] / MEGABYTE:,.0f} MB" if memory else NONE


def _renumbered(jobs: Results) -> str:
    peers = jobs.get("classifier", {"peers": {}})["peers"]
    is_wrong = any(peers.get(name, {}).get("state") == "wrong" for name in ("dask", "ray"))
    return NUMBERED_ANEW if is_wrong else ""


def _numbered(notes: list[str]) -> str:
    return "\n".join(f"{number}. {note}" for number, note in enumerate(notes, 1))


def _memory(jobs: Results) -> str:
    sizes = [jobs[name] for name in SIZES if name in jobs]
    if not sizes:
        return ""
    head = ["peak memory", *(f"{_count(job['rows'])} rows, {job['bytes'] / MEGABYTE:,.0f} MB" for job in sizes)]
    kinds = {
        "muster's own process": ("muster", "own"),
        "its largest worker": ("muster", "worker"),
        "the whole tree, shared pages once": ("muster", "tree"),
        "pandas, three lines": ("pandas", "own"),
    }
    rows = [[title, *(_megabytes(job["peers"][name], kind) for job in sizes)] for title, (name, kind) in kinds.items()]
    return _table(head, rows)


def _megabytes(peer: Results, kind: str) -> str:
    if "memory" not in peer:
        return str(peer["state"])
    wrong = "" if peer["state"] == "right" else f", **{peer['state']}**"
    return f"{peer['memory'][kind] / MEGABYTE:,.0f} MB{wrong}"
