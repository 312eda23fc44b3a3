"""A run with groups that is killed anywhere goes on where it was, and its output is that of a run that was not."""

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from conftest import Muster, begun
from waiting import until

PIPELINE = """
import os
from pathlib import Path
import pandas as pd
import muster

CALLS = Path(__file__).parent / "calls"

def longest(df, key):
    with CALLS.open("ab") as calls:
        calls.write(b".")
    if key == 16:
        raise ValueError("unlucky")
    return df.assign(n=len(df)).nlargest(2, "x")

pipeline = muster.read_csv("in.csv").group_by("user").map_groups(longest).write_csv("out.csv")
"""

DYING = """
import os, random, signal, sys
import muster._worker.task  # once, and not in each process
from muster._journal import file
from app import pipeline

def die_at(step):
    def trace(frame, event, _):
        nonlocal step
        code = frame.f_code
        if event == "call" and code.co_filename == file.__file__ and code.co_name in {"write", "hold", "flush"}:
            step -= 1
            if not step:
                os.kill(os.getpid(), signal.SIGKILL)
    return trace

chance, kills, code = random.Random(int(sys.argv[1])), 0, -signal.SIGKILL
while code == -signal.SIGKILL:
    step = chance.randint(10, 60)
    child = os.fork()
    if not child:
        sys.settrace(die_at(step))
        pipeline.run(workers=0, part_bytes=3_000, max_bad_rows=1000, progress=False)
        sys.settrace(None)
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    kills += code == -signal.SIGKILL
    assert kills < 100
print(kills, code)
"""
"""Run in processes each of which is killed at some call into the journal, until one comes to the end."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    frame = pd.DataFrame({"user": [at * at % 97 for at in range(1500)], "x": [at * 7919 % 1009 for at in range(1500)]})
    frame.to_csv(tmp_path / "in.csv", index=False)
    (tmp_path / "app.py").write_text(PIPELINE)
    return tmp_path


def expected(folder: Path, *, sort: bool) -> str:
    frame = pd.read_csv(folder / "in.csv")
    groups = [group for key, group in frame.groupby("user", sort=sort) if key != 16]
    return pd.concat([group.assign(n=len(group)).nlargest(2, "x") for group in groups]).to_csv(index=False)


def check(folder: Path, *, sort: bool = False) -> None:
    assert (folder / "out.csv").read_text() == expected(folder, sort=sort)
    rejects = [json.loads(line) for line in (folder / "out.csv.rejects.jsonl").read_text().splitlines()]
    frame = pd.read_csv(folder / "in.csv")
    assert sorted(one["row"] for one in rejects) == [*frame.index[frame["user"] == 16]]
    assert {path.name for path in folder.iterdir()} <= {
        *("in.csv", "app.py", "__pycache__", "calls", "out.csv", "out.csv.rejects.jsonl"),
    }


@pytest.mark.parametrize(("seed", "sort"), [(1, False), (2, True)])
def test_a_run_that_is_killed_again_and_again_gives_what_one_gives_that_is_not(
    folder: Path,
    seed: int,
    sort: bool,  # noqa: FBT001 (pytest gives it by name)
) -> None:
    (folder / "app.py").write_text(PIPELINE.replace("(longest)", f"(longest, sort={sort})"))
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", DYING, str(seed)],
        cwd=folder,
        check=True,
        capture_output=True,
        text=True,
        timeout=280,
    )
    kills, code = map(int, done.stdout.split())
    assert (kills >= 4, code) == (True, 0)
    check(folder, sort=sort)


def test_a_run_of_sums_that_is_killed_again_and_again_gives_what_one_gives_that_is_not(folder: Path) -> None:
    sums = 'agg(n="count", total=("x", "sum"), mean=("x", "mean"), dev=("x", "std"), last=("x", "last"))'
    (folder / "app.py").write_text(PIPELINE.replace("map_groups(longest)", sums))
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", DYING, "3"],
        cwd=folder,
        check=True,
        capture_output=True,
        text=True,
        timeout=280,
    )
    kills, code = map(int, done.stdout.split())
    assert (kills >= 3, code) == (True, 0)
    killed = (folder / "out.csv").read_bytes()
    once = subprocess.run(
        [sys.executable, "-c", "from app import pipeline; pipeline.run(workers=0, fresh=True)"], cwd=folder, check=True
    )
    assert (once.returncode, (folder / "out.csv").read_bytes()) == (0, killed)


def test_no_group_that_was_done_is_done_again_by_the_next_command(folder: Path, muster: Muster) -> None:
    command: tuple[Any, ...] = ("run", "app.py", "--workers", "2", "--max-bad-rows", "1000")
    groups = pd.read_csv(folder / "in.csv")["user"].nunique()
    source = (folder / "app.py").read_text()
    slow = source.replace('calls.write(b".")', 'calls.write(b".")\n    import time; time.sleep(0.05)')
    (folder / "app.py").write_text(slow)
    journal = folder / "out.csv.muster" / "journal.jsonl"
    with begun(folder, *command) as process:
        until(lambda: journal.exists() and journal.read_text().count('"kept later"') >= 3)
        process.send_signal(signal.SIGKILL)
    done = muster(*command)
    assert done.code == 4, done.err
    check(folder)
    # Two tasks at most were under way, and what these had done was done again.
    assert groups < (folder / "calls").stat().st_size < 2 * groups
