"""Count rows by key in a stream of muster and in a flow of Bytewax: the same rows, in turns, each with one worker.

Each is a whole command, from its start until all rows are there; the answers are compared. With two workers Bytewax
took longer: they are threads of one Python. Prints markdown.
"""

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from statistics import median

from _data import DATA
from keyed import Counting
from through import used

PEER = Path(__file__).parent / "peers" / "bytewax_peer.py"
TIMES = 3.0
"""The goal: how many times as long Bytewax takes."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=2_000_000, help="default: %(default)s")
    parser.add_argument("--keys", type=int, default=20_000, help="default: %(default)s")
    parser.add_argument("--rounds", type=int, default=3, help="of each (default: %(default)s)")
    parsed = parser.parse_args()
    if find_spec("bytewax") is None:
        raise SystemExit("Bytewax is not installed: make bench-stream does that where Python is older than 3.13")
    DATA.mkdir(exist_ok=True)
    dice = random.Random(0)  # noqa: S311 (rows, no secrets)
    text = "".join(f"{dice.randrange(parsed.keys)},{number}\n" for number in range(parsed.rows))
    ours, theirs = zip(
        *((measured(by_muster, text), measured(by_bytewax, text)) for _ in range(parsed.rounds)), strict=True
    )
    if len({answer for _, _, answer in (*ours, *theirs)}) != 1:
        raise SystemExit("The two counted differently")
    seconds, processor = (median(them[at] / own[at] for own, them in zip(ours, theirs, strict=True)) for at in (0, 1))
    met = {True: "met", False: "not met"}
    each = [f"{who} {median(run[0] for run in runs):.1f} s" for who, runs in (("muster", ours), ("Bytewax", theirs))]
    print(
        f"\n- counts of {parsed.rows:,} rows of {parsed.keys:,} keys, whole commands with one worker each:"
        f" {', '.join(each)}, {seconds:.2f} times as long (goal: at least {TIMES:.0f}; {met[seconds >= TIMES]}),"
        f" {processor:.2f} times the processor's time"
    )


def measured(count: Callable[[Path, str], list[str]], text: str) -> tuple[float, float, int]:
    """Tell the seconds that a way takes, those of the processor, and a digest of its rows in any order."""
    with tempfile.TemporaryDirectory(dir=DATA) as folder:
        before, began = used(), time.perf_counter()
        rows = count(Path(folder), text)
        return time.perf_counter() - began, used() - before, hash(tuple(sorted(rows)))


def by_muster(folder: Path, text: str) -> list[str]:
    (folder / "in").mkdir()
    (folder / "in" / "rows.csv").write_text(f"key,more\n{text}")
    stream = Counting(folder)
    stream.wait(text.count("\n"))
    stream.stop()
    return [line for part in stream.answers for line in part.decode().splitlines()[1:]]


def by_bytewax(folder: Path, text: str) -> list[str]:
    (folder / "rows.csv").write_text(f"key,more\n{text}")
    environment = {**os.environ, "BENCH_INPUT": str(folder / "rows.csv"), "BENCH_OUTPUT": str(folder / "out.csv")}
    command = [sys.executable, "-m", "bytewax.run", f"{PEER}:flow"]
    subprocess.run(command, env=environment, cwd=folder, check=True)
    return (folder / "out.csv").read_text().splitlines()


if __name__ == "__main__":
    main()
