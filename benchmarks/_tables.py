"""Render results as markdown: tables of times and answers, one of memory, and the goals with what they came to."""

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from _figures import more, seconds, times
from _goals import goals
from _jobs import FORMS, OTHERS, TEXT
from _peers import PEERS

MEGABYTE = 1_000_000
MILLION = 1_000_000
SIZES = ("memory-1", "memory-4", "large")
NONE = "-"
ABOUT = """\
Whole processes, medians of runs in turns; 2x is twice what muster took in the same round, +1 s one second more than
pandas did. Who takes more than 6 times as long runs once. Every answer is compared with pandas', value by value, with
its order, the types of Parquet and the kinds of JSON; CSV has none. An unmarked time is that of a right one. Dask's
answers, but of CSV, and those of Ray Data, Spark and Daft are folders of files, everybody else's one file. Peak memory
is that of the process tree in the first job, pages that processes share counted once. The floor is reading, converting,
calling and writing with Arrow, each timed alone on one thread, added up and divided by the number of cores; no
start-up."""
TRIED = "**Tried out with at most {most:,} rows a job. This shows that everything runs; its times say nothing.**"
NUMBERED_ANEW = """\
The classifier hashes `repr(row)`, which tells the row's number and the type of its text: elsewhere each block's rows
count from 0, and text is Arrow's own type."""
Results = dict[str, Any]


def render(results: Results) -> str:
    if "jobs" not in results:
        return "Nothing was measured yet: run benchmarks/bench.py without --show."
    notes: list[str] = []
    parts = [
        _tried(results["jobs"]),
        _machines(results["jobs"]),
        *(_times(results, table, notes) for table in (TEXT, FORMS, OTHERS)),
        "\n".join(f"{number}. {note}" for number, note in enumerate(notes, 1)),
        ABOUT,
        _renumbered(results["jobs"]),
        _memory(results["jobs"]),
        "\n".join(goals(results)),
    ]
    return "\n\n".join(part for part in parts if part)


def _tried(jobs: Results) -> str:
    most = [job["most"] for job in jobs.values() if job["most"] is not None]
    return TRIED.format(most=max(most)) if most else ""


def _machines(jobs: Results) -> str:
    """Tell what the jobs were measured on: a line for all, or one for each machine, or set of versions."""
    in_order = sorted(jobs, key=lambda name: (jobs[name]["date"], name))
    groups = [(machine, list(names)) for machine, names in groupby(in_order, key=lambda name: jobs[name]["machine"])]
    return "\n".join(
        (f"- {', '.join(names)}. " if len(groups) > 1 else "") + _machine(machine, [jobs[name] for name in names])
        for machine, names in groups
    )


def _machine(machine: Results, jobs: Sequence[Results]) -> str:
    dates, loads = ([job[what] for job in jobs] for what in ("date", "load"))
    apart = f"; Spark and Daft with {_libraries(machine['apart'])}" if machine["apart"] else ""
    return (
        f"Begun {min(dates)} to {max(dates)} UTC: {machine['cores']} cores and as many workers,"
        f" {machine['memory'] / 1e9:.0f} GB, {machine['system']}, Python {machine['python']},"
        f" {_libraries(machine['libraries'])}{apart}; load before a job {min(loads):.1f} to {max(loads):.1f}."
    )


def _libraries(versions: dict[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in versions.items())


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _times(results: Results, table: str, notes: list[str]) -> str:
    jobs = {name: job for name, job in results["jobs"].items() if job["table"] == table and _is_timed(job)}
    names = [name for name in PEERS if any(name in job["peers"] for job in jobs.values())]
    if not names:
        return ""
    has_memory = "plain" in jobs
    head = [table, *(f"{job['title']}, {_count(job['rows'])} rows" for job in jobs.values())]
    rows = [
        [
            _titled(jobs, name),
            *(_cell(job, name, notes, after=job_name) for job_name, job in jobs.items()),
            *([_peak(jobs["plain"], name)] if has_memory else []),
        ]
        for name in names
    ]
    return _table([*head, *(["peak memory"] if has_memory else [])], rows)


def _is_timed(job: Results) -> bool:
    return any(peer["seconds"] for peer in job["peers"].values())


def _titled(jobs: Mapping[str, Results], name: str) -> str:
    """Name a peer with its version, or with all versions that the jobs of a table were measured with."""
    found = [job["machine"]["versions"].get(name) for job in jobs.values() if name in job["peers"]]
    return ", ".join([PEERS[name].title, *dict.fromkeys(version for version in found if version)])


def _count(rows: int) -> str:
    return f"{rows / MILLION:g}M" if rows >= MILLION else f"{rows:,}"


def _cell(job: Results, name: str, notes: list[str], *, after: str) -> str:
    """Tell a peer's time and how far that is from muster's, or from pandas' where the start is what is measured."""
    peer = job["peers"].get(name)
    if peer is None or (not peer["seconds"] and peer["state"] in {"right", "wrong"}):
        return NONE
    if peer["state"] == "not installed":
        return "not installed"
    mark = _mark(job, name, notes)
    if peer["state"] == "raised":
        return f"**raised**{mark}"
    wrong = ", **wrong**" if peer["state"] == "wrong" else ""
    compared = _more(job, name) if after == "start-up" else _times_as_long(job, name)
    return f"{seconds(job, name):.2f} s{compared}{wrong}{mark}"


def _mark(job: Results, name: str, notes: list[str]) -> str:
    peer = job["peers"][name]
    if not peer.get("detail"):
        return ""
    notes.append(f"{PEERS[name].title.strip('*')}, {job['title']}: {peer['state']}: {peer['detail']}")
    return f" [{len(notes)}]"


def _more(job: Results, name: str) -> str:
    found = more(job, name, "pandas") if name != "pandas" else None
    return f", {found:+.2f} s" if found is not None else ""


def _times_as_long(job: Results, name: str) -> str:
    found = times(job, name) if name != "muster" else None
    return f", {found:.2f}x" if found is not None else ""


def _peak(job: Results, name: str) -> str:
    memory = job["peers"].get(name, {}).get("memory")
    return f"{memory['tree'] / MEGABYTE:,.0f} MB" if memory else NONE


def _renumbered(jobs: Results) -> str:
    peers = jobs.get("classifier", {"peers": {}})["peers"]
    is_wrong = any(peer["state"] == "wrong" for peer in peers.values())
    return NUMBERED_ANEW if is_wrong else ""


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
    rows = [
        [title, *(_megabytes(job["peers"].get(name, {"state": NONE}), kind) for job in sizes)]
        for title, (name, kind) in kinds.items()
    ]
    return _table(head, rows)


def _megabytes(peer: Results, kind: str) -> str:
    if "memory" not in peer:
        return str(peer["state"])
    wrong = "" if peer["state"] == "right" else f", **{peer['state']}**"
    return f"{peer['memory'][kind] / MEGABYTE:,.0f} MB{wrong}"
