"""The agent of a machine alone: what it starts ends with its lease, whatever becomes of it or of its watchdog."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic
from typing import Final

import psutil
import pytest

from muster._clouds.program import program
from muster._clouds.there.processes import birth_of
from waiting import until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells who is below whom")
STARTED: Final = "it runs"
SECONDS: Final = 60.0
COMMAND: Final = f"""
import os, sys, time
if not os.fork():  # one that cannot be found by its session or its environment
    os.setsid()
    if not os.fork():
        os.execve(sys.executable, [sys.executable, "-c", "import time; time.sleep(600)", sys.argv[1]], {{}})
    os._exit(0)
print({STARTED!r}, flush=True)
time.sleep(600)
"""


class Machine:
    """An agent that was started as on a host, with a command that leaves a process of its own behind."""

    def __init__(self, folder: Path, *, lease: float) -> None:
        self.folder = folder / "c@h" / "1-2"
        self.folder.mkdir(parents=True, mode=0o700)
        self.mark = f"mark-{os.urandom(8).hex()}"
        self._program = self.folder / "lease.py"
        self._program.write_text(program("lease"))
        notes = {"lease": f"{lease:g}", "token": "secret"}
        done = self.call("start", sys.executable, "-c", COMMAND, self.mark, text=json.dumps(notes))
        assert done.returncode == 0, done.stderr
        with subprocess.Popen(self._command("await", STARTED, "60"), stderr=subprocess.PIPE, text=True) as awaited:
            until(lambda: self.has_ended(awaited))
            assert awaited.returncode == 0, awaited.communicate()
        known = json.loads((self.folder / "agent").read_text())
        self.agent, self.watchdog = int(known["pid"]), int(known["watchdog"])
        self.scratch = Path((self.folder / "scratch").read_text())
        assert self.scratch.is_dir()
        until(self.is_whole, SECONDS)

    def call(self, verb: str, *arguments: str, text: str = "") -> "subprocess.CompletedProcess[str]":
        command = self._command(verb, *arguments)
        return subprocess.run(command, input=text, capture_output=True, text=True, timeout=30, check=False)

    def _command(self, verb: str, *arguments: str) -> list[str]:
        return [sys.executable, "-P", "-S", str(self._program), verb, str(self.folder), *arguments]

    def renew(self) -> None:
        (self.folder / "lease").touch()

    def has_ended(self, process: "subprocess.Popen[str]") -> bool:
        self.renew()  # however long this computer takes to get so far
        return process.poll() is not None

    def is_whole(self) -> bool:
        self.renew()
        return len(self.living()) >= 4

    def living(self) -> list[int]:
        """Find what runs of it, by what its command lines say."""
        found = []
        for process in psutil.process_iter(["cmdline", "status"]):
            words = process.info["cmdline"] or []
            is_ours = str(self._program) in words or self.mark in words
            if is_ours and process.info["status"] != psutil.STATUS_ZOMBIE:
                found.append(process.pid)
        return found

    def is_gone(self) -> bool:
        return not self.living() and not self.scratch.exists()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Machine]]:
    machines: list[Machine] = []

    def call(*, lease: float) -> Machine:
        machines.append(Machine(tmp_path / str(len(machines)), lease=lease))
        return machines[-1]

    yield call
    for machine in machines:
        for pid in machine.living():
            with contextlib.suppress(ProcessLookupError):  # it may have ended with the one before it
                os.kill(pid, signal.SIGKILL)
        shutil.rmtree(machine.scratch, ignore_errors=True)


def stop_the_agent(machine: Machine) -> None:
    os.kill(machine.agent, signal.SIGSTOP)


def stop_the_watchdog(machine: Machine) -> None:
    os.kill(machine.watchdog, signal.SIGSTOP)


def stop_both(machine: Machine) -> None:
    stop_the_agent(machine)
    stop_the_watchdog(machine)


def stop_the_watchdog_then_kill_the_agent(machine: Machine) -> None:
    stop_the_watchdog(machine)
    os.kill(machine.agent, signal.SIGKILL)


def stop_the_agent_then_kill_the_watchdog(machine: Machine) -> None:
    stop_the_agent(machine)
    os.kill(machine.watchdog, signal.SIGKILL)


def hang(machine: Machine) -> None:
    """Have the agent wait for ever when it reads its lease."""
    os.mkfifo(machine.folder / "pipe")
    (machine.folder / "pipe").replace(machine.folder / "lease")


def nothing(_: Machine) -> None:
    pass


@pytest.mark.parametrize(
    "fault",
    [
        nothing,
        hang,
        stop_the_agent,
        stop_the_watchdog,
        stop_both,
        stop_the_watchdog_then_kill_the_agent,
        stop_the_agent_then_kill_the_watchdog,
    ],
)
def test_a_machine_ends_with_its_lease_whatever_becomes_of_its_agent(
    start: Callable[..., Machine], fault: Callable[[Machine], None]
) -> None:
    machine = start(lease=2)
    fault(machine)
    until(machine.is_gone, SECONDS)
    assert not (machine.folder / "token").exists()


@pytest.mark.parametrize("who", ["agent", "watchdog"])
def test_a_machine_ends_at_once_when_its_agent_or_its_watchdog_is_killed(
    start: Callable[..., Machine], who: str
) -> None:
    machine = start(lease=600)
    os.kill(getattr(machine, who), signal.SIGKILL)
    until(machine.is_gone, SECONDS)
    assert "killed" in json.loads(machine.call("inspect").stdout)["ended"]
    assert sorted(path.name for path in machine.folder.iterdir() if path.name in {"token", "log", "scratch"}) == []


def test_who_waits_for_a_machine_whose_agent_is_killed_is_told_by_its_watchdog(start: Callable[..., Machine]) -> None:
    machine = start(lease=600)
    waiting = [
        sys.executable,
        "-P",
        "-S",
        str(machine.folder / "lease.py"),
        "await",
        str(machine.folder),
        "never",
        "60",
    ]
    with subprocess.Popen(waiting, stderr=subprocess.PIPE, text=True) as process:
        os.kill(machine.agent, signal.SIGKILL)
        assert "The machine did not start: its agent was killed" in process.communicate(timeout=SECONDS)[1]


def test_one_that_is_stopped_goes_on_and_so_does_its_machine_while_it_is_renewed(start: Callable[..., Machine]) -> None:
    machine = start(lease=3)
    stop_both(machine)
    began = monotonic()

    def has_outlived_two_leases() -> bool:
        machine.renew()
        return monotonic() - began > 6

    until(has_outlived_two_leases, 20)
    assert birth_of(machine.agent)
    assert birth_of(machine.watchdog)
    assert psutil.Process(machine.agent).status() != psutil.STATUS_STOPPED
    assert psutil.Process(machine.watchdog).status() != psutil.STATUS_STOPPED
    cost = sum(sum(psutil.Process(pid).cpu_times()[:2]) for pid in (machine.agent, machine.watchdog))
    assert cost < 1
    until(machine.is_gone, SECONDS)
    assert not machine.folder.exists()


def test_a_machine_that_is_asked_to_end_leaves_nothing_behind(start: Callable[..., Machine]) -> None:
    machine = start(lease=600)
    assert machine.call("end").returncode == 0
    assert machine.is_gone()
    assert not machine.folder.parent.exists()


def test_a_machine_whose_end_cannot_be_noted_keeps_no_secret(start: Callable[..., Machine]) -> None:
    machine = start(lease=600)
    (machine.folder / "end.unfinished").mkdir()  # as a full disk, this lets nobody write why it ended
    os.kill(machine.agent, signal.SIGTERM)
    until(machine.is_gone, SECONDS)
    assert {path.name for path in machine.folder.iterdir()} <= {"lease.py", "end.unfinished"}


def test_orphans_are_buried_and_do_not_count_as_workers(start: Callable[..., Machine]) -> None:
    machine = start(lease=600)
    orphan = next(pid for pid in machine.living() if is_orphan(machine, pid))
    os.kill(orphan, signal.SIGKILL)
    until(lambda: not psutil.pid_exists(orphan), SECONDS)
    assert birth_of(machine.agent)


def is_orphan(machine: Machine, pid: int) -> bool:
    """Tell whether it is the one that has left its session, and whose parent has ended."""
    return psutil.Process(pid).ppid() == machine.agent and os.getsid(pid) != pid


def test_all_ends_though_the_agent_fails_in_a_way_that_nobody_thought_of(tmp_path: Path) -> None:
    told = tmp_path / "told"
    text = f"""
