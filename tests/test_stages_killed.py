"""A job of several stages gives what pandas gives, whichever of its processes are killed, and when."""

import contextlib
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from random import Random

import numpy as np
import pandas as pd
import psutil

from waiting import until

KILLS = 30
MUSTERS = 8
"""So many of the kills are muster's own; all others are those of workers."""

MOST_IN_A_STAGE = 8

APP = """
import threading
from pathlib import Path
import pandas as pd
import muster

def slowly():
    threading.Event().wait(float(Path("pace").read_text()))

def exploded(df):
    slowly()
    some = df[df["user"] % 5 != 0]
    return some.assign(tag=some["tags"].str.split("|")).explode("tag").drop(columns="tags")

class Running:
    def __call__(self, df, states):
        slowly()
        totals = []
        for user, amount in zip(df["user"], df["amount"]):
            states[user] += amount
            totals.append(states[user])
        return df.assign(total=totals).rename(columns={"user": "who"})

    def at_end(self, states):
        return pd.DataFrame({"who": states.keys(), "amount": 0.0, "tag": "all", "total": states.values()})

def last_of_each(df, key):
    slowly()
    who, tag = key
    return pd.DataFrame({"tag": [tag], "who": [who], "total": [df["total"].iloc[-1]]})

class Spread:
    def initial(self):
        return []

    def update(self, partial, rows):
        slowly()
        return [min([*partial, *rows]), max([*partial, *rows])]

    def combine(self, partial, later):
        return [min([*partial, *later]), max([*partial, *later])]

    def output(self, partial):
        return float(partial[1] - partial[0])

def pipeline():
    running = muster.read_csv("in.csv").map_batches("app.py:exploded")
    running = running.key_by("user").map_batches("app.py:Running", state=float)
    last = running.group_by(["who", "tag"]).map_groups("app.py:last_of_each")
    sums = last.group_by("tag").agg(sort=True, n="count", total=("total", "sum"), spread=("total", Spread))
    return sums.write_csv("out.csv")

if __name__ == "__main__":
    pipeline().run(workers=2, part_bytes=1_500, progress=False)
"""


def by_pandas(frame: pd.DataFrame) -> str:
    rows = frame[frame["user"] % 5 != 0]
    rows = rows.assign(tag=rows["tags"].str.split("|")).explode("tag")
    rows["total"] = rows.groupby("user")["amount"].cumsum()
    last = rows.groupby(["user", "tag"], sort=False)["total"].last().reset_index()
    at_end = rows.groupby("user")["amount"].sum().rename("total").reset_index().assign(tag="all")
    totals = pd.concat([last, at_end]).groupby("tag")["total"]
    sums = totals.agg(n="size", total="sum", spread=lambda one: one.max() - one.min())
    return str(sums.reset_index().to_csv(index=False))


class Storm:
    """Kills workers, and muster itself, each time when some more tasks are done."""

    def __init__(self, folder: Path, chance: Random) -> None:
        self._folder = folder
        self._journal = folder / "out.csv.muster" / "journal.jsonl"
        self._chance = chance
        self.workers = 0
        self.musters = 0
        self.in_stages = Counter[int]()
        """How often something was killed in each stage."""

    def rage(self) -> None:
        """Run until enough were killed, and then to the end."""
        self._have_calls_take(0.02)
        while self.workers + self.musters < KILLS:
            with self._begun() as process:
                self._kill_workers_of(process)
                if self.musters < MUSTERS:
                    self._wait_for_more(process)
                    process.kill()
                    self.musters += 1
                else:
                    self._have_calls_take(0.0)
                    _, told = process.communicate()
                    assert process.returncode == 0, told

    def _begun(self) -> "subprocess.Popen[str]":
        return subprocess.Popen([sys.executable, "app.py"], cwd=self._folder, stderr=subprocess.PIPE, text=True)

    def _kill_workers_of(self, process: "subprocess.Popen[str]") -> None:
        left = KILLS - MUSTERS - self.workers
        for _ in range(left if self.musters == MUSTERS else min(left, self._chance.randint(1, 4))):
            self._wait_for_more(process)
            with contextlib.suppress(psutil.NoSuchProcess, IndexError):
                [zygote] = psutil.Process(process.pid).children()
                self._chance.choice(zygote.children()).kill()
                self.workers += 1

    def _wait_for_more(self, process: "subprocess.Popen[str]") -> None:
        """Wait until some more tasks are done, in a stage in which not too much was killed yet."""
        before = self._told().count('"kept')
        until(lambda: self._is_due(before) or process.poll() is not None)
        assert process.poll() is None, "it came to its end before enough of its processes were killed"
        self.in_stages[self._stage()] += 1

    def _is_due(self, before: int) -> bool:
        return self._told().count('"kept') > before and self.in_stages[self._stage()] < MOST_IN_A_STAGE

    def _stage(self) -> int:
        return max(map(int, re.findall(r'"stage":(\d+)', self._told())), default=0)

    def _told(self) -> str:
        return self._journal.read_text() if self._journal.exists() else ""

    def _have_calls_take(self, seconds: float) -> None:
        (self._folder / "pace.new").write_text(str(seconds))
        (self._folder / "pace.new").rename(self._folder / "pace")


def written_in(folder: Path) -> pd.DataFrame:
    """Write rows and the job into a folder."""
    rng, rows = np.random.default_rng(11), 900
    tags = ["new|paid", "paid", "", "new|gift|paid", 'said "no"|paid', "two\nlines"]
    user = np.where(rng.random(rows) < 0.3, 7, rng.integers(0, 60, rows))
    frame = pd.DataFrame({"user": user, "amount": rng.integers(1, 400, rows) / 8})
    frame["tags"] = [tags[one] for one in rng.integers(0, len(tags), rows)]
    frame["tags"] += "|seen"
    frame.to_csv(folder / "in.csv", index=False)
    (folder / "app.py").write_text(APP)
    return frame


def test_the_output_is_exact_after_30_kills_of_workers_and_muster_in_a_job_of_several_stages(tmp_path: Path) -> None:
    frame = written_in(tmp_path)
    storm = Storm(tmp_path, Random(2026))  # noqa: S311 (no secret)
    storm.rage()
    assert (storm.workers, storm.musters) == (KILLS - MUSTERS, MUSTERS)
    assert len(storm.in_stages) >= 4
    assert (tmp_path / "out.csv").read_text() == by_pandas(frame)
    assert not (tmp_path / "out.csv.rejects.jsonl").exists()
