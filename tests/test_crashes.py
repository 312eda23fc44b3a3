"""Promises 1 to 3 under fire: whatever is killed, the output is complete and exact, or not there at all."""

import contextlib
import gzip
import hashlib
import json
import os
import shutil
import signal
import stat
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from random import Random
from threading import Event
from time import monotonic
from typing import Final

import pandas as pd
import psutil
import pytest

import filters
import journals
from conftest import MUSTER, WARM, Ended, Muster, begun, cold_begun
from disks import mount, small
from muster._api.generate import generate
from muster._job import Job, Options
from muster._journal.events import DroppedLater
from muster._journal.file import Journal
from muster._model import Target, Task
from muster._output.exchange import exchanged
from muster._output.folder import WorkFolder
from muster._output.publication import publish_folder
from muster._run.runner import run
from muster._version import __version__
from muster._worker.task import TaskBody
from muster.errors import OutputBusyError
from muster.testing import FakeEngine
from waiting import until

ROWS = 4000
HELD = """
import os, threading
import beside

def held(df):
    while os.path.exists("hold") and df["ID"].max() >= 2000:
        threading.Event().wait(0.01)
    return beside.add(df)
"""
BESIDE = """
def add(df):
    df["TWICE"] = df["SKU"] * 2 + df["FLUX"]
    return df
"""
SLOW = """
import threading
from pathlib import Path

def slow(df):
    threading.Event().wait(len(df) * float(Path("pace").read_text()))
    df["TWICE"] = df["SKU"] * 2 + df["FLUX"]
    return df
"""
COMMAND = ("run", "held.py:held", "rows.csv", "-o", "out.csv", "--workers", "2", "--json")


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def processes_of(home: Path) -> list[int]:
    """Find what runs with this MUSTER_HOME, or was forked for this test: muster, workers, what they started."""
    found = WARM[0].forks()
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.status() != psutil.STATUS_ZOMBIE and process.environ().get("MUSTER_HOME") == str(home):
                found.append(process.pid)
    return [pid for pid in set(found) if pid != os.getpid()]


@pytest.fixture(autouse=True)
def nothing_is_left_running(home: Path) -> Iterator[None]:
    yield
    until(lambda: not processes_of(home))


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start ``muster ...`` in the test's folder, and kill it at the end if it still runs."""
    started: list[subprocess.Popen[str]] = []
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)  # a child would inherit that it is ignored

    def call(*arguments: str, anew: bool = False) -> subprocess.Popen[str]:
        started.append((cold_begun if anew else begun)(tmp_path, *arguments))
        return started[-1]

    yield call
    for process in started:
        process.kill()
        process.communicate()
    signal.signal(signal.SIGINT, previous)


def ended(process: subprocess.Popen[str]) -> Ended:
    out, err = process.communicate(timeout=120)
    return Ended(process.returncode, out, err)


def journal_of(folder: Path) -> str:
    return (folder / "out.csv.muster" / "journal.jsonl").read_text()


def kept(folder: Path, output: str = "out.csv") -> int:
    """Count the tasks that the journal says are done."""
    return journals.kept(folder / f"{output}.muster" / "journal.jsonl")


def lay_out(folder: Path, rows: int = ROWS) -> None:
    generate(rows, folder / "rows.csv")
    (folder / "held.py").write_text(HELD)
    (folder / "beside.py").write_text(BESIDE)


def right(rows: Path) -> bytes:
    frame = pd.read_csv(rows)
    frame["TWICE"] = frame["SKU"] * 2 + frame["FLUX"]
    text: str = frame.to_csv(index=False)
    return text.encode()


@pytest.fixture(scope="module")
def killed_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which muster was killed when half of the rows were done."""
    folder = tmp_path_factory.mktemp("killed")
    lay_out(folder)
    (folder / "hold").touch()
    home = folder / "home"
    with subprocess.Popen(
        [*MUSTER, *COMMAND], cwd=folder, env={**os.environ, "MUSTER_HOME": str(home)}, stdout=subprocess.DEVNULL
    ) as process:
        until(lambda: kept(folder) >= 3)
        process.kill()
    until(lambda: not processes_of(home))
    assert not (folder / "out.csv").exists()
    (folder / "hold").unlink()
    return folder


@pytest.fixture
def unfinished(killed_once: Path, tmp_path: Path) -> Path:
    """A run to be resumed, in the test's folder."""
    shutil.copytree(killed_once, tmp_path, dirs_exist_ok=True)
    return tmp_path


def assert_right(folder: Path, end: Ended, *, resumed: bool | None = True) -> None:
    assert end.code == 0, end.err
    assert (folder / "out.csv").read_bytes() == right(folder / "rows.csv")
    result = end.json
    assert result["rows_in"] == result["rows_out"] == (folder / "rows.csv").read_bytes().count(b"\n") - 1
    assert result["bad_rows"] == 0
    if resumed is not None:
        assert bool(result["resumed_parts"]) is resumed
    assert not (folder / "out.csv.muster").exists()
    assert not (folder / "out.csv.rejects.jsonl").exists()


# The storm


