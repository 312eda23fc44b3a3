"""The lease of a machine: who starts its agent, and what others ask of the two.

The agent starts what the machine is for, and ends all of it when nobody renews the lease. This needs nothing but
Python's standard library, so that it can be copied alone, as ``program`` puts it together.

A machine is known by a folder: ``lease`` holds how many seconds it may live without being renewed, and touching it
renews; ``agent`` tells who the agent is, ``log`` what its command said, ``end``, when it has ended, why; ``owner``
whose cluster it belongs to, ``port`` what its command will listen on. ``scratch`` names a folder that ends with it:
made anew, where nothing was, for this user alone; ``{scratch}`` in the command becomes its name. The machine's own boot
clock counts the seconds, so that no clock that is set can lengthen them; ``seen`` bears, as its time, when by that
clock the agent has last seen the lease renewed.

``start FOLDER COMMAND...`` leaves an agent behind, with the notes that it reads as JSON;
``attend FOLDER COMMAND...`` runs a command that somebody else started, and that ends with the machine;
``await FOLDER SIGN SECONDS`` waits for its command to say so,
``inspect FOLDER`` prints what there is to know as JSON, ``end FOLDER`` ends it, and prints what it saw of that.
"""

import contextlib
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from muster._files import locks
from muster._files.notes import read as read_note
from muster._files.whole import write
from muster._private.files import own_folder, squatted

from . import guests, places, ports, scratch
from .agent import END_SECONDS, GOODBYE_SECONDS, be_agent, clear_up, keep_alone
from .places import agent_of
from .processes import (
    TICK,
    birth_of,
    descendants,
    is_alive,
    name_of,
    resident,
    send_signal,
    wait_until_gone,
    working_in,
)
from .watchdog import CLOCK, guarded

SCRATCH: Final = "{scratch}"
"""Stands in a command for the folder that ends with the machine."""

ENDED: Final = "ended"
_BUSY: Final = "muster:busy"
_LEFT: Final = "left"
"""Which file of a machine's folder names the processes that did not end when it was to end."""


class NotStartedError(Exception):
    """The agent's command ended, or took too long, before it said that it had started."""


def start(folder: Path, command: Sequence[str], *, notes: Mapping[str, str]) -> None:
    """Leave an agent behind: it runs the command until that or the lease ends, or it is asked to end, and ends all.

    ``notes`` are files of the folder, the lease among them; where an agent lives already, it goes by them from now on.
    """
    own_folder(folder)
    with _alone_in(folder) if "owner" in notes else contextlib.nullcontext():
        for name, text in notes.items():
            write(folder / name, text)
        if agent_of(folder) is not None:
            return
        guests.end(folder)  # of an agent that was here before
        _end_orphans(folder)
        if scratch.NOTE not in notes:
            scratch.remove(folder)
        for left in ("end", "log", "seen"):
            (folder / left).unlink(missing_ok=True)
        if "port" in notes and (why := ports.taken(int(notes["port"]))):
            write(folder / "end", why)
            return
        made = scratch.make(folder)
        write(folder / "seen", "")
        words = [word.replace(SCRATCH, str(made)) for word in command]
        agent, watchdog = guarded(
            lambda pulse: be_agent(folder, words, made, pulse), clear_up=lambda why: clear_up(folder, made, why)
        )
        try:
            known = {
                "pid": agent,
                "born": birth_of(agent),
                "watchdog": watchdog,
                "watchdog_born": birth_of(watchdog),
            }
            write(folder / "agent", json.dumps(known))
        except OSError:  # nobody could find it
            send_signal(agent, signal.SIGTERM)
            raise


@contextlib.contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Keep two clusters of one name from starting at a time, and clear up after those that have ended.

    Raises ``NotStartedError`` where one works here already.
    """
    cluster = folder.name.partition("-")[0]
    lock = os.open(folder.parent, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # a file system that locks no folders
            locks.lock(lock, waits=True)
        if why := places.taken(folder.parent, {cluster}):
            raise NotStartedError(why)
        for other in places.others(folder.parent, {cluster}):
            end(other)
        for other in places.abandoned(folder.parents[1]):
            if other != folder and agent_of(other) is None:
                places.forget(other)
        yield
    finally:
        with contextlib.suppress(OSError):  # and not only closed: the agent has it too, for as long as it lives
            locks.unlock(lock)
        os.close(lock)


def attend(folder: Path, command: Sequence[str]) -> None:
    """Become a command that ends with the machine at the latest, and whose temporary files do too."""
    guests.note(folder)
    if (place := scratch.of(folder)) is not None:
        os.environ["TMPDIR"] = str(place)
    os.execvp(command[0], list(command))  # noqa: S606 (what the muster that started the machine asks for)


def has_started(folder: Path, sign: str) -> bool:
    """Tell whether the agent's command has said so. Raises ``NotStartedError`` when the agent has ended instead."""
    with contextlib.suppress(FileNotFoundError):
        if sign in (folder / "log").read_text(errors="replace"):
            return True
    end = folder / "end"
    if end.exists() or agent_of(folder) is None:
        raise NotStartedError(end.read_text() if end.exists() else "its agent is gone")
    return False


def wait(folder: Path, sign: str, seconds: float) -> None:
    """Wait until the agent's command has started. Raises ``NotStartedError``."""
    deadline = time.monotonic() + seconds
    while not has_started(folder, sign):
        if time.monotonic() > deadline:
            raise NotStartedError(f"it took longer than {seconds:g} s")
        time.sleep(TICK)


