"""Measure what a large object costs that a function holds: seconds, and memory of all processes together.

Each way is a program of its own, with the same array, function, rows and number of processes. Memory is the
proportional set size (PSS): a page that several processes share counts once. Prints markdown.
"""

import argparse
import os
import sys
from pathlib import Path
from statistics import median
from typing import Final

from _data import DATA
from _measure import run

PROCESSES: Final = 2
ROWS: Final = 200_000
CHUNK: Final = 20_000

BEGIN: Final = """
import functools, sys
import numpy as np, pandas as pd
rows, output, megabytes = sys.argv[1], sys.argv[2], int(sys.argv[3])
big = np.random.default_rng(0).random(megabytes * 125_000)
def look_up(df, table):
    return df.assign(found=table[df["n"].to_numpy() % len(table)])
"""

WAYS: Final = {
    "nothing but the array": "",
    "muster": "import muster\nmuster.run(look_up, rows, output, args={'table': big}, workers=2, fresh=True)",
    "multiprocessing": (
        "import multiprocessing\n"
        f"chunks = pd.read_csv(rows, chunksize={CHUNK})\n"
        "with multiprocessing.Pool(2) as pool:\n"
        "    pd.concat(pool.imap(functools.partial(look_up, table=big), chunks)).to_csv(output, index=False)"
    ),
    "joblib": (
        "from joblib import Parallel, delayed\n"
        f"chunks = pd.read_csv(rows, chunksize={CHUNK})\n"
        "pd.concat(Parallel(2)(delayed(look_up)(one, big) for one in chunks)).to_csv(output, index=False)"
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="of each way (default: %(default)s)")
    parser.add_argument("--megabytes", type=int, default=480, help="of the array (default: %(default)s)")
    parsed = parser.parse_args()
    rows = DATA / "held.csv"
    DATA.mkdir(exist_ok=True)
    rows.write_text("n\n" + "".join(f"{n}\n" for n in range(ROWS)))
    told: dict[str, list[tuple[float, float]]] = {way: [] for way in WAYS}
    for _ in range(parsed.rounds):  # in turns
        for way, code in WAYS.items():
            told[way].append(measured(code, rows, parsed.megabytes))
    print(
        f"\n{parsed.megabytes} MB held by the function, {ROWS:,} rows, {PROCESSES} processes, {parsed.rounds} rounds:\n"
    )
    print("| | seconds | MB at most, all processes |\n|---|---|---|")
    for way, figures in told.items():
        seconds, memory = (median(column) for column in zip(*figures, strict=True))
        print(f"| {way} | {seconds:.1f} | {memory:,.0f} |")


def measured(code: str, rows: Path, megabytes: int) -> tuple[float, float]:
    """Run a program twice; tell its seconds, and the most megabytes that it and its children had together."""
    command = [sys.executable, "-c", BEGIN + code, str(rows), str(DATA / "held-out.csv"), str(megabytes)]
    timed, watched = (run(command, environment=os.environ, samples_memory=samples) for samples in (False, True))
    if timed.code or watched.code or watched.memory is None:
        sys.exit(f"it failed: {timed.errors}{watched.errors}")
    return timed.seconds, watched.memory.tree / 1e6


if __name__ == "__main__":
    main()
