"""A machine of this computer: what its agent counts, and what it saw when it ended."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from muster._clouds.endings import Endings
from muster._clouds.machine_folder import MachineFolder, check_system, living_here
from muster._clouds.there import ending
from muster._clouds.there.host_folders import agent_of
from muster._clouds.there.inspection import inspect
from muster._clouds.there.processes import birth_by_psutil, birth_of, descendants
from muster.errors import EngineError, UsageError
from waiting import until

PARENT = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import time; time.sleep(1000)'])"


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[MachineFolder]:
    made = MachineFolder(tmp_path / "m1")
    (tmp_path / "s").mkdir(mode=0o700)
    notes = {"lease": "60", "scratch": str(tmp_path / "s" / "m1")}
    made.start([sys.executable, "-c", PARENT], dict(os.environ), notes=notes)
    yield made
    ending.end(made.path)


@pytest.mark.parametrize("step", [-3600.0, 3600.0])
def test_what_is_left_of_a_lease_is_told_by_the_clock_that_the_agent_counts_by(
    machine: MachineFolder, step: float
) -> None:
    until(lambda: 0 < inspect(machine.path)["left"] < 60, 20)  # it has come to look
    stepped = time.time() + step  # whoever renews it now has another time of day
    os.utime(machine.path / "lease", (stepped, stepped))
    until(lambda: 59 < inspect(machine.path)["left"] <= 60, 20)
    assert inspect(machine.path)["left"] > 50


def test_a_census_looks_past_a_process_whose_first_word_is_start(machine: MachineFolder, tmp_path: Path) -> None:
    with subprocess.Popen(["start", "1000"], executable="/bin/sleep") as other:  # noqa: S607 (a name, and no path)
        try:
            until(lambda: psutil.Process(other.pid).cmdline() == ["start", "1000"])
            assert [one.path for one in living_here() if one.path.parent == tmp_path] == [machine.path]
        finally:
            other.kill()


def test_an_end_is_told_as_it_was_seen(machine: MachineFolder, tmp_path: Path) -> None:
    until(lambda: len(psutil.Process(agent_of(machine.path)).children(recursive=True)) == 2)
    (tmp_path / "s" / "m1" / "left").mkdir()
    assert ending.end(machine.path) == {"ended": 3, "left": [], "files": []}
    assert ending.end(machine.path) == {"ended": 0, "left": [], "files": []}
    assert not machine.path.exists()
    assert not (tmp_path / "s" / "m1").exists()


def test_an_end_waits_for_the_watchdog_of_an_agent_that_has_ended_since_it_was_asked(machine: MachineFolder) -> None:
    watchdog = json.loads((machine.path / "agent").read_text())["watchdog"]
    until(lambda: (agent := agent_of(machine.path)) and descendants(agent))  # it has begun what it is to end
    asked = ending.ask_to_end(machine.path)
    until(lambda: agent_of(machine.path) is None)  # as while the machine before it is awaited
    assert ending.end(machine.path, asked)["ended"] >= 2
    assert birth_of(watchdog) is None


def test_endings_promise_no_more_than_was_seen() -> None:
    endings = Endings()
    endings.take("one", {"ended": 9, "left": [], "files": []})
    endings.take("two", {})
    assert endings.lines() == [
        "one: 9 processes ended, and its files are removed",
        "two: no process was left there, and its files are removed",
    ]
    endings.check(20)
    endings.take("three", {"ended": 8, "left": [7], "files": ["/x"]})
    endings.take("four", {"ended": 8, "left": [], "files": ["/x"]})
    with pytest.raises(EngineError) as caught:
        endings.check(20)
    assert str(caught.value).splitlines() == [
        "Not all machines could be seen to end:",
        "  three: 1 process did not end (7).",
        "  four: all its processes have ended, but /x could not be removed.",
        "  one: 9 processes ended, and its files are removed",
        "  two: no process was left there, and its files are removed",
        (
            "What still runs there ends by itself within its lease of 20 s, which nobody renews any more."
            " To end it sooner, type the same command again once they answer."
        ),
    ]


def test_a_computer_that_is_no_linux_is_refused_before_anything_starts() -> None:
    check_system("linux")
    with pytest.raises(UsageError, match=r"runs darwin, .* on Linux alone\. Leave --machines out"):
        check_system("darwin")


def test_who_lives_is_known_without_proc_too() -> None:
    with subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE) as process:
        born = birth_by_psutil(process.pid)
        assert born
        assert birth_by_psutil(process.pid) == born != birth_by_psutil(os.getpid())
        process.kill()
        until(lambda: birth_by_psutil(process.pid) is None)  # a zombie is gone
    assert birth_by_psutil(process.pid) is None
