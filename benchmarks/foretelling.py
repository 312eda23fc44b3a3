"""Compare what samples foretell with what full runs take: how often the truth lies in the range, and how wide that is.

    python benchmarks/foretelling.py [ROUNDS]

Each round does every function once in full and once with each sample, one after the other, on all cores.
"""

import csv
import json
import random
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

FUNCTIONS = """
import time
has = []
def busy(seconds):
    until = time.process_time() + seconds
    while time.process_time() < until:
        pass
def constant(df):
    busy(len(df) * 0.0002)
    return df
def vectorised(df):
    return df.assign(twice=df["n"] * 2, text=df["text"].str.upper())
def by_column(df):
    busy(df["cost"].sum() * 0.00001)
    return df
def sleeping(df):
    time.sleep(len(df) * 0.0002)
    return df
def slow_first(df):
    if not has:
        busy(2)
        has.append(1)
    busy(len(df) * 0.0002)
    return df
"""
NAMES = ("constant", "vectorised", "by_column", "sleeping", "slow_first")
CHOICES = (("--sample", 300), ("--sample", 1000), ("--limit", 1000))
ROWS = 20_000


def made(folder: Path) -> None:
    """Write the functions, and rows of which a third costs 100 times as much, more of them towards the end."""
    (folder / "f.py").write_text(FUNCTIONS)
    chance = random.Random(1)  # noqa: S311 (no secret)
    with (folder / "in.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["n", "cost", "text"])
        for n in range(ROWS):
            rows.writerow([n, 60 if chance.random() < 0.2 + 0.3 * n / ROWS else 0.6, f'a "quoted",\ncell {n}'])


def result_of(folder: Path, name: str, *flags: str) -> dict[str, object]:
    """Run muster; return the object that it prints."""
    command = [sys.executable, "-m", "muster", "run", f"f.py:{name}", "in.csv", "-o", "out.csv", "--json", "--quiet"]
    done = subprocess.run([*command, *flags], cwd=folder, capture_output=True, text=True, check=True)
    told: dict[str, object] = json.loads(done.stdout)
    return told


def main(rounds: int) -> None:
    """Print a table: for each function and sample, the truth, the range, and how often it held."""
    found: dict[tuple[str, str], list[tuple[float, float, float]]] = {}
    with tempfile.TemporaryDirectory() as made_here:
        folder = Path(made_here)
        made(folder)
        for _ in range(rounds):
            for name in NAMES:
                ranges = {}
                for flag, count in CHOICES:
                    estimate = result_of(folder, name, flag, str(count))["estimate"]
                    ranges[f"{flag} {count}"] = estimate["seconds"]  # type: ignore[index]
                took = float(result_of(folder, name)["seconds"])  # type: ignore[arg-type]
                print(f"{name}: {took} s of {ranges}", file=sys.stderr, flush=True)
                for choice, (low, high) in ranges.items():
                    found.setdefault((name, choice), []).append((took, low, high))
    print("| function | rows | full runs took | range, median | held |\n|---|---|---|---|---|")
    for (name, choice), told in found.items():
        took, low, high = (median(one[at] for one in told) for at in range(3))
        held = sum(lo <= true <= hi for true, lo, hi in told)
        print(f"| {name} | `{choice}` | {took:.1f} s | {low:.1f} to {high:.1f} s | {held} of {len(told)} |")
    spread = [one for (_, choice), told in found.items() if choice.startswith("--sample") for one in told]
    print(f"\n{sum(lo <= true <= hi for true, lo, hi in spread)} of {len(spread)} ranges of samples held.")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 4)
