"""The agent of a machine: it starts what the machine is for, and ends all of it when nobody renews the lease.

It is the first process on a machine and the ancestor of every other one there, also of those that detach themselves:
the kernel hands it their orphans. It needs nothing but Python's standard library, so that it can be copied alone.

``python lease.py FOLDER COMMAND...`` runs the command with FOLDER/log as its output. FOLDER/lease holds how many
seconds the machine may live without being renewed; touching it renews. FOLDER/agent tells who the agent is, FOLDER/end,
when it has ended, why. FOLDER/scratch, if there is one, names a folder that ends with it. The machine's own boot clock
counts the seconds, so that no clock that is set can lengthen them.
"""

import contextlib
import ctypes
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

_SET_CHILD_SUBREAPER: Final = 36
_SET_PARENT_DEATH_SIGNAL: Final = 1
_NODE: Final = "raylet"
_GOODBYE_SECONDS: Final = 3.0
_GOODBYE_TICK: Final = 0.02
_BUSY: Final = b"ray::Seat.answer"
_TICKS_A_LEASE: Final = 20
_LONGEST_TICK: Final = 1.0
_CLOCK: Final = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
"""Counts on while the machine is suspended."""


def main() -> None:
    """Leave an agent behind: it runs the command until that or the lease ends, or it is asked to end, and ends all."""
    folder, command = Path(sys.argv[1]), sys.argv[2:]
    (folder / "end").unlink(missing_ok=True)
    if agent := os.fork():
        _write(folder / "agent", json.dumps({"pid": agent, "born": birth_of(agent)}))
        return
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("asked to end"))
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    why = "the agent failed"
    try:
        with (folder / "log").open("ab") as log:
            child = subprocess.Popen(  # noqa: S603 (what the machine is for)
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=_end_with_agent,  # noqa: PLW1509 (the agent has no threads)
            )
        why = _watch(folder, child)
    except SystemExit as asked:
        why = str(asked)
    except OSError as error:
        why = f"it could not go on: {error}"
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        _say_goodbye()
        end_descendants()
        with contextlib.suppress(OSError):
            shutil.rmtree((folder / "scratch").read_text(), ignore_errors=True)
        _write(folder / "end", why)


def _end_with_agent() -> None:
    """Have the kernel ask the command to end when the agent is killed, which then can end nothing itself."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGTERM)


def _watch(folder: Path, child: "subprocess.Popen[bytes]") -> str:
    """Wait for a reason to end, and tell it."""
    lease = folder / "lease"
    renewed, seen = time.clock_gettime(_CLOCK), 0
    while True:
        try:
            seconds, stamp = float(lease.read_text()), lease.stat().st_mtime_ns
        except (OSError, ValueError):
            return "its lease was taken away"
        now = time.clock_gettime(_CLOCK)
        if stamp != seen:
            renewed, seen = now, stamp
        if now - renewed > seconds:
            return f"nobody renewed its lease of {seconds:g} s"
        with contextlib.suppress(subprocess.TimeoutExpired):
            return f"its command ended with status {child.wait(min(seconds / _TICKS_A_LEASE, _LONGEST_TICK))}"


def _say_goodbye() -> None:
    """Ask the node itself to end, shortly: it then tells the head, which otherwise waits for it for a while."""
    asked = [pid for pid in descendants(os.getpid()) if _name(pid) == _NODE]
    for pid in asked:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + _GOODBYE_SECONDS
    while any(birth_of(pid) for pid in asked) and time.monotonic() < deadline:
        time.sleep(_GOODBYE_TICK)


def end_descendants() -> None:
    """Kill every process below this one, and what they start meanwhile, until none is left."""
    while True:
        for pid in descendants(os.getpid()):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


def descendants(ancestor: int) -> list[int]:
    """List the processes below one."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (fields := _stat(int(entry.name))):
            children.setdefault(int(fields[1]), []).append(int(entry.name))
    found, frontier = [], [ancestor]
    while frontier:
        below = children.get(frontier.pop(), [])
        found += below
        frontier += below
    return found


def birth_of(pid: int) -> str | None:
    """Tell when a process was born, in ticks since the machine was; with its id that names it for good.

    ``None`` for one that is gone, or a zombie.
    """
    fields = _stat(pid)
    return None if not fields or fields[0] == "Z" else fields[19]


def resident(pid: int) -> int:
    """Tell how many bytes of memory a process holds."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError):
        return 0


def is_busy(pid: int) -> bool:
    """Tell whether a process is a worker on a request: Ray gives it the name of what it is on."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().startswith(_BUSY)
    except OSError:
        return False


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def _stat(pid: int) -> list[str]:
    """Read what Linux says of a process: its state first, then its parent."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _write(path: Path, text: str) -> None:
    """Write a file that appears complete or not at all."""
    unfinished = path.with_name(path.name + ".unfinished")
    unfinished.write_text(text)
    unfinished.replace(path)


if __name__ == "__main__":
    main()
