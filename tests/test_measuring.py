"""What real runs journal of their work: it adds up, on every engine, also over crashes and resumed runs."""

import os
import signal
import subprocess
from pathlib import Path
from typing import TypeVar

import pytest

from conftest import MUSTER, Muster
from journals import kept
from muster._journal import events
from muster._journal.measures import Measures, WorkerSum, added
from muster._journal.runs import KnownRun, known
from muster._journal.status import RunState
from muster._model import Load, Reason
from waiting import until

ROWS = 3000
Kind = TypeVar("Kind", bound=events.Event)
FUNCTIONS = """
import os, threading

def halve(df):
    return df[df["n"] % 2 == 0]

def judge(df):
    if (df["n"] % 1000 == 0).any():
        raise ValueError(f"row {df['n'].iloc[0]} is round: '{df['n'].iloc[-1]}'")
    return df.assign(twice=df["n"] * 2)

def hold(df):
    while os.path.exists("hold") and df["n"].max() >= 1500:
        threading.Event().wait(0.01)
    return df
"""
PIPELINE = """
import muster
from functions import halve, judge

pipeline = muster.read_csv("rows.csv").map_batches(halve).map_batches(judge).write_csv("out.csv")
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path) -> Path:
    (tmp_path / "functions.py").write_text(FUNCTIONS)
    (tmp_path / "pipe.py").write_text(PIPELINE)
    (tmp_path / "rows.csv").write_text("n\n" + "".join(f"{n}\n" for n in range(ROWS)))
    return tmp_path


def added_up(run: KnownRun) -> tuple[WorkerSum, Measures]:
    """Add up all that a journal holds, over workers and attempts."""
    total, rest = WorkerSum(), Measures()
    for event in all_of(run, events.Measured):
        rest.add_reasons(Reason(*told) for told in event.reasons)
        rest.machines.update({name: Load(*told) for name, told in event.machines.items()})
        for told in event.workers.values():
            total.add(added([told]))
    return total, rest


def all_of(run: KnownRun, kind: type[Kind]) -> list[Kind]:
    return [entry.event for entry in run.entries() if isinstance(entry.event, kind)]


@pytest.mark.parametrize("workers", ["0", "2"])
def test_rows_bytes_steps_and_reasons_of_a_run_add_up(muster: Muster, folder: Path, workers: str) -> None:
    assert muster("run", "pipe.py", "--workers", workers).code == 4
    (run,) = known()
    total, rest = added_up(run)
    assert (total.rows_in, total.rows_out, total.bad_rows) == (ROWS, ROWS // 2 - 3, 3)
    assert total.bytes_in == (folder / "rows.csv").stat().st_size - len("n\n")
    header = len("n,twice\n")
    assert total.bytes_out == (folder / "out.csv").stat().st_size - header
    halve, judge = total.steps
    assert halve.rows_in == judge.rows_in + ROWS // 2 == ROWS
    assert (halve.rows_out, judge.rows_out) == (ROWS // 2, ROWS // 2 - 3)
    assert halve.batches == sum(halve.bins.values()) > 0
    assert 0 < total.seconds.function <= total.seconds.total
    assert total.cpu > 0
    assert total.memory > 1 << 20
    (reason,) = rest.reasons.values()
    assert (reason.step, reason.error, reason.rows) == ("judge", "ValueError: row … is round: …", 3)
    assert "functions.py" in reason.example


def test_the_last_measures_and_the_result_say_the_same(muster: Muster) -> None:
    assert muster("run", "pipe.py", "--workers", "2").code == 4
    (run,) = known()
    assert run.state is RunState.FINISHED
    (finished,) = all_of(run, events.Finished)
    last = all_of(run, events.Measured)[-1]
    assert last.rows_done == last.rows_total == finished.result["rows_in"] == ROWS
    assert [event.phase for event in all_of(run, events.Phase)] == [
        "looking at the input",
        "working",
        "writing the output",
    ]
    assert [(event.engine, event.cluster, event.prices) for event in all_of(run, events.TryStarted)] == [
        ("cores", None, {})
    ]


def test_a_run_that_was_killed_is_unfinished_and_goes_on_under_its_own_name(muster: Muster, folder: Path) -> None:
    (folder / "hold").touch()
    command = ("run", "functions.py:hold", "rows.csv", "-o", "out.csv", "--workers", "2")
    process = subprocess.Popen([*MUSTER, *command], cwd=folder, stderr=subprocess.DEVNULL)
    until(lambda: any(kept(run.journal) for run in known()))
    (run,) = known()
    assert run.state is RunState.RUNNING
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    (run,) = known()
    assert run.state is RunState.UNFINISHED
    (folder / "hold").unlink()
    assert muster(*command).code == 0
    (again,) = known()
    assert (again.run, again.state) == (run.run, RunState.FINISHED)
    assert len(all_of(again, events.TryStarted)) == 2
    assert all_of(again, events.Measured)[-1].rows_done == ROWS


def test_a_run_that_stops_says_why_in_its_journal(muster: Muster, folder: Path) -> None:
    (folder / "late.py").write_text("def f(df):\n    assert (df['n'] < 2990).all()\n    return df\n")
    command = ("run", "late.py:f", "rows.csv", "-o", "out.csv", "--workers", "0", "--batch-rows", "10", "--strict")
    assert muster(*command).code == 1
    (run,) = known()
    assert run.state is RunState.UNFINISHED
    (stopped,) = all_of(run, events.Stopped)
    assert stopped.error == "TooManyBadRowsError"
    assert "1 row could not be processed" in stopped.message


def test_a_worker_that_died_shows_as_left_and_its_task_as_tried_again(muster: Muster, folder: Path) -> None:
    (folder / "deadly.py").write_text(
        "import os\ndef f(df):\n    if (df['n'] == 7).any() and not os.path.exists('died'):\n"
        "        open('died', 'w').close()\n        os._exit(3)\n    return df\n"
    )
    assert muster("run", "deadly.py:f", "rows.csv", "-o", "out.csv", "--workers", "2").code == 0
    (run,) = known()
    (left,) = all_of(run, events.WorkerLeft)
    assert "status 3" in left.reason
    assert next(event.reason for event in all_of(run, events.Retried)) == left.reason


def test_a_run_goes_on_where_nobody_can_note_it(muster: Muster, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "no-folder").touch()
    monkeypatch.setenv("MUSTER_HOME", str(folder / "no-folder"))
    end = muster("run", "functions.py:hold", "rows.csv", "-o", "out.csv", "--workers", "2")
    assert end.code == 0, end.err
    assert "could not be kept" in end.err
    assert (folder / "out.csv").read_text() == (folder / "rows.csv").read_text()
