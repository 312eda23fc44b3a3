"""The agent of a machine at work: it runs the command until that or the lease ends, or it is asked to, and ends all.

``lease`` starts it. It is the ancestor of all that the command starts, also of what detaches itself: the kernel hands
it their orphans, which it buries.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NoReturn

from muster._files.temporary import sweep
from muster._files.whole import write
from muster._private.files import private, remove_all

from . import guests, host_folders
from .processes import descendants, name_of, send_signal, wait_until_gone
from .watchdog import CLOCK, Pulse, end_with_parent

GOODBYE_SECONDS: Final = 3.0
"""Ray tells the head within one second that it leaves; what has not left by then is killed."""

END_SECONDS: Final = 20.0
"""For the goodbye, the kill and the folders: behind it the watchdog ends the machine."""

_TICKS_A_LEASE: Final = 20
"""A machine lives a twentieth longer than its lease at the most."""

_LONGEST_TICK: Final = 1.0
"""So soon it sees that its command has ended."""

_NODE: Final = "raylet"
_OURS: Final = "muster-"
_UNRENEWED: Final = "nobody renewed its lease"
_PROGRAM: Final = "lease.py"
"""What tells others, and stays with a note."""

_LAST_LINES: Final = 5
"""Ray says why it ends at the end of its log."""

_LATE_SECONDS: Final = 3.0
"""How much later than its lease allows the agent may end the machine, before its watchdog does."""


def be_agent(folder: Path, command: Sequence[str], scratch: Path, pulse: Pulse) -> NoReturn:
    """Work as the agent, in a process of its own that ends with it."""
    why = "the agent failed"
    try:
        os.setsid()
        os.environ["TMPDIR"] = str(scratch)  # whatever anybody puts into a temporary folder here ends with the machine
        why = _keep(folder, command, pulse)
    except SystemExit as asked:
        why = str(asked)
    except OSError as error:
        why = f"it could not go on: {error}"
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        pulse.allow(END_SECONDS)
        clear_up(folder, scratch, why)
        os._exit(0)


def clear_up(folder: Path, scratch: Path, why: str) -> None:
    """End all that is below this process, and leave nothing of the machine but why it ended.

    Nor that, where it has ended as it had to: with its lease.
    """
    _say_goodbye()
    _end_descendants()
    guests.end(folder)
    remove_all(scratch)
    if scratch.parent.name.startswith(_OURS):
        with contextlib.suppress(OSError):  # it may hold another machine's
            scratch.parent.rmdir()
    if why.startswith(_UNRENEWED) and host_folders.is_on_host(folder):
        host_folders.forget(folder)
    elif folder.is_dir():
        keep_alone(folder, "end", f"{why}{_last_words(folder)}")


def keep_alone(folder: Path, kept: str, text: str) -> None:
    """Leave a note alone, such as why it ended; nothing, where it cannot be written: token and key go in any case."""
    with contextlib.suppress(OSError):
        write(folder / kept, text)
    for name in os.listdir(folder):  # noqa: PTH208 (all at once)
        if name not in {kept, _PROGRAM}:
            with contextlib.suppress(OSError):
                (folder / name).unlink()


def _last_words(folder: Path) -> str:
    """Quote the end of the log, which goes."""
    with contextlib.suppress(OSError):
        if lines := (folder / "log").read_text(errors="replace").splitlines()[-_LAST_LINES:]:
            return ". The end of what it said:\n" + "\n".join(lines)
    return ""


def _keep(folder: Path, command: Sequence[str], pulse: Pulse) -> str:
    """Run the command, and wait for a reason to end; tell it."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("it was asked to end, or its watchdog was killed"))
    with open(folder / "log", "ab", opener=private) as log:
        child = subprocess.Popen(  # noqa: S603 (what the machine is for)
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            preexec_fn=end_with_parent,  # noqa: PLW1509 (the agent has no threads)
        )
    return _watch(folder / "lease", child, pulse, scratch=Path(os.environ["TMPDIR"]))


def _watch(lease: Path, child: "subprocess.Popen[bytes]", pulse: Pulse, *, scratch: Path) -> str:
    renewed, seen = time.clock_gettime(CLOCK), 0
    while True:
        try:
            seconds, stamp = float(lease.read_text()), lease.stat().st_mtime_ns
        except (OSError, ValueError):
            return "its lease was taken away"
        now = time.clock_gettime(CLOCK)
        if stamp != seen:
            renewed, seen = now, stamp
            with contextlib.suppress(OSError):  # a time takes no room, so that a full disk does not matter
                os.utime(lease.with_name("seen"), (now, now))
        if now - renewed > seconds:
            return f"{_UNRENEWED} of {seconds:g} s"
        pulse.allow(renewed + seconds - now + _LATE_SECONDS)
        if pulse.is_unwatched:
            return "its watchdog is gone, or hangs"
        sweep(scratch)
        _bury(child.pid)
        with contextlib.suppress(subprocess.TimeoutExpired):
            return f"its command ended with status {child.wait(min(seconds / _TICKS_A_LEASE, _LONGEST_TICK))}"


def _bury(child: int) -> None:
    """Let the system forget orphans that have ended: there are some of each run, and they would count as workers."""
    with contextlib.suppress(ChildProcessError):
        while (ended := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)) and ended.si_pid != child:
            os.waitpid(ended.si_pid, 0)


def _say_goodbye() -> None:
    """Send the raylet SIGTERM first: it then signs off, and the head need not wait for a health check to fail."""
    asked = [pid for pid in descendants(os.getpid()) if name_of(pid) == _NODE]
    for pid in asked:
        send_signal(pid, signal.SIGTERM)
    wait_until_gone(asked, GOODBYE_SECONDS)


def _end_descendants() -> None:
    """Kill every process below this one, and what they start meanwhile, until none is left."""
    while True:
        for pid in descendants(os.getpid()):
            send_signal(pid, signal.SIGKILL)
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return
