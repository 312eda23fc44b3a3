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
``await FOLDER SIGN SECONDS`` waits for its command to say so, and then does what ``inspect`` does,
``inspect FOLDER`` prints what there is to know as JSON, ``end FOLDER`` ends it, and prints what it saw of that.
"""

import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from muster._files import locks
from muster._files.whole import write
from muster._private.files import own_folder

from . import guests, host_folders, ports, scratch
from .agent import be_agent, clear_up
from .ending import end, end_orphans
from .host_folders import agent_of
from .inspection import inspect
from .processes import TICK, birth_of, send_signal
from .watchdog import guarded

SCRATCH: Final = "{scratch}"
"""Stands in a command for the folder that ends with the machine."""


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
        end_orphans(folder)
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
        if why := host_folders.taken(folder.parent, {cluster}):
            raise NotStartedError(why)
        for other in host_folders.others(folder.parent, {cluster}):
            end(other)
        for other in host_folders.abandoned(folder.parents[1]):
            if other != folder and agent_of(other) is None:
                host_folders.forget(other)
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
    is_gone = (
        agent_of(folder) is None and host_folders.watchdog_of(folder) is None
    )  # asked first: they go behind the note
    if end.exists() or is_gone:
        raise NotStartedError(end.read_text() if end.exists() else "its agent is gone")
    return False


def wait(folder: Path, sign: str, seconds: float) -> None:
    """Wait until the agent's command has started. Raises ``NotStartedError``."""
    deadline = time.monotonic() + seconds
    while not has_started(folder, sign):
        if time.monotonic() > deadline:
            raise NotStartedError(f"it took longer than {seconds:g} s")
        time.sleep(TICK)


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
            sys.stdout.write(json.dumps(inspect(folder)) + "\n")
        case "inspect":
            sys.stdout.write(json.dumps(inspect(folder)) + "\n")
        case "end":
            sys.stdout.write(json.dumps(end(folder)) + "\n")


if __name__ == "__main__":
    main()
