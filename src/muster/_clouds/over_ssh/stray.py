"""Processes that were started here to reach hosts, and that nobody waits for any more.

Those of a muster that ends somehow are ended by it. One that is killed cannot do that: its processes are marked, and
the next command that asks for hosts of the cluster ends them.
"""

import contextlib
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from muster._clouds.there.processes import birth_of, is_alive

_MARK: Final = "MUSTER_REACHES_HOSTS"
_SECONDS: Final = 3.0
"""What is killed is gone within a tick, unless it waits for a disk; what it starts meanwhile is killed, too."""

_TICK: Final = 0.02
"""Most are gone at the first look."""

_Sign = Callable[[list[bytes], bytes], bool]
"""Tells by its environment and its command line whether a process is meant."""


def marked(cluster: Path) -> tuple[str, ...]:
    """Begin a command with this: the process can then be told from others, and whose it is."""
    return "env", f"{_MARK}={os.getpid()}:{birth_of(os.getpid())}:{cluster.absolute()}"


def end_orphans(cluster: Path) -> None:
    """Kill the processes so marked for a cluster whose muster is gone."""
    own = f":{cluster.absolute()}".encode()

    def is_orphan(environment: list[bytes], _: bytes) -> bool:
        marks = [one.partition(b"=")[2] for one in environment if one.startswith(f"{_MARK}=".encode())]
        return any(mark.endswith(own) and not _is_owned(mark.removesuffix(own)) for mark in marks)

    _end_all(is_orphan)


def _is_owned(owner: bytes) -> bool:
    pid, _, born = owner.decode(errors="replace").partition(":")
    return pid.isdigit() and is_alive(int(pid), born)


def end_playing(home: Path, sockets: Path) -> None:
    """Kill what Ansible has started with that home, and the connections that it shares at these sockets.

    These are known by the socket alone: such an ssh writes its name over its environment.
    """
    sign, title = f"ANSIBLE_HOME={home}".encode(), f"ssh: {sockets}/".encode()
    _end_all(lambda environment, command: sign in environment or command.startswith(title))


def _end_all(is_meant: _Sign) -> None:
    """Kill every process of this user that is meant, until none is left."""
    deadline = time.monotonic() + _SECONDS
    while (pids := _those(is_meant)) and time.monotonic() < deadline:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(_TICK)


def _those(is_meant: _Sign) -> list[int]:
    if not Path("/proc").is_dir():  # elsewhere than on Linux they go on, and what they start ends with its lease
        return []
    pids = (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())
    return [pid for pid in pids if pid != os.getpid() and _is(is_meant, Path(f"/proc/{pid}"))]


def _is(is_meant: _Sign, process: Path) -> bool:
    """Look at one: with what environment it began, and its command line; both are empty for zombies."""
    with contextlib.suppress(OSError):  # it is gone, or somebody else's
        is_own = process.stat().st_uid == os.geteuid()
        return is_own and is_meant((process / "environ").read_bytes().split(b"\0"), (process / "cmdline").read_bytes())
    return False