@dataclass
class Storm:
    """Kill workers, zygotes and muster itself at times that a seed chose."""

    folder: Path
    chance: Random
    start: Callable[..., subprocess.Popen[str]]
    workers_killed: int = 0
    musters_killed: int = 0

    def rage(self) -> Ended:
        """Run until the end comes in spite of it all; it comes when enough workers are dead, and not before."""
        self._have_rows_take(0.005)
        while True:
            process = self.start(
                *("run", "slow.py:slow", "rows.csv", "-o", "out.csv", "--workers", "4", "--json", "--quiet"),
                anew=True,  # what is killed while it starts shall be what starts at a user's
            )
            if self._survives(process):
                return ended(process)

    def _survives(self, process: subprocess.Popen[str]) -> bool:
        last = self.musters_killed >= 8
        before, delay = kept(self.folder), self.chance.random() * 1.5
        enough, began = before + self.chance.randint(0, 6), None
        while True:
            if began is None and kept(self.folder) > before:  # however long it took to start
                began = monotonic()
            if self.workers_killed >= 30 and last and began is not None:  # it has compared what its rows depend on
                self._have_rows_take(0.0)
            is_there = (self.folder / "out.csv").exists()
            if process.poll() is not None:
                return True
            assert not is_there or not (self.folder / "out.csv.muster").exists() or last
            if not last and began is not None and (monotonic() - began > delay or kept(self.folder) > enough):
                self.musters_killed += 1
                process.kill()
                process.wait()
                assert not (self.folder / "out.csv").exists()
                return False
            if self.workers_killed < (30 if last else 3 * self.musters_killed + 3):
                self._kill_a_worker(process.pid)
            Event().wait(self.chance.random() * 0.1)

    def _have_rows_take(self, seconds: float) -> None:
        """Say how long a row takes; a worker that reads this finds it whole."""
        (self.folder / "pace.new").write_text(str(seconds))
        (self.folder / "pace.new").rename(self.folder / "pace")

    def _kill_a_worker(self, muster: int) -> None:
        if kept(self.folder) == 0:
            return
        with contextlib.suppress(psutil.NoSuchProcess, IndexError):
            zygote = psutil.Process(muster).children()[0]
            workers = [zygote] if self.chance.random() < 0.05 else zygote.children()
            self.chance.choice(workers).kill()
            self.workers_killed += 1


def test_the_output_is_exact_after_30_dead_workers_and_8_dead_musters(
    tmp_path: Path, start: Callable[..., subprocess.Popen[str]], seed_rows: Path
) -> None:
    shutil.copy(seed_rows, tmp_path / "rows.csv")
    (tmp_path / "slow.py").write_text(SLOW)
    storm = Storm(tmp_path, Random(2026), start)  # noqa: S311 (no secret)
    end = storm.rage()
    assert storm.musters_killed == 8
    assert storm.workers_killed == 30
    assert_right(tmp_path, end)


# Any order


@pytest.mark.parametrize("seed", range(8))
def test_any_order_of_answers_and_deaths_gives_the_same_bytes(tmp_path: Path, seed: int) -> None:
    generate(600, tmp_path / "rows.csv")
    (tmp_path / "gaps.py").write_text("def gaps(df):\n    return df.assign(ID=df['ID'].where(df['ID'] != 444))\n")
    chance = Random(seed)  # noqa: S311 (no secret)
    deaths = chance.choice([0, 5])

    def kills(request: object) -> bool:
        nonlocal deaths
        if not isinstance(request, Task) or request.condemned:
            return False
        by_chance = deaths > 0 and request.hi - request.lo > 1 and chance.random() < 0.2
        deaths -= by_chance
        return by_chance or request.lo <= 77 < request.hi

    job = Job(
        (Target("file", str(tmp_path / "gaps.py"), "gaps"),),
        (str(tmp_path / "rows.csv"),),
        str(tmp_path / "out.csv"),
        Options(workers=3, part_bytes=1000),
    )
    result = run(
        job,
        watch=lambda _: None,
        make_engine=lambda _: FakeEngine(TaskBody, workers=3, chance=chance, kills=kills),
    )
    assert (result.rows_in, result.rows_out, result.bad_rows) == (600, 599, 1)
    frame = pd.read_csv(tmp_path / "rows.csv")
    frame["ID"] = frame["ID"].where(frame["ID"] != 444)
    assert (tmp_path / "out.csv").read_text() == frame.drop(77).to_csv(index=False)
    (reject,) = (tmp_path / "out.csv.rejects.jsonl").read_text().splitlines()
    assert json.loads(reject)["row"] == 77


# Signals


ENDS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGXCPU)


@pytest.mark.parametrize(
    ("number", "workers"),
    [*((number, "2") for number in ENDS), (signal.SIGINT, "0"), (signal.SIGTERM, "0"), (signal.SIGHUP, "0")],
)
def test_a_run_that_is_told_to_stop_says_so_and_can_be_resumed(
    muster: Muster, tmp_path: Path, start: Callable[..., subprocess.Popen[str]], number: signal.Signals, workers: str
) -> None:
    lay_out(tmp_path)
    (tmp_path / "hold").touch()
    process = start(*COMMAND, "--workers", workers)
    until(lambda: kept(tmp_path) >= 1)
    process.send_signal(number)
    end = ended(process)
    assert end.code == 128 + number
    assert "type the same command again" in end.err
    assert ("Ctrl-C" if number == signal.SIGINT else number.name) in end.err
    assert ("KeyboardInterrupt" if number == signal.SIGINT else number.name) in journal_of(tmp_path)
    assert "Traceback" not in end.err
    assert not (tmp_path / "out.csv").exists()
    (tmp_path / "hold").unlink()
    assert_right(tmp_path, muster(*COMMAND, "--workers", workers))