def inspect(folder: Path) -> dict[str, Any]:
    """Tell how the machine is: seconds of lease and left of it, busy workers, bytes of memory and of free disk.

    Of one that has ended, tell why, where that was not its lease.
    """
    agent = agent_of(folder)
    if agent is None:
        with contextlib.suppress(OSError):
            return {ENDED: (folder / "end").read_text()}
        return {}
    try:
        seconds = float((folder / "lease").read_text())
    except (OSError, ValueError):  # it is just ending
        return {}
    below = descendants(agent)
    return {
        "lease": seconds,
        "left": _left(folder, seconds),
        "busy": sum(name_of(pid) == _BUSY for pid in below),
        "memory": sum(map(resident, below)),
        "disk": shutil.disk_usage(folder).free,
    }


def _left(folder: Path, seconds: float) -> float:
    """Tell how much of the lease is left by the clock that the agent counts by, whatever the time of day."""
    with contextlib.suppress(OSError):
        since = time.clock_gettime(CLOCK) - (folder / "seen").stat().st_mtime
        if since >= 0:  # else the agent has not come to look
            return min(seconds, max(0.0, seconds - since))
    return seconds


class Asked(NamedTuple):
    """Who was there when a machine was asked to end: an agent that has ended leaves no note of it."""

    watchdog: list[int]
    agent: int | None
    processes: list[tuple[int, str | None]]
    """The agent and all below it, each with its birth."""


def ask_to_end(folder: Path) -> Asked:
    """Ask the agent to end all, and do not wait for it."""
    watchdog, agent = _watchdog_of(folder), agent_of(folder)
    if agent is None:
        return Asked(watchdog, None, [])
    processes = [(pid, birth_of(pid)) for pid in (agent, *descendants(agent))]
    send_signal(agent, signal.SIGTERM)
    return Asked(watchdog, agent, processes)


def end(folder: Path, asked: Asked | None = None) -> dict[str, Any]:
    """Have the agent end all, kill what it leaves, and forget the machine, which may have been ``asked`` before.

    Tells what was seen: how many processes ``ended``, which are ``left``, which ``files`` could not be removed.
    """
    asked = ask_to_end(folder) if asked is None else asked
    before = [*_left_before(folder), *asked.processes]
    if asked.agent is not None:
        wait_until_gone([asked.agent], END_SECONDS)
        if agent_of(folder) is not None:
            for pid in [*descendants(asked.agent), asked.agent]:
                send_signal(pid, signal.SIGKILL)
    wait_until_gone(asked.watchdog, END_SECONDS)  # it clears up after an agent that was killed
    wait_until_gone([pid for pid, _ in before], GOODBYE_SECONDS)
    guests.end(folder)
    before = list(dict.fromkeys([*before, *_end_orphans(folder)]))
    place = scratch.of(folder)
    scratch.remove(folder)
    left = [(pid, born) for pid, born in before if is_alive(pid, born)]
    if left and places.is_on_host(folder) and folder.is_dir():
        keep_alone(folder, _LEFT, json.dumps(left))
        return {"ended": len(before) - len(left), "left": [pid for pid, _ in left], "files": []}
    places.forget(folder)
    files = [str(path) for path in (folder, place) if path is not None and path.exists() and not squatted(path)]
    return {"ended": len(before) - len(left), "left": [pid for pid, _ in left], "files": files}


def _end_orphans(folder: Path) -> list[tuple[int, str | None]]:
    """Kill what still works in a machine's place on a host where both who watched it were killed; name it."""
    found = working_in(folder) if places.is_on_host(folder) else []  # at home that may be a run's driver
    born = [(pid, birth_of(pid)) for pid in found]
    for pid in found:
        send_signal(pid, signal.SIGKILL)
    wait_until_gone(found, GOODBYE_SECONDS)
    return born


def _left_before(folder: Path) -> list[tuple[int, str | None]]:
    """Name what did not end when this machine was to end before, and still lives; send it another signal."""
    with contextlib.suppress(OSError, ValueError):
        noted = [(int(pid), str(born)) for pid, born in json.loads((folder / _LEFT).read_text())]
        for pid, born in noted:
            if is_alive(pid, born):
                send_signal(pid, signal.SIGKILL)
        return [(pid, born) for pid, born in noted if is_alive(pid, born)]
    return []


def _watchdog_of(folder: Path) -> list[int]:
    """Name the watchdog's process, if it lives."""
    known = read_note(folder / "agent") or {}
    if is_alive(known.get("watchdog", 0), known.get("watchdog_born")):
        return [known["watchdog"]]
    return []


def main() -> None:
    """Do what the command line says."""
    verb, folder, *rest = sys.argv[1], Path(sys.argv[2]), *sys.argv[3:]
    match verb:
        case "start":
            try:
                start(folder, rest, notes=json.load(sys.stdin))
            except (OSError, NotStartedError) as error:
                sys.exit(f"The machine did not start: {error}")
        case "attend":
            attend(folder, rest)
        case "await":
            try:
                wait(folder, rest[0], float(rest[1]))
            except NotStartedError as error:
                sys.exit(f"The machine did not start: {error}")
        case "inspect":
            sys.stdout.write(json.dumps(inspect(folder)) + "\n")
        case "end":
            sys.stdout.write(json.dumps(end(folder)) + "\n")


if __name__ == "__main__":
    main()
