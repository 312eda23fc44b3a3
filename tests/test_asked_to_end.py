"""A signal that ends a program, a closed terminal among them, ends a run's own machines too, and nothing is left."""

import os
import pty
import select
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import psutil
import pytest

from conftest import MUSTER, Muster, started
from hosts import program
from journals import kept
from waiting import until

ROWS: Final = 3000
SECONDS: Final = 90.0
FUNCTIONS: Final = """
import signal, threading
from pathlib import Path
HOLD = Path(__file__).with_name("hold")
def slow(df):
    for _ in df.index:
        if HOLD.exists():
            threading.Event().wait(0.02)
    return df
def refuse(df):
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Path(__file__).with_name("began").touch()
    while True:
        threading.Event().wait(1)
"""
SCRIPT: Final = """
import muster
from f import slow
if __name__ == "__main__":
    muster.run(slow, "rows.csv", "out.csv", machines=1)
"""
COMMAND: Final = ("run", "f.py:slow", "rows.csv", "-o", "out.csv")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "f.py").write_text(FUNCTIONS)
    (tmp_path / "hold").touch()
    (tmp_path / "rows.csv").write_text("a\n" + "".join(f"{n}\n" for n in range(ROWS)))
    return tmp_path


def processes_of(home: Path) -> list[int]:
    """Find what runs with this MUSTER_HOME."""
    found = []
    for process in psutil.process_iter(["environ", "status"]):
        is_ours = (process.info["environ"] or {}).get("MUSTER_HOME") == str(home)
        if is_ours and process.info["status"] != psutil.STATUS_ZOMBIE and process.pid != os.getpid():
            found.append(process.pid)
    return found


@pytest.fixture(autouse=True)
def nothing_is_left(home: Path) -> Iterator[None]:
    yield
    until(lambda: not processes_of(home), 20)
    assert not list((home / "clusters").glob("*"))


def journal_of(folder: Path) -> str:
    path = folder / "out.csv.muster" / "journal.jsonl"
    return path.read_text() if path.exists() else ""


def is_working(folder: Path) -> bool:
    return kept(folder / "out.csv.muster" / "journal.jsonl") > 0


def is_shown_working(folder: Path, terminal: int) -> bool:
    """Look at what a terminal shows, as somebody does: one that nobody reads stops whoever writes to it."""
    while select.select([terminal], [], [], 0)[0]:
        os.read(terminal, 1 << 16)
    return is_working(folder)


def test_a_terminal_that_is_closed_ends_the_machines_of_its_run_which_can_be_resumed(
    folder: Path, home: Path, muster: Muster
) -> None:
    child, ours = pty.fork()
    if not child:
        os.chdir(folder)
        os.execv(MUSTER[0], [*MUSTER, *COMMAND, "--machines", "1"])  # noqa: S606 (a child with a terminal of its own)
    until(lambda: is_shown_working(folder, ours))
    assert len(processes_of(home)) > 2
    os.close(ours)
    for number in (signal.SIGHUP, signal.SIGTERM):  # shells and machines that shut down send several
        os.kill(child, number)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 128 + signal.SIGHUP
    assert not list((home / "clusters").glob("*"))
    assert '"error":"Terminated","message":"SIGHUP"' in journal_of(folder)
    (folder / "hold").unlink()
    end = muster(*COMMAND, "--workers", "1")
    assert (end.code, (folder / "out.csv").read_text().count("\n")) == (0, ROWS + 1), end.err


def test_a_second_ctrl_c_waits_for_no_worker_but_for_the_machines_to_end(folder: Path, home: Path) -> None:
    command = ("run", "f.py:refuse", "rows.csv", "-o", "out.csv", "--machines", "1")
    with started(folder, *command) as process:
        until((folder / "began").exists)
        for _ in range(2):
            process.send_signal(signal.SIGINT)
            until(lambda: '"stopped"' in journal_of(folder))
        assert process.wait(SECONDS) == 130
    assert not list((home / "clusters").glob("*"))


def test_a_signal_that_ends_a_script_ends_the_machines_of_its_run_first(folder: Path, home: Path) -> None:
    (folder / "script.py").write_text(SCRIPT)
    with subprocess.Popen([sys.executable, "script.py"], cwd=folder) as process:
        until(lambda: is_working(folder))
        process.terminate()
        assert process.wait(SECONDS) == -signal.SIGTERM
    assert not list((home / "clusters").glob("*"))
    assert '"error":"Terminated","message":"SIGTERM"' in journal_of(folder)


def test_a_run_under_nohup_goes_on_when_its_terminal_is_closed(folder: Path) -> None:
    with subprocess.Popen(
        [program("nohup"), *MUSTER, *COMMAND, "--workers", "1", "--json"], cwd=folder, stdout=subprocess.PIPE, text=True
    ) as process:
        until(lambda: is_working(folder))
        process.send_signal(signal.SIGHUP)
        (folder / "hold").unlink()
        out, _ = process.communicate(timeout=SECONDS)
    assert (process.returncode, '"rows_out": 3000' in out) == (0, True)


@pytest.mark.parametrize(("begin", "number"), [("", signal.SIGINT), ("trap '' INT; ", signal.SIGTERM)])
def test_stop_now_interrupts_also_a_run_that_a_script_has_begun_behind_itself(
    folder: Path, muster: Muster, begin: str, number: signal.Signals
) -> None:
    command = shlex.join([*MUSTER, *COMMAND, "--workers", "1"])
    with subprocess.Popen([program("sh"), "-c", f"{begin}exec {command}"], cwd=folder) as process:
        until(lambda: is_working(folder))
        end = muster("stop", "--now")
        assert (end.code, end.out.endswith(": stopped\n")) == (0, True), end.err
        assert process.wait(SECONDS) == 128 + number
    (folder / "hold").unlink()
    end = muster(*COMMAND, "--workers", "1", "--json")
    assert (end.code, end.json["resumed_parts"] > 0) == (0, True), end.err
    assert (folder / "out.csv").read_text() == (folder / "rows.csv").read_text()