def test_no_process_outlives_a_muster_that_is_killed(
    tmp_path: Path, start: Callable[..., subprocess.Popen[str]], home: Path
) -> None:
    lay_out(tmp_path)
    (tmp_path / "hold").touch()
    process = start(*COMMAND)
    until(lambda: kept(tmp_path) >= 2)
    assert len(processes_of(home)) == 1 + 1 + 2
    process.kill()
    until(lambda: not processes_of(home))


# One output, two musters


def test_a_second_muster_on_the_same_output_is_refused_while_the_first_goes_on(
    muster: Muster, tmp_path: Path, start: Callable[..., subprocess.Popen[str]]
) -> None:
    lay_out(tmp_path)
    (tmp_path / "hold").touch()
    first = start(*COMMAND)
    until(lambda: kept(tmp_path) >= 2)
    for option in ("--json", "--fresh"):
        second = muster(*COMMAND, option)
        assert second.code == 2
        assert f"Another muster process is writing 'out.csv': process {first.pid} on" in second.err
    assert first.poll() is None
    (tmp_path / "hold").unlink()
    assert_right(tmp_path, ended(first), resumed=False)


def test_one_that_comes_while_another_puts_its_folder_away_is_refused_or_finds_order(tmp_path: Path) -> None:
    holders = taken = 0

    def take_and_remove() -> None:
        nonlocal holders, taken
        for _ in range(300):
            work = WorkFolder(str(tmp_path / "out.csv"), home=tmp_path)
            try:
                work.take()
            except OutputBusyError:
                continue
            holders += 1
            assert holders == 1
            (work.parts / "piece").write_text("rows")
            (work.parts / "piece").read_text()
            holders -= 1
            taken += 1
            work.remove()
            work.release()

    with ThreadPoolExecutor(6) as threads:
        for done in [threads.submit(take_and_remove) for _ in range(6)]:
            done.result()
    assert taken > 10
    assert list(tmp_path.iterdir()) == []


# Resuming


def test_a_killed_run_is_resumed_by_the_same_command(muster: Muster, unfinished: Path) -> None:
    assert_right(unfinished, muster(*COMMAND))


def test_a_run_may_be_resumed_with_other_workers_and_other_limits(muster: Muster, unfinished: Path) -> None:
    assert_right(unfinished, muster(*COMMAND, "--workers", "1", "--max-bad-rows", "5", "--timeout", "60s"))


def changed_input(folder: Path) -> None:
    with (folder / "rows.csv").open("a") as rows:
        rows.write("4000,1,0.5,x,y\n")


def touched_input(folder: Path) -> None:
    data = (folder / "rows.csv").read_bytes()
    (folder / "rows.csv").write_bytes(data[:-10] + b"012345678\n")


def changed_function(folder: Path) -> None:
    (folder / "held.py").write_text(HELD.replace("return beside.add(df)", "return beside.add(df).head(0)"))


def changed_module_beside(folder: Path) -> None:
    (folder / "beside.py").write_text(BESIDE.replace("* 2", "* 3"))


def a_journal_of_an_earlier_version(folder: Path) -> None:
    """Leave a journal as it was before it said what rows depend on."""
    path = folder / "out.csv.muster" / "journal.jsonl"
    first, *rest = journals.without_checks(path.read_text()).splitlines(keepends=True)
    started = json.loads(first)
    del started["job"]["facts"]
    path.write_text(json.dumps(started, separators=(",", ":")) + "\n" + "".join(rest))


def a_journal_of_another_version(folder: Path) -> None:
    path = folder / "out.csv.muster" / "journal.jsonl"
    text = journals.without_checks(path.read_text())
    assert f'"muster":"{__version__}"' in text
    path.write_text(text.replace(f'"muster":"{__version__}"', '"muster":"0.0.9"'))


def test_a_comment_and_a_scratch_file_beside_the_function_change_nothing(muster: Muster, unfinished: Path) -> None:
    (unfinished / "scratch.py").write_text("X = 1\n")
    (unfinished / "held.py").write_text("# looked through again\n" + HELD)
    (unfinished / "beside.py").write_text(BESIDE + "\n\ndef not_called():\n    return 1\n")
    assert_right(unfinished, muster(*COMMAND))


