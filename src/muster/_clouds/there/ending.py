"""A machine is ended: its agent is asked to, what that leaves is killed, and what was seen is told. Hosts run it."""

import contextlib
import json
import signal
from pathlib import Path
from typing import Any, Final, NamedTuple

from muster._private.files import squatted

from . import guests, host_folders, scratch
from .agent import END_SECONDS, GOODBYE_SECONDS, keep_alone
from .host_folders import agent_of
from .processes import birth_of, descendants, is_alive, send_signal, wait_until_gone, working_in

_LEFT: Final = "left"
"""Which file of a machine's folder names the processes that did not end when it was to end."""


class Present(NamedTuple):
    """Who was there when a machine was asked to end: an agent that has ended leaves no note of it."""

    watchdog: int | None
    agent: int | None
    processes: list[tuple[int, str | None]]
    """The agent and all below it, each with its birth."""


def ask_to_end(folder: Path) -> Present:
    """Ask the agent to end all, and do not wait for it."""
    watchdog, agent = host_folders.watchdog_of(folder), agent_of(folder)
    if agent is None:
        return Present(watchdog, None, [])
    processes = [(pid, birth_of(pid)) for pid in (agent, *descendants(agent))]
    send_signal(agent, signal.SIGTERM)
    return Present(watchdog, agent, processes)


def end(folder: Path, asked: Present | None = None) -> dict[str, Any]:
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
    wait_until_gone(
        [asked.watchdog] if asked.watchdog else [], END_SECONDS
    )  # it clears up after an agent that was killed
    wait_until_gone([pid for pid, _ in before], GOODBYE_SECONDS)
    guests.end(folder)
    before = list(dict.fromkeys([*before, *end_orphans(folder)]))
    place = scratch.of(folder)
    scratch.remove(folder)
    left = [(pid, born) for pid, born in before if is_alive(pid, born)]
    if left and host_folders.is_on_host(folder) and folder.is_dir():
        keep_alone(folder, _LEFT, json.dumps(left))
        return {"ended": len(before) - len(left), "left": [pid for pid, _ in left], "files": []}
    host_folders.forget(folder)
    files = [str(path) for path in (folder, place) if path is not None and path.exists() and not squatted(path)]
    return {"ended": len(before) - len(left), "left": [pid for pid, _ in left], "files": files}


def end_orphans(folder: Path) -> list[tuple[int, str | None]]:
    """Kill what still works in a machine's place on a host where both who watched it were killed; name it."""
    found = working_in(folder) if host_folders.is_on_host(folder) else []  # at home that may be a run's driver
    born = [(pid, birth_of(pid)) for pid in found]
    for pid in found:
        send_signal(pid, signal.SIGKILL)
    wait_until_gone(found, GOODBYE_SECONDS)
    return born


def remains(folder: Path) -> list[int]:
    """Name what works on in a machine's place on a host, where neither its agent nor its watchdog lives."""
    if (
        not host_folders.is_on_host(folder)
        or agent_of(folder) is not None
        or host_folders.watchdog_of(folder) is not None
    ):
        return []
    return sorted({*(pid for pid, _ in _noted(folder)), *working_in(folder)})


def _left_before(folder: Path) -> list[tuple[int, str | None]]:
    """Name what did not end when this machine was to end before, and still lives; send it another signal."""
    for pid, _ in _noted(folder):
        send_signal(pid, signal.SIGKILL)
    return _noted(folder)


def _noted(folder: Path) -> list[tuple[int, str | None]]:
    """Name what a verb before could not end, and still lives."""
    with contextlib.suppress(OSError, ValueError):
        noted = [(int(pid), str(born)) for pid, born in json.loads((folder / _LEFT).read_text())]
        return [(pid, born) for pid, born in noted if is_alive(pid, born)]
    return []