import sys
from pathlib import Path
from muster._clouds.there.watchdog import guarded
def fail(pulse):
    raise RuntimeError
print(*guarded(fail, clear_up=lambda why: Path({str(told)!r}).write_text(why)))
"""
    assert subprocess.run([sys.executable, "-c", text], check=False, timeout=30).returncode == 0
    until(told.exists, SECONDS)


def test_an_agent_that_ends_before_it_is_noted_is_not_taken_for_one_that_lives(tmp_path: Path) -> None:
    place = tmp_path / "c@h" / "1-2"
    place.mkdir(parents=True)
    (place / "lease.py").write_text(program("lease"))
    known: dict[str, object] = {"born": None, "watchdog": os.getpid()}
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        gone.wait()
        known["pid"] = gone.pid
        (place / "agent").write_text(json.dumps(known))
        command = [sys.executable, "-P", "-S", str(place / "lease.py"), "end", str(place)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert json.loads(done.stdout or "{}") == {"ended": 0, "left": [], "files": []}, done.stderr


def test_of_those_who_work_beside_the_agent_none_is_noted_that_has_ended_and_the_others_end_with_it(
    start: Callable[..., Machine],
) -> None:
    machine = start(lease=600)
    for _ in range(3):
        assert machine.call("attend", sys.executable, "-c", "").returncode == 0
    words = [sys.executable, "-P", "-S", str(machine.folder / "lease.py"), "attend", str(machine.folder)]
    with subprocess.Popen(
        [*words, sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE
    ) as guest:
        until((machine.folder / f"guest-{guest.pid}").exists, SECONDS)
        assert len(list(machine.folder.glob("guest-*"))) == 1
        assert machine.call("end").returncode == 0
        assert guest.wait(30) == -signal.SIGKILL


NAMELESS: Final = r"""
import ctypes, sys
ctypes.CDLL(None).prctl(15, b"\xff) R 1 \n", 0, 0, 0)
print("renamed", flush=True)
sys.stdin.read()
"""


def test_a_machine_ends_whatever_other_processes_of_its_computer_are_called(start: Callable[..., Machine]) -> None:
    with subprocess.Popen([sys.executable, "-c", NAMELESS], stdin=-1, stdout=-1) as other:
        assert other.stdout
        assert other.stdout.readline()
        machine = start(lease=600)
        os.kill(machine.agent, signal.SIGTERM)
        until(machine.is_gone, SECONDS)
        assert machine.call("end").stderr == ""
        other.kill()