@pytest.mark.parametrize(
    ("change", "options", "reason"),
    [
        (changed_input, (), "the input 'rows.csv' has changed"),
        (touched_input, (), "the input 'rows.csv' has changed"),
        (changed_function, (), "the function 'held' of held.py has changed"),
        (changed_module_beside, (), "the function 'add' of beside.py has changed"),
        (a_journal_of_an_earlier_version, (), "begun by an earlier version of muster"),
        (a_journal_of_another_version, (), f"muster was 0.0.9 and is {__version__} now"),
        (None, ("--batch-rows", "100"), "--batch-rows was not given, and is 100 now"),
        (None, ("--dtype", "FLUX=float32"), "--dtype was not given, and is 'FLUX=float32' now"),
        (None, ("--delimiter", ";"), "--sep was ',', and is ';' now"),
    ],
)
def test_a_changed_job_is_refused_with_the_reason(
    muster: Muster,
    unfinished: Path,
    change: Callable[[Path], None] | None,
    options: tuple[str, ...],
    reason: str,
) -> None:
    if change is not None:
        change(unfinished)
    refused = muster(*COMMAND, *options)
    assert refused.code == 2
    assert reason in refused.err
    assert "--fresh" in refused.err
    assert not (unfinished / "out.csv").exists()
    if options:
        assert_right(unfinished, muster(*COMMAND))
        return
    again = muster(*COMMAND, "--fresh")
    assert again.code == 0, again.err
    assert again.json["resumed_parts"] == 0
    assert again.json["rows_in"] == len(pd.read_csv(unfinished / "rows.csv"))


def test_changes_may_be_accepted_and_are_told_of_wherever_the_run_is_shown(muster: Muster, unfinished: Path) -> None:
    changed = HELD.replace("return beside.add(df)", "return beside.add(df).assign(TWICE=-1)")
    (unfinished / "held.py").write_text(changed)
    refused = muster(*COMMAND)
    assert "the function 'held' of held.py has changed" in refused.err
    assert "--accept-changes" in refused.err
    ended = muster(*COMMAND, "--accept-changes")
    assert ended.code == 0, ended.err
    assert ended.json["resumed_parts"]
    assert "going on although this has changed: the function 'held' of held.py has changed" in ended.err
    twice = pd.read_csv(unfinished / "out.csv")["TWICE"]
    assert 0 < (twice == -1).sum() < len(twice)
    told = "Went on although this had changed: the function &#39;held&#39; of held.py has changed"
    muster("report", "-o", "report.html")
    assert told in (unfinished / "report.html").read_text()
    (listed, *_) = json.loads(muster("runs", "--json").out)
    assert listed["accepted"] == ["the function 'held' of held.py has changed"]


def test_other_rows_are_refused_also_where_changes_are_accepted(muster: Muster, unfinished: Path) -> None:
    changed_input(unfinished)
    changed_function(unfinished)
    refused = muster(*COMMAND, "--accept-changes")
    assert refused.code == 2
    assert "the input 'rows.csv' has changed" in refused.err
    assert "the function 'held' of held.py has changed" in refused.err  # all is named at once


@pytest.mark.parametrize("slip", [("--dtype", "FLUX=category"), ("--dtype", "NONE=str"), ("--delimiter", "::")])
def test_a_slip_in_a_command_with_fresh_costs_nothing_of_what_was_done(
    muster: Muster, unfinished: Path, slip: tuple[str, ...]
) -> None:
    refused = muster(*COMMAND, "--fresh", *slip)
    assert refused.code == 2, refused.err
    assert_right(unfinished, muster(*COMMAND))


def test_a_journal_that_cannot_be_understood_is_refused_in_words(muster: Muster, unfinished: Path) -> None:
    journal = unfinished / "out.csv.muster" / "journal.jsonl"
    journal.write_text(
        journals.without_checks(journal.read_text())
        .replace('"settled","at"', '"settled","when"')
        .replace('"columns":', '"cols":')
    )
    refused = muster(*COMMAND)
    assert refused.code == 2
    assert "another version of muster" in refused.err
    kept = journal.read_text()
    assert muster(*COMMAND, "--fresh", "--dtype", "NONE=str").code == 2
    assert journal.read_text() == kept, "a slip with --fresh cost what that version may go on with"
    assert_right(unfinished, muster(*COMMAND, "--fresh"), resumed=False)


def test_a_changed_digit_of_what_was_kept_is_refused_and_gives_no_other_rows(muster: Muster, unfinished: Path) -> None:
    journal = unfinished / "out.csv.muster" / "journal.jsonl"
    before, kept, behind = journal.read_bytes().partition(b'{"event":"kept"')
    task, separator, rest = behind.partition(b"]")
    assert task[-1:].isdigit()
    journal.write_bytes(before + kept + task[:-1] + (b"1" if task[-1:] != b"1" else b"2") + separator + rest)
    refused = muster(*COMMAND)
    assert refused.code == 2
    assert f"is damaged: what stands in its line from byte {len(before):,} on is not what was written" in refused.err
    assert "--fresh to start over" in refused.err
    assert "another version" not in refused.err
    assert muster("runs").code == 0
    assert not (unfinished / "out.csv").exists()
    assert_right(unfinished, muster(*COMMAND, "--fresh"), resumed=False)


def test_a_fault_in_reading_what_was_done_is_kept_in_a_file_and_fresh_cures_it(
    muster: Muster, unfinished: Path
) -> None:
    """A stage that nobody began has nothing to forget: no muster writes that."""
    work = unfinished / "out.csv.muster"
    with Journal(work / "journal.jsonl") as journal:
        journal.write(DroppedLater(7, 0, 1, 0))
    failed = muster(*COMMAND)
    assert failed.code != 0
    assert str(Path("out.csv.muster", "fault.txt")) in failed.err
    assert "KeyError: 7" in (work / "fault.txt").read_text()
    assert_right(unfinished, muster(*COMMAND, "--fresh"), resumed=False)


