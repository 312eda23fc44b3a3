"""Measure what the TLS of a cluster costs: SSH hosts on this computer, with it and without, one after the other.

How long ``muster up`` takes; rows there and back, by a function that does nothing; and a job of many workers that
sleep. Prints markdown.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import _starting
from _data import DATA, MUSTER, rows

HERE = Path(__file__).parent
BYTES_A_ROW = 130
WAYS = {"with TLS": [str(MUSTER)], "in the clear": [sys.executable, str(HERE / "in_the_clear.py")]}
WHAT = {
    "up": "`muster up` of {hosts} hosts, {workers} workers",
    "rows": "{megabytes} MB of rows there and back",
    "many": "{many:,} rows at 3.83 ms on {workers} workers",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="of each way (default: %(default)s)")
    parser.add_argument("--hosts", type=int, default=4, help="SSH hosts on this computer (default: %(default)s)")
    parser.add_argument("--each", type=int, default=28, metavar="N", help="workers on each (default: %(default)s)")
    parser.add_argument("--megabytes", type=int, default=160, help="of rows to carry (default: %(default)s)")
    parser.add_argument("--many", type=int, default=200_000, metavar="ROWS", help="to sleep for (default: %(default)s)")
    parsed = parser.parse_args()
    DATA.mkdir(exist_ok=True)
    times: dict[tuple[str, str], list[float]] = {}
    for _ in range(parsed.rounds):
        for way, muster in WAYS.items():
            for what, seconds in measured(muster, parsed).items():
                times.setdefault((what, way), []).append(seconds)
                print(f"{way}, {what}: {seconds:.1f} s", file=sys.stderr)
    print("| | with TLS | in the clear | |\n|---|---|---|---|")
    facts = {**vars(parsed), "workers": parsed.hosts * parsed.each}
    for what, text in WHAT.items():
        sealed, clear = (median(times[what, way]) for way in WAYS)
        print(f"| {text.format(**facts)} | {sealed:.1f} s | {clear:.1f} s | {sealed / clear:.2f}x |")


def measured(muster: list[str], parsed: argparse.Namespace) -> dict[str, float]:
    """Make hosts and a cluster of them, and have it do both jobs."""
    with _starting.ssh_hosts(parsed.hosts) as (_, file), tempfile.TemporaryDirectory() as home:
        os.environ["MUSTER_HOME"] = home
        try:
            cluster = ("--machines", parsed.hosts, "--workers-per-machine", parsed.each, "--on", file)
            return {
                "up": timed(muster, "up", "sealing", *cluster),
                "rows": job(muster, "passing.py:same", parsed.megabytes * 1_000_000 // BYTES_A_ROW),
                "many": job(muster, "sleeping.py:classify", parsed.many),
            }
        finally:
            timed(muster, "down", "sealing")


def job(muster: list[str], target: str, count: int) -> float:
    out = DATA / "sealing-out.csv"
    where = ("--cluster", "sealing", "--dtype", "str", "--fresh", "--quiet")
    return timed(muster, "run", HERE / target, rows(count), "-o", out, "--fresh", *where)


def timed(muster: list[str], *arguments: object) -> float:
    began = time.monotonic()
    subprocess.run([*muster, *map(str, arguments)], check=True, stdout=subprocess.DEVNULL)
    return time.monotonic() - began


if __name__ == "__main__":
    main()
