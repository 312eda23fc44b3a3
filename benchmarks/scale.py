"""Measure how muster scales: on Ray clusters of this computer, on workers that are simulated, and how fast they start.

The classifier sleeps as long as the seed's took, 3.83 ms a row, so that 112 workers fit on two cores. Prints markdown;
``--show`` prints the last results again.
"""

import argparse
import datetime as dt
import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import psutil

import _scaling
import _starting
from _data import DATA
from _scaling_goals import goals
from sleeping import ROW_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable

SIZES = (
    (1, 1, 10_000),
    (1, 8, 100_000),
    (4, 7, 100_000),
    (4, 7, 1_000_000),
    (8, 7, 100_000),
    (8, 7, 1_000_000),
    (16, 7, 100_000),
    (16, 7, 1_000_000),
)
SEED = {1: "100%", 8: "48%", 28: "56%", 56: "34%", 112: "24%"}
"""The seed's best at each size, by its tables: of 1M rows on 1 and 8 workers, of 10M on 28 and 56, of 30M on 112."""
HEAD = (
    "| workers | rows | time | efficiency | with loading | the seed's | machines up | first, last worker at work after"
    " | muster's own process | its Ray driver |"
)
ABOUT_SCALING = f"""\
A classifier that sleeps {ROW_SECONDS * 1000:.2f} ms a row, on Ray clusters of this computer. The time counts from when
the first worker joined. The efficiency is that of perfect scaling, from each worker's first outcome on; with loading,
from when it joined, while others still start on the same few cores."""
SIMULATED = ((1_600, 100_000), (16_000, 1_000_000))
BUSY_ROWS = 20_000
MEGABYTE = 1_000_000
Results = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--only", choices=("scaling", "simulation", "engines", "starting"), help="measure one part again"
    )
    parser.add_argument("--rounds", type=int, default=3, help="of what is compared (default: %(default)s)")
    parser.add_argument("--most", type=int, default=10**9, metavar="ROWS", help="leave out larger jobs")
    parser.add_argument("--show", action="store_true", help="measure nothing; print the last results again")
    parsed = parser.parse_args()
    saved = DATA / "scale.json"
    results: Results = json.loads(saved.read_text()) if saved.exists() else {}
    parts: dict[str, Callable[[argparse.Namespace], Any]] = {
        "simulation": _simulation,
        "starting": _starting_times,
        "engines": _engines,
        "scaling": _scaling_table,
    }
    for name in () if parsed.show else [parsed.only] if parsed.only else parts:
        DATA.mkdir(exist_ok=True)
        results[name] = {"date": dt.datetime.now(dt.UTC).strftime("%Y-%m-%d %H:%M"), "found": parts[name](parsed)}
        saved.write_text(json.dumps(results, indent=1))
    print(_rendered(results))


def _scaling_table(parsed: argparse.Namespace) -> list[Results]:
    found: list[Results] = []
    sizes = [size for size in SIZES if size[2] <= parsed.most]
    for machines, workers in dict.fromkeys((machines, workers) for machines, workers, _ in sizes):
        with _scaling.cluster(machines, workers) as up:
            for count in (rows for *size, rows in sizes if size == [machines, workers]):
                used = _scaling.sleep_through(count)
                print(f"{machines}x{workers}: {used}", file=sys.stderr)
                found.append({"machines": machines, "each": workers, "up": up, **asdict(used)})
    return found


def _simulation(_: argparse.Namespace) -> list[Results]:
    script = Path(__file__).with_name("_simulation.py")
    found = []
    for workers, tasks in SIMULATED:
        command = [sys.executable, str(script), str(workers), str(tasks)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        found.append(json.loads(done.stdout.splitlines()[-1]))
        print(f"simulation: {found[-1]}", file=sys.stderr)
    return found


def _engines(parsed: argparse.Namespace) -> Results:
    times: dict[str, list[float]] = {"cores": [], "ray": []}
    with _scaling.cluster(1, 2):
        for _ in range(parsed.rounds):
            times["cores"].append(_scaling.busy(BUSY_ROWS, "--workers", 2))
            times["ray"].append(_scaling.busy(BUSY_ROWS, "--cluster", _scaling.CLUSTER))
    return times


def _starting_times(parsed: argparse.Namespace) -> Results:
    times: dict[str, list[float]] = {"here": [], "here, Ray alone": [], "hosts": [], "hosts, Ray alone": []}
    for _ in range(parsed.rounds):
        times["here"].append(_starting.up(3))
        times["here, Ray alone"].append(_starting.ray_alone_here(3))
        with _starting.ssh_hosts(4) as (_, file):
            times["hosts"].append(_starting.up(4, on=file))
        with _starting.ssh_hosts(4) as (hosts, _):
            times["hosts, Ray alone"].append(_starting.ray_alone_on(hosts))
    return times


def _rendered(results: Results) -> str:
    memory = psutil.virtual_memory().total / 2**30
    lines = [f"{os.cpu_count()} cores, {memory:.0f} GiB.", ""]
    for name, render in (
        ("scaling", _render_scaling),
        ("simulation", _render_simulation),
        ("engines", _render_engines),
        ("starting", _render_starting),
    ):
        if name in results:
            lines += [*render(results[name]["found"]), "", f"({results[name]['date']} UTC)", ""]
    return "\n".join([*lines, *goals(results)])


def _render_scaling(found: list[Results]) -> list[str]:
    lines = [ABOUT_SCALING, "", HEAD, "|---" * HEAD.count(" | ") + "|---|"]
    for one in found:
        count = one["workers"]
        size = f"{count}" if one["machines"] == 1 else f"{count} ({one['machines']}x{one['each']})"
        lines.append(
            f"| {size} | {one['rows']:,} | {one['seconds']:.1f} s | {one['efficiency']:.1%}"
            f" | {one['with_loading']:.1%} | {SEED[count]}"
            f" | {one['up']:.1f} s | {one['first_ready']:.1f} s, {one['all_ready']:.1f} s"
            f" | {one['own_cores']:.2f} cores | {one['driver_cores']:.2f} cores |"
        )
    return lines


def _render_simulation(found: list[Results]) -> list[str]:
    lines = [
        "The runner on workers that only a fake clock keeps busy, 8 s a task:",
        "",
        "| workers | tasks | events a second | memory when begun | at the end | the workers' efficiency |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {one['workers']:,} | {one['tasks']:,} | {one['tasks'] / one['seconds']:,.0f}"
        f" | {one['memory_begun'] / MEGABYTE:.0f} MB | {one['memory_ended'] / MEGABYTE:.0f} MB"
        f" | {one['efficiency']:.1%} |"
        for one in found
    ]
    return lines


def _render_engines(times: dict[str, list[float]]) -> list[str]:
    cores, ray = median(times["cores"]), median(times["ray"])
    ratio = median(ray / cores for ray, cores in zip(times["ray"], times["cores"], strict=True))
    what = f"The seed's classifier, {BUSY_ROWS:,} rows, 2 workers, from when they are ready"
    return [f"{what}: `cores` {cores:.1f} s, `ray` {ray:.1f} s: {ratio:.2f}x."]


def _render_starting(times: dict[str, list[float]]) -> list[str]:
    lines = []
    for name, what in (("here", "3 local machines"), ("hosts", "4 SSH hosts")):
        ours, alone = median(times[name]), median(times[f"{name}, Ray alone"])
        lines.append(f"`muster up` of {what}: {ours:.1f} s; Ray alone on the same: {alone:.1f} s.")
    return lines


if __name__ == "__main__":
    main()