def test_fresh_starts_over_even_when_nothing_has_changed(muster: Muster, unfinished: Path) -> None:
    assert_right(unfinished, muster(*COMMAND, "--fresh"), resumed=False)


def test_a_torn_last_line_of_the_journal_costs_no_more_than_its_task(muster: Muster, unfinished: Path) -> None:
    journal = unfinished / "out.csv.muster" / "journal.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    last = max(at for at, line in enumerate(lines) if line.startswith((b'{"event":"kept"', b'{"event":"moved"')))
    journal.write_bytes(b"".join(lines[:last]) + lines[last][:-20])
    assert_right(unfinished, muster(*COMMAND))


def test_a_journal_of_zeros_starts_over(muster: Muster, unfinished: Path) -> None:
    journal = unfinished / "out.csv.muster" / "journal.jsonl"
    journal.write_bytes(bytes(journal.stat().st_size))
    assert_right(unfinished, muster(*COMMAND), resumed=False)


def written_rows(folder: Path) -> list[Path]:
    work = folder / "out.csv.muster"
    return [path for path in work.rglob("*") if path.is_file() and path.name not in {"lock", "journal.jsonl"}]


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    for at in range(0, len(data), 512):
        data[at] ^= 1
    path.write_bytes(data)


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


@pytest.mark.parametrize("damage", [flip, cut, Path.unlink])
def test_rows_that_a_power_cut_has_spoilt_are_done_again(
    muster: Muster, unfinished: Path, damage: Callable[[Path], None]
) -> None:
    damaged = [path for path in written_rows(unfinished) if path.stat().st_size]
    assert damaged
    for path in damaged:
        damage(path)
    assert_right(unfinished, muster(*COMMAND), resumed=None)


# Dying at every step of the end

DYING = """
import os, signal, sys
from fnmatch import fnmatchcase
from muster.cli import main

step, calls = sys.argv[1], int(sys.argv[2])

def die_at_it(event, arguments):
    global calls
    if event.startswith(("os.", "open", "ctypes.")) and fnmatchcase(" ".join(map(str, (event, *arguments))), step):
        calls -= 1
        if not calls:
            os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(die_at_it)
main(sys.argv[3:])
"""
"""A command that is killed as it is about to do something to a file for the so-many-th time."""

BEFORE_IT_IS_VISIBLE = "os.mkdir *.muster/usual-* 1"
VISIBLE = "open */done/*.unfinished * 1"
"""It is visible, but the journal does not say so yet."""
FINISHED = "open */runs/*.unfinished * 1"
"""The journal says so."""
LEAVES_THE_WORK_FOLDER = "os.remove *.muster/journal.jsonl * 1"
STEPS_OF_THE_END = {
    "out.csv": [
        "os.remove *.muster/parts/*.rows * 2",  # whose rows have been appended to others
        BEFORE_IT_IS_VISIBLE,
        "os.link *.published * 1",
        "os.rename *.published * 1",
        VISIBLE,
        "os.rename */done/* 1",
        FINISHED,
        "os.rename */runs/* 1",
        LEAVES_THE_WORK_FOLDER,
        "os.rmdir *.muster/parts * 1",
    ],
    "out/": [
        BEFORE_IT_IS_VISIBLE,
        "os.rename *.muster/sealed * 1",
        "ctypes.dlsym * renameat2 1",
        "os.[ls]*dir *.muster/replaced 1",  # with the user's own files
        FINISHED,
        LEAVES_THE_WORK_FOLDER,
    ],
    "out.csv.gz": [BEFORE_IT_IS_VISIBLE, FINISHED],
}


def die(python: Muster, step: str, *command: str, before: str = "") -> None:
    pattern, calls = step.rsplit(" ", 1)
    assert python("-c", before + DYING, pattern, calls, *command).code == -signal.SIGKILL


@pytest.mark.parametrize(
    ("output", "step"), [(output, step) for output, steps in STEPS_OF_THE_END.items() for step in steps]
)
def test_dying_at_any_step_of_the_end_leaves_all_or_nothing_and_the_same_command_mends_it(
    muster: Muster, python: Muster, tmp_path: Path, output: str, step: str
) -> None:
    lay_out(tmp_path, rows=500)
    put_there_before(tmp_path / output, is_folder=output.endswith("/"))
    old = content(tmp_path / output)
    command = ("run", "held.py:held", "rows.csv", "-o", output, "--workers", "0", "--json", "--quiet")
    die(python, step, *command)
    found = content(tmp_path / output)
    end = muster(*command)
    assert end.code == 0, end.err
    assert end.json["rows_out"] == 500
    new = content(tmp_path / output)
    assert b"TWICE" in unpacked(new)
    assert found in (old, new, {})
    assert not (tmp_path / f"{output.rstrip('/')}.muster").exists()


