"""Nothing is lost at the end of a run, and nothing is left behind: prints, files, exit handlers, processes, state."""

import gzip
import json
import os
import pty
import select
import signal
import subprocess
import sys
import threading
from pathlib import Path
from time import monotonic
from typing import Final

import pandas as pd
import psutil
import pytest

import muster
from conftest import MUSTER, Muster, started
from muster._process.limit import TimeLimit
from waiting import until

ROWS: Final = 3000
SECONDS: Final = 60.0

KEEPER: Final = """
import atexit, gzip, os, threading
class Keep:
    def __init__(self):
        name = f"side/{os.getpid()}"
        self.log = open(name + ".log", "w")
        self.packed = gzip.open(name + ".gz", "wt")
        self.late = []
        atexit.register(self.upload, name + ".late")
    def upload(self, path):
        with open(path, "w") as file:
            file.writelines(self.late)
    def __call__(self, df):
        print("rows", len(df))
        for value in df["a"]:
            line = f"{value}\\n"
            self.log.write(line)
            self.packed.write(line)
            self.late.append(line)
        return df
"""

STOPPED: Final = """
import atexit, signal, threading
from pathlib import Path
atexit.register(Path("atexit").touch)
def wait(df):
    try:
        Path("began").touch()
        threading.Event().wait()
    finally:
        Path("finally").touch()
def refuse(df):
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Path("began").touch()
    while True:
        threading.Event().wait(1)
"""

