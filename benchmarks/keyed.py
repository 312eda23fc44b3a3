"""Measure a stream that counts rows by key: what its checkpoints cost, what other keys cost, how soon it goes on.

Each epoch is a checkpoint. The processor's time is that of all processes, and of many epochs, done in turns, the least
counts: others may use the machine, which only adds to it. Prints markdown.
"""

import argparse
import json
import random
import subprocess
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import median

from _data import DATA, MUSTER

PIPELINE = """
from collections import defaultdict
import muster

own = defaultdict(int)

def counted(df, states):
    counts = {counts}
    groups = df.groupby("key", sort=False)["key"]
    sizes = groups.size()
    before = {{key: counts[key] for key in sizes.index}}
    for key, more in sizes.items():
        counts[key] = before[key] + more
    return df.assign(count=df["key"].map(before) + groups.cumcount() + 1)

pipeline = muster.follow_csv("in/", every=0).key_by("key").map_batches(counted, state=int).write_csv("out/")
"""
STATES, OWN = "states", "own"
"""Where counts are: in states, each epoch's changes of which are a checkpoint; or in a dictionary of the one worker's
own, which would be lost with it."""

COST, RECOVERY = 0.05, 5.0
"""The goals: what a checkpoint may cost; seconds until a stream goes on with all of its keys."""


class Counting:
    """A stream with one worker, in a folder of its own."""

    def __init__(self, folder: Path, counts: str = STATES) -> None:
        self.folder = folder
        self.rows = self.files = 0
        (folder / "in").mkdir(exist_ok=True)
        (folder / "pipeline.py").write_text(PIPELINE.format(counts=counts))
        self.start()

    def start(self) -> None:
        command = [MUSTER, "run", "pipeline.py", "--quiet", "--workers", "1"]
        self.process = subprocess.Popen(command, cwd=self.folder)

    def feed(self, keys: Sequence[int], rows: int) -> float:
        """Add a file with rows of some keys, and wait until they are committed; return the processor's seconds."""
        before = self.used
        lines = (f"{keys[number % len(keys)]},{number}\n" for number in range(rows))
        unfinished = self.folder / "unfinished"
        unfinished.write_text("key,more\n" + "".join(lines))
        self.files, self.rows = self.files + 1, self.rows + rows
        unfinished.replace(self.folder / "in" / f"{self.files:06}.csv")  # whole, so that it is one epoch
        self.wait(self.rows)
        return self.used - before

    def wait(self, rows: int) -> None:
        """Wait until so many rows are committed."""
        while self.done() < rows:
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
    def answers(self) -> list[bytes]:
        return [path.read_bytes() for path in sorted((self.folder / "out").glob("part-*"))]

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
    """Add up the time of a process's threads, to the nanosecond; what it says of the whole process are hundredths."""
    threads = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(thread.read_text().split()[0]) for thread in threads) / 1e9


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keys", type=int, default=1_000_000, help="default: %(default)s")
    parser.add_argument("--touched", type=int, default=20_000, help="in each epoch (default: %(default)s)")
    parser.add_argument("--rows", type=int, default=100_000, help="of each epoch (default: %(default)s)")
    parser.add_argument("--epochs", type=int, default=30, help="default: %(default)s")
    parsed = parser.parse_args()
    DATA.mkdir(exist_ok=True)
    with ExitStack() as folders:
        new = [Path(folders.enter_context(tempfile.TemporaryDirectory(dir=DATA))) for _ in range(3)]
        streams = {"many": Counting(new[0]), "unkept": Counting(new[1], OWN), "few": Counting(new[2])}
        report(streams, parsed)


def report(streams: dict[str, Counting], parsed: argparse.Namespace) -> None:
    """Print what was measured, with the goals."""
    met = {True: "met", False: "not met"}
    spent, log = epochs(streams, parsed)
    least = {name: min(seconds) / parsed.rows * 1e6 for name, seconds in spent.items()}
    half = {name: median(seconds) / parsed.rows * 1e6 for name, seconds in spent.items()}
    cost, keys = (least["many"] / least[name] - 1 for name in ("unkept", "few"))
    took, processor = recovery(streams["many"], parsed)
    print(
        f"\n- counts of {parsed.rows:,} rows of {parsed.touched:,} of {parsed.keys:,} keys an epoch, by one worker, the"
        f" least of {parsed.epochs}: {least['many']:.2f} µs of the processor a row with a checkpoint of each epoch,"
        f" {least['unkept']:.2f} µs with the counts in a dictionary that is never kept: {cost:+.1%} (goal: less than"
        f" {COST:.0%}; {met[cost < COST]}); {log / 1e3:,.0f} kB of log an epoch\n"
        f"- in a stream that has no keys but those {parsed.touched:,}: {least['few']:.2f} µs a row; the other keys cost"
        f" {keys:+.1%}\n"
        f"- medians of the three: {half['many']:.2f}, {half['unkept']:.2f} and {half['few']:.2f} µs a row\n"
        f"- killed, it went on with {parsed.keys:,} keys, its process and first epoch included, in {took:.1f} s,"
        f" {processor:.1f} s of the processor (goal: less than {RECOVERY:.0f} s; {met[took < RECOVERY]})"
    )


def epochs(streams: dict[str, Counting], parsed: argparse.Namespace) -> tuple[dict[str, list[float]], float]:
    """Feed the streams in turns; return what each epoch took of the processor, and the bytes of log."""
    spent: dict[str, list[float]] = {name: [] for name in streams}
    dice = random.Random(0)  # noqa: S311 (rows, no secrets)
    keys = {name: range(parsed.touched if name == "few" else parsed.keys) for name in streams}
    for name, stream in streams.items():
        stream.feed(keys[name], len(keys[name]))
        stream.feed(keys[name][: parsed.touched], parsed.rows)
    before = streams["many"].log_bytes
    for _ in range(parsed.epochs):
        touched = dice.sample(keys["many"], parsed.touched)
        few = dice.sample(keys["few"], parsed.touched)
        for name in dice.sample([*streams], len(streams)):
            spent[name].append(streams[name].feed(few if name == "few" else touched, parsed.rows))
    log = (streams["many"].log_bytes - before) / parsed.epochs
    for name in ("few", "unkept"):
        streams[name].stop()
    if streams["many"].answers != streams["unkept"].answers:
        raise RuntimeError("the two counted differently")
    return spent, log


def recovery(stream: Counting, parsed: argparse.Namespace) -> tuple[float, float]:
    """Kill a stream; return the seconds until it has done another epoch, and those of the processor."""
    stream.kill()
    began = time.perf_counter()
    stream.start()
    stream.feed(range(0, parsed.keys, parsed.keys // parsed.touched), parsed.touched)
    took, processor = time.perf_counter() - began, stream.used
    stream.stop()
    return took, processor


if __name__ == "__main__":
    main()