def test_what_was_done_stays_done_when_a_resuming_run_dies_before_its_first_task(
    muster: Muster, python: Muster, tmp_path: Path
) -> None:
    lay_out(tmp_path, rows=2000)
    (tmp_path / "slow.py").write_text(SLOW)
    (tmp_path / "pace").write_text("0.0005")
    command = ("run", "slow.py:slow", "rows.csv", "-o", "out.csv", "--workers", "0", "--json", "--quiet")
    die(python, "os.remove *.muster/parts/*.rows * 5", *command)
    die(python, "open *.muster/parts/*.rows * 1", *command)
    end = muster(*command)
    assert (end.code, end.json["rows_out"]) == (0, 2000), end.err
    assert end.json["resumed_parts"] > 0


WITHOUT_EXCHANGE = f"""
import sys
sys.path.append({str(Path(__file__).parent)!r})
import filters
filters.refuse_exchange()
"""
"""Two names cannot be exchanged, as on some file systems."""


@pytest.mark.parametrize(
    ("step", "can_exchange"),
    [
        ("os.rename *.muster/sealed * 1", True),
        ("ctypes.dlsym * renameat2 1", True),
        ("os.[ls]*dir *.muster/replaced 1", True),
        ("os.rename *.muster/replaced * 1", False),
        ("os.rename */out /* 1", False),
        ("os.rename *.muster/sealed * 2", False),
        ("os.[ls]*dir *.muster/replaced 1", False),
    ],
)
def test_what_was_there_before_is_not_lost_when_a_run_dies_that_replaces_it_and_the_next_one_fails(
    muster: Muster, python: Muster, tmp_path: Path, step: str, *, can_exchange: bool
) -> None:
    lay_out(tmp_path, rows=500)
    put_there_before(tmp_path / "out", is_folder=True)
    (tmp_path / "out" / "notes.txt").write_text("mine")
    command = ("run", "held.py:held", "rows.csv", "-o", "out/", "--workers", "0")
    die(python, step, *command, before="" if can_exchange else WITHOUT_EXCHANGE)
    if can_exchange:
        assert (tmp_path / "out" / "_manifest.json").exists(), "whoever looks finds neither"
    (tmp_path / "held.py").write_text("def held(df):\n    raise ValueError\n")
    assert muster(*command, "--fresh", "--strict").code == 1
    assert (tmp_path / "out" / "notes.txt").read_text() == "mine"
    assert (tmp_path / "out" / "_manifest.json").exists()


@pytest.mark.parametrize("can_exchange", [True, False])
def test_whoever_looks_at_a_folder_that_is_replaced_finds_the_old_or_the_new_one(
    tmp_path: Path, *, can_exchange: bool
) -> None:
    output, seen = tmp_path / "out", set[str]()
    publish_numbered(output, 0)
    for name in ("one", "other"):
        (tmp_path / name).touch()

    def publish() -> None:
        if not can_exchange:
            filters.refuse_exchange()  # to this thread alone
        assert exchanged(tmp_path / "one", tmp_path / "other") == can_exchange
        for number in range(1, 400):
            publish_numbered(output, number)

    with ThreadPoolExecutor(1) as pool:
        publishing = pool.submit(publish)
        while not publishing.done():
            try:
                seen.add((output / "_manifest.json").read_text())
            except FileNotFoundError:
                seen.add("nothing")
    publishing.result()
    assert len(seen) > 5
    if can_exchange:
        assert "nothing" not in seen
    assert seen - {"nothing"} <= {manifest_numbered(number) for number in range(400)}
    assert {path.name for path in output.iterdir()} == {"_manifest.json", "part-399.csv"}


def manifest_numbered(number: int) -> str:
    return json.dumps({"parts": [{"name": f"part-{number:03d}.csv"}]})


def publish_numbered(output: Path, number: int) -> None:
    sealed = output.with_name("sealed")
    sealed.mkdir()
    (sealed / f"part-{number:03d}.csv").write_text("a\n")
    (sealed / "_manifest.json").write_text(manifest_numbered(number))
    publish_folder(sealed, output, replaced=output.with_name("replaced"))


def test_parts_of_an_old_output_do_not_come_back_when_a_run_died_that_removed_them(
    muster: Muster, tmp_path: Path
) -> None:
    lay_out(tmp_path, rows=20)
    command = ("run", "held.py:held", "rows.csv", "-o", "out/", "--workers", "0")
    assert muster(*command).code == 0
    before = content(tmp_path / "out")
    (tmp_path / "out.muster" / "replaced").mkdir(parents=True)
    (tmp_path / "out.muster" / "lock").touch()
    (tmp_path / "out.muster" / "replaced" / "part-00007.csv").write_text("old")
    assert muster(*command, "--fresh").code == 0
    assert content(tmp_path / "out") == before


GAPS = """
def gaps(df):
    if (df["ID"] == 44).any():
        raise ValueError("forty-four")
    return df
"""

STEPS_OF_A_SECOND_END = {
    "out.csv": ["open *.muster/rejects.jsonl * 1", "os.link *.published * 1"],
    "out.csv.gz": ["open *.muster/rejects.jsonl * 1", "open *.muster/complete * 1"],
    "out.parquet": ["open *.muster/rejects.jsonl * 1", "open *.muster/complete * 1"],
}


def published(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("out.*") if path.is_file()}


def with_gaps(folder: Path, output: str) -> tuple[str, ...]:
    """Lay out a run in which one row is bad; return its command."""
    generate(500, folder / "rows.csv")
    (folder / "gaps.py").write_text(GAPS)
    return ("run", "gaps.py:gaps", "rows.csv", "-o", output, "--workers", "0", "--batch-rows", "100", "--json")