PROCESS_1: Final = """
import ctypes, os, signal, subprocess, sys, warnings, threading
import muster, pandas, psutil
def leave_behind(df):
    subprocess.Popen([sys.executable, "-c", "import os, time; os.fork(); time.sleep(600)"])
    return df
def state():
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM, signal.SIGCHLD)]
    return handlers, os.getcwd(), list(sys.path), list(warnings.filters), sys.stdout, threading.enumerate()
if __name__ == "__main__":
    ctypes.CDLL(None).prctl(36, 1)  # as process 1 does, it gets every orphan
    before = state()
    muster.run(leave_behind, "rows.csv", "out.csv", workers=2)
    assert state() == before
    print([child.status() for child in psutil.Process().children(recursive=True)])
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "rows.csv").write_text("a\n" + "".join(f"{at}\n" for at in range(ROWS)))
    return tmp_path


def test_what_workers_print_and_keep_until_their_end_is_complete(folder: Path, muster: Muster) -> None:
    (folder / "side").mkdir()
    (folder / "keep.py").write_text(KEEPER)
    ended = muster(
        "run", "keep.py:Keep", "rows.csv", "-o", "out.csv", "--workers", "2", "--quiet", "--batch-rows", "70"
    )
    assert ended.code == 0, ended.err
    printed = [line.split()[-2:] for line in ended.err.splitlines()]  # each begins with whose it is
    assert sum(int(count) for word, count in printed if word == "rows") == ROWS
    everything = sorted(map(str, range(ROWS)))
    for pattern, read in (("*.log", Path.read_text), ("*.late", Path.read_text), ("*.gz", read_packed)):
        lines = [line for path in (folder / "side").glob(pattern) for line in read(path).splitlines()]
        assert sorted(lines) == everything, pattern


def read_packed(path: Path) -> str:
    with gzip.open(path, "rt") as file:
        return file.read()


def test_a_call_that_ctrl_c_stops_cleans_up_and_its_worker_ends_in_order(folder: Path) -> None:
    (folder / "stopped.py").write_text(STOPPED)
    with started(folder, "run", "stopped.py:wait", "rows.csv", "-o", "out.csv", "--workers", "1") as process:
        until((folder / "began").exists)
        process.send_signal(signal.SIGINT)
        assert process.wait(SECONDS) == 130
    assert (folder / "finally").exists()
    assert (folder / "atexit").exists()


def test_a_second_ctrl_c_waits_for_nobody(folder: Path) -> None:
    (folder / "stopped.py").write_text(STOPPED)
    with started(folder, "run", "stopped.py:refuse", "rows.csv", "-o", "out.csv", "--workers", "1") as process:
        until((folder / "began").exists)
        workers = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGINT)
        until(lambda: '"stopped"' in (folder / "out.csv.muster" / "journal.jsonl").read_text())
        process.send_signal(signal.SIGINT)
        assert process.wait(SECONDS) == 130
    assert psutil.wait_procs(workers, timeout=SECONDS)[1] == []


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets a process get orphans that is not process 1")
def test_no_process_and_no_zombie_is_left_where_the_caller_gets_every_orphan(folder: Path) -> None:
    (folder / "script.py").write_text(PROCESS_1)
    done = subprocess.run(
        [sys.executable, "script.py"], cwd=folder, capture_output=True, text=True, timeout=SECONDS, check=False
    )
    assert done.stdout == "[]\n", done.stderr


DEBUGGED: Final = "def stop(df):\n    breakpoint()\n    return df\n"


def test_a_debuggers_prompt_is_there_to_see_when_the_run_is_inline_on_a_terminal(folder: Path) -> None:
    (folder / "debugged.py").write_text(DEBUGGED)
    ours, theirs = pty.openpty()
    command = [*MUSTER, "run", "debugged.py:stop", "rows.csv", "-o", "out.csv", "--workers", "0"]
    with subprocess.Popen(command, cwd=folder, stdin=theirs, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        seen, deadline = b"", monotonic() + SECONDS
        while b"(Pdb) " not in seen and monotonic() < deadline:
            if select.select([ours], [], [], 1)[0]:
                seen += os.read(ours, 1 << 16)
        process.kill()
    os.close(ours)
    assert seen.endswith(b"(Pdb) "), seen


def test_a_breakpoint_in_a_worker_says_how_to_reach_it(folder: Path, muster: Muster) -> None:
    (folder / "debugged.py").write_text(DEBUGGED)
    ended = muster("run", "debugged.py:stop", "rows.csv", "-o", "out.csv", "--workers", "1", "--quiet")
    assert ended.code == 1
    assert "--workers 0" in ended.err.splitlines()[-1]


def test_several_threads_may_run_at_once_each_its_own_function(folder: Path) -> None:
    def run(number: int, workers: int) -> None:
        class Numbered:
            def __init__(self) -> None:
                self.calls = 0

            def __call__(self, df: pd.DataFrame) -> pd.DataFrame:
                self.calls += 1
                return df.assign(number=number, call=self.calls)

        muster.run(Numbered, folder / "rows.csv", folder / f"{number}.csv", workers=workers, batch_rows=500)

    threads = [threading.Thread(target=run, args=(number, number // 3)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number in range(4):
        written = pd.read_csv(folder / f"{number}.csv")
        assert (len(written), set(written["number"])) == (ROWS, {number})
        assert number == 3 or sorted(set(written["call"])) == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("workers", [0, 1])
def test_a_function_may_itself_begin_a_run(folder: Path, workers: int) -> None:
    def outer(df: pd.DataFrame) -> pd.DataFrame:
        for inner in (0, 1):
            muster.run(lambda rows: rows * 2, folder / "rows.csv", folder / f"inner-{inner}.csv", workers=inner)
        return df.assign(b=pd.read_csv(folder / "inner-1.csv")["a"])

    muster.run(outer, folder / "rows.csv", folder / "out.jsonl", workers=workers, batch_rows=ROWS)
    last = json.loads((folder / "out.jsonl").read_text().splitlines()[-1])
    assert last == {"a": ROWS - 1, "b": 2 * (ROWS - 1)}


def test_a_limit_within_another_gives_handler_and_timer_back() -> None:
    before, left = signal.getsignal(signal.SIGALRM), signal.getitimer(signal.ITIMER_REAL)[0]  # of whoever tests
    with TimeLimit(50):
        with TimeLimit(20):
            assert 10 < signal.getitimer(signal.ITIMER_REAL)[0] <= 20
        assert 40 < signal.getitimer(signal.ITIMER_REAL)[0] <= 50
    assert signal.getitimer(signal.ITIMER_REAL)[0] == pytest.approx(left, abs=10)
    assert signal.getsignal(signal.SIGALRM) == before
