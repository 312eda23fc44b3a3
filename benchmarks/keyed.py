"""Measure a stream that counts rows by key: what the keys cost that an epoch does not touch, and how soon it goes on.

Each epoch is a checkpoint. The processor's time is that of all processes, as others may use the machine, too. Prints
markdown.
"""

import argparse
import json
import os
import random
import subprocess
import tempfile
import time
from pathlib import Path
from statistics import median

from _data import DATA, MUSTER

PIPELINE = """
import muster

def counted(df, states):
    groups = df.groupby("key", sort=False)["key"]
    sizes = groups.size()
    before = {key: states[key] for key in sizes.index}
    for key, more in sizes.items():
        states[key] = before[key] + more
    return df.assign(count=df["key"].map(before) + groups.cumcount() + 1)

pipeline = muster.follow_csv("in/", every=0).key_by("key").map_batches(counted, state=int).write_csv("out/")
"""

TICK = os.sysconf("SC_CLK_TCK")
COST, RECOVERY = 0.05, 5.0
"""The goals: what the keys that are not touched may cost; seconds until a stream goes on with all of them."""


class Counting:
    """A stream in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.rows = 0
        (folder / "in").mkdir()
        (folder / "pipeline.py").write_text(PIPELINE)
        (folder / "in" / "rows.csv").write_text("key,more\n")
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen([MUSTER, "run", "pipeline.py", "--quiet"], cwd=self.folder)

    def feed(self, keys: range | list[int], rows: int) -> None:
        """Add rows of some keys, and wait until they are committed."""
        with (self.folder / "in" / "rows.csv").open("a") as file:
            file.write("".join(f"{keys[number % len(keys)]},{number}\n" for number in range(rows)))
        self.rows += rows
        while self.done() < self.rows:
            if self.process.poll() is not None:
                raise RuntimeError("the stream ended")
            time.sleep(0.01)

    def done(self) -> int:
        manifest = self.folder / "out" / "_manifest.jsonl"
        return sum(json.loads(line)["rows"] for line in manifest.read_bytes().splitlines()) if manifest.exists() else 0

    @property
    def used(self) -> float:
        """Add up the processor's seconds of the processes that are there."""
        return sum(_seconds(pid) for pid in _tree(self.process.pid))

    @property
    def log_bytes(self) -> int:
        return sum(path.stat().st_size for path in (self.folder / "out.muster").glob("states-*"))

    def stop(self) -> None:
        (self.folder / "out.muster" / "stop").touch()
        self.process.wait()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


def _tree(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(below for child in children for below in _tree(int(child)))]


def _seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keys", type=int, default=1_000_000, help="default: %(default)s")
    parser.add_argument("--touched", type=int, default=20_000, help="in each epoch (default: %(default)s)")
    parser.add_argument("--rows", type=int, default=100_000, help="of each epoch (default: %(default)s)")
    parser.add_argument("--epochs", type=int, default=20, help="default: %(default)s")
    parsed = parser.parse_args()
    DATA.mkdir(exist_ok=True)
    dice, spent = random.Random(0), dict[str, float]()  # noqa: S311 (rows, no secrets)
    with tempfile.TemporaryDirectory(dir=DATA) as few, tempfile.TemporaryDirectory(dir=DATA) as many:
        streams = {"few": Counting(Path(few)), "many": Counting(Path(many))}
        streams["few"].feed(range(parsed.touched), parsed.touched)
        streams["many"].feed(range(parsed.keys), parsed.keys)
        each: dict[str, list[float]] = {name: [] for name in streams}
        sizes = {name: stream.log_bytes for name, stream in streams.items()}
        for _ in range(parsed.epochs):  # in turns, as the machine may be used by others
            for name, stream in streams.items():
                touched = dice.sample(range(parsed.keys if name == "many" else parsed.touched), parsed.touched)
                before = stream.used
                stream.feed(touched, parsed.rows)
                each[name].append(stream.used - before)
        spent = {name: median(seconds) for name, seconds in each.items()}
        added = (streams["many"].log_bytes - sizes["many"]) / parsed.epochs
        streams["few"].stop()
        streams["many"].kill()
        began = time.perf_counter()
        streams["many"].start()
        streams["many"].feed(range(0, parsed.keys, parsed.keys // parsed.touched), parsed.touched)
        recovery = time.perf_counter() - began
        streams["many"].stop()
    cost = spent["many"] / spent["few"] - 1
    met = {True: "met", False: "not met"}
    print(
        f"\n- counts of {parsed.rows:,} rows by key, {parsed.touched:,} keys touched in an epoch, each of which is a"
        f" checkpoint: {spent['few'] / parsed.rows * 1e6:.2f} µs of the processor a row where there are no other keys,"
        f" {spent['many'] / parsed.rows * 1e6:.2f} µs with {parsed.keys:,}: {cost:+.1%} (goal: less than {COST:.0%};"
        f" {met[cost < COST]}); {added / 1e3:,.0f} kB of log an epoch\n- killed, it went on with {parsed.keys:,} keys,"
        f" its process and first epoch included, in {recovery:.1f} s (goal: less than {RECOVERY:.0f} s;"
        f" {met[recovery < RECOVERY]})"
    )


if __name__ == "__main__":
    main()