@pytest.mark.parametrize(
    ("output", "step"), [(output, step) for output, steps in STEPS_OF_A_SECOND_END.items() for step in steps]
)
def test_what_is_published_stays_whole_when_the_run_that_tidies_up_after_a_death_dies_too(
    muster: Muster, python: Muster, tmp_path: Path, output: str, step: str
) -> None:
    command = with_gaps(tmp_path, output)
    die(python, VISIBLE, *command)
    before = published(tmp_path)
    assert set(before) == {output, f"{output}.rejects.jsonl"}
    assert all(before.values())
    die(python, step, *command)
    assert published(tmp_path) == before
    end = muster(*command)
    assert (end.code, end.json["rows_out"], end.json["bad_rows"]) == (4, 499, 1)
    assert end.json["resumed_parts"] == end.json["parts"]
    assert published(tmp_path) == before
    assert not (tmp_path / f"{output}.muster").exists()


@pytest.mark.parametrize("output", ["out.csv", "out.csv.gz", "out.parquet", "out/"])
def test_a_run_that_had_finished_is_tidied_up_by_the_same_command_and_its_output_left_as_it_is(
    muster: Muster, python: Muster, tmp_path: Path, output: str
) -> None:
    command = with_gaps(tmp_path, output)
    die(python, FINISHED, *command)
    there = tmp_path / (f"{output}_manifest.json" if output.endswith("/") else output)
    before = there.stat()
    end = muster(*command)
    assert end.code == 4, end.err
    assert "an earlier attempt had finished" in end.err
    assert (end.json["rows_in"], end.json["rows_out"], end.json["bad_rows"]) == (500, 499, 1)
    assert end.json["resumed_parts"] == end.json["parts"]
    assert end.json["rejects"] == f"{output.rstrip('/')}.rejects.jsonl"
    assert (there.stat().st_ino, there.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert not (tmp_path / f"{output.rstrip('/')}.muster").exists()
    (run,) = json.loads(muster("runs", "--json").out)
    assert (run["state"], run["rows_out"]) == ("finished", 499)


def gone(output: Path) -> None:
    output.unlink()


def written_over(output: Path) -> None:
    output.write_text("something else")


@pytest.mark.parametrize("change", [gone, written_over])
def test_a_run_that_had_finished_writes_its_output_again_where_it_is_no_longer_what_it_wrote(
    muster: Muster, python: Muster, tmp_path: Path, change: Callable[[Path], None]
) -> None:
    command = with_gaps(tmp_path, "out.csv")
    die(python, FINISHED, *command)
    before = published(tmp_path)
    change(tmp_path / "out.csv")
    end = muster(*command)
    assert (end.code, end.json["rows_out"]) == (4, 499), end.err
    assert published(tmp_path) == before


def test_a_run_that_had_finished_stands_in_no_other_runs_way(muster: Muster, python: Muster, tmp_path: Path) -> None:
    command = with_gaps(tmp_path, "out.csv")
    die(python, FINISHED, *command)
    generate(300, tmp_path / "rows.csv")
    end = muster(*command)
    assert (end.code, end.json["rows_out"], end.json["resumed_parts"]) == (4, 299, 0), end.err
    assert [run["state"] for run in json.loads(muster("runs", "--json").out)] == ["finished"] * 2


def put_there_before(output: Path, *, is_folder: bool) -> None:
    if is_folder:
        output.mkdir()
        (output / "_manifest.json").write_text('{"parts": []}')
    else:
        output.write_text("an earlier output")


def content(path: Path) -> dict[str, bytes]:
    if path.is_dir():
        return {file.name: file.read_bytes() for file in path.iterdir()}
    return {path.name: path.read_bytes()} if path.exists() else {}


def unpacked(files: dict[str, bytes]) -> bytes:
    return b"".join(gzip.decompress(data) if name.endswith(".gz") else data for name, data in files.items())


# The output's place


def test_a_folder_that_is_not_musters_own_is_left_alone(muster: Muster, tmp_path: Path) -> None:
    lay_out(tmp_path, rows=20)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("years of work")
    end = muster("run", "held.py:held", "rows.csv", "-o", "out/")
    assert end.code == 2
    assert "holds files that muster did not write" in end.err
    assert (tmp_path / "out" / "thesis.tex").read_text() == "years of work"
    assert not (tmp_path / "out.muster").exists()


def test_a_folder_of_the_users_with_the_name_of_the_runs_own_is_left_alone(muster: Muster, tmp_path: Path) -> None:
    lay_out(tmp_path, rows=20)
    (tmp_path / "out.csv.muster" / "parts").mkdir(parents=True)
    (tmp_path / "out.csv.muster").chmod(0o750)
    (tmp_path / "out.csv.muster" / "parts" / "thesis.tex").write_text("years of work")
    end = muster("run", "held.py:held", "rows.csv", "-o", "out.csv", "--fresh")
    assert end.code == 2
    assert "holds files that muster did not write" in end.err
    assert [path.name for path in (tmp_path / "out.csv.muster").iterdir()] == ["parts"]
    assert (tmp_path / "out.csv.muster" / "parts" / "thesis.tex").read_text() == "years of work"
    assert stat.S_IMODE((tmp_path / "out.csv.muster").stat().st_mode) == 0o750


def test_an_empty_folder_with_the_name_of_the_runs_own_is_no_obstacle(muster: Muster, tmp_path: Path) -> None:
    lay_out(tmp_path, rows=20)
    (tmp_path / "out.csv.muster").mkdir()
    assert muster("run", "held.py:held", "rows.csv", "-o", "out.csv").code == 0


@pytest.mark.parametrize("place", ["out.csv.rejects.jsonl", "out.csv.muster/rows.jsonl", "link.jsonl"])
def test_an_input_that_lies_where_the_run_keeps_its_own_is_refused_and_not_lost(
    muster: Muster, tmp_path: Path, place: str
) -> None:
    (tmp_path / "same.py").write_text("def same(df):\n    return df\n")
    (tmp_path / "out.csv.muster").mkdir()
    (tmp_path / "link.jsonl").symlink_to("out.csv.rejects.jsonl")
    (tmp_path / place).write_text('{"a": 1}\n')
    end = muster("run", "same.py:same", place, "-o", "out.csv")
    assert end.code == 2
    assert f"'{place}' is an input, and lies where a run to 'out.csv'" in end.err
    assert (tmp_path / place).read_text() == '{"a": 1}\n'


def test_a_folder_where_bad_rows_go_is_found_out_before_the_first_row(muster: Muster, tmp_path: Path) -> None:
    (tmp_path / "touch.py").write_text("def touch(df):\n    open('called', 'w').close()\n    return df\n")
    generate(20, tmp_path / "rows.csv")
    (tmp_path / "out.csv.rejects.jsonl").mkdir()
    end = muster("run", "touch.py:touch", "rows.csv", "-o", "out.csv")
    assert end.code == 2
    assert "'out.csv.rejects.jsonl' is no file" in end.err
    assert not (tmp_path / "called").exists()
    assert not (tmp_path / "out.csv.muster").exists()


def test_a_folder_output_replaces_the_one_before_as_a_whole(muster: Muster, tmp_path: Path) -> None:
    lay_out(tmp_path, rows=20)
    for rows in (20, 30):
        generate(rows, tmp_path / "rows.csv")
        assert muster("run", "held.py:held", "rows.csv", "-o", "out/").code == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["_manifest.json", "part-00000.csv"]
    assert len(pd.read_csv(tmp_path / "out" / "part-00000.csv")) == 30


def test_nothing_but_the_output_is_left_after_success(muster: Muster, tmp_path: Path, home: Path) -> None:
    lay_out(tmp_path)
    before = {path.name for path in tmp_path.iterdir()}
    assert_right(tmp_path, muster(*COMMAND), resumed=False)
    assert {path.name for path in tmp_path.iterdir()} - before - {"__pycache__"} == {"out.csv"}
    assert not processes_of(home)
    (journal,) = (home / "runs").iterdir()
    assert json.loads(journal.read_text().splitlines()[-1])["event"] == "finished"


def test_the_output_is_what_it_was_until_a_run_that_fails_is_mended(muster: Muster, tmp_path: Path) -> None:
    lay_out(tmp_path, rows=50)
    assert muster(*COMMAND).code == 0
    before = sha256(tmp_path / "out.csv")
    (tmp_path / "held.py").write_text("def held(df):\n    raise ValueError('no')\n")
    end = muster(*COMMAND, "--max-bad-rows", "3")
    assert end.code == 1
    assert sha256(tmp_path / "out.csv") == before


# A full disk


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    with small(tmp_path / "small") as folder:
        yield folder


@pytest.mark.parametrize("workers", ["0", "2"])
def test_a_full_disk_stops_the_run_and_the_same_command_goes_on_when_there_is_room(
    muster: Muster, tmp_path: Path, small_disk: Path, seed_rows: Path, workers: str
) -> None:
    shutil.copy(seed_rows, tmp_path / "rows.csv")
    (tmp_path / "held.py").write_text(HELD)
    (tmp_path / "beside.py").write_text(BESIDE)
    command = ("run", "held.py:held", "rows.csv", "-o", "small/out.csv", "--workers", workers, "--json")
    for _ in range(2):
        full = muster(*command)
        assert full.code == 3, full.err
        assert f"No space left on device: '{small_disk}/out.csv" in full.err, "which disk, if there are several?"
        assert "type the same command again" in full.err
        assert "Traceback" not in full.err
        assert not (small_disk / "out.csv").exists()
    assert mount(small_disk, "remount,size=64m") == 0
    end = muster(*command)
    assert end.code == 0, end.err
    assert end.json["resumed_parts"] > 0
    assert (small_disk / "out.csv").read_bytes() == right(tmp_path / "rows.csv")
    assert [path.name for path in small_disk.iterdir()] == ["out.csv"]


def test_generated_rows_that_find_no_room_leave_nothing(muster: Muster, small_disk: Path) -> None:
    full = muster("generate", "--rows", "50000", "-o", "small/rows.csv")
    assert full.code == 3
    assert "Cannot write 'small/rows.csv': No space left on device. Make room" in full.err
    assert list(small_disk.iterdir()) == []
