"""The processes of this computer, as Linux tells of them; of which only who lives is known elsewhere."""

import contextlib
import errno
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

TICK: Final = 0.02
"""A process that is asked to end is gone within some milliseconds."""

_SELF: Final = Path("/proc/self/stat")
_GONE: Final = {errno.ENOENT, errno.ESRCH}
UNREADABLE: Final = "?"
"""The birth of a process that is there, and that nobody can look at just now: as where too many files are open."""


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
    if not _SELF.exists():
        return birth_by_psutil(pid)
    try:
        fields = _fields(pid)
    except OSError as error:
        return None if error.errno in _GONE else UNREADABLE
    return None if not fields or fields[0] == "Z" else fields[19]


def birth_by_psutil(pid: int) -> str | None:
    """Tell it where there is no ``/proc``.

    It stays because a Mac is refused nothing but machines: locks and journals name processes by their births there too.
    Hosts have a ``/proc``, and may lack psutil.
    """
    import psutil

    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else f"{process.create_time():.2f}"
    except psutil.NoSuchProcess:
        return None
    except psutil.Error:
        return UNREADABLE


def is_alive(pid: int, born: object) -> bool:
    """Tell whether a process lives that was born then, or may; one of which that is not known does not."""
    return born is not None and (found := birth_of(pid)) is not None and (found == born or UNREADABLE in {found, born})


def wait_until_gone(pids: Sequence[int], seconds: float) -> None:
    """Wait until processes have ended, but not for ever."""
    deadline = time.monotonic() + seconds
    while any(birth_of(pid) for pid in pids) and time.monotonic() < deadline:
        time.sleep(TICK)


def send_signal(pid: int, number: int) -> None:
    """Send a process a signal, unless it is gone."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)


def resident(pid: int) -> int:
    """Tell how many bytes of memory a process holds."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError):
        return 0


def name_of(pid: int) -> str:
    """Tell what a process calls itself."""
    try:
        return Path(f"/proc/{pid}/comm").read_text(errors="replace").strip()
    except OSError:
        return ""


def environment_of(pid: int) -> dict[str, str]:
    """Read with what environment a process began; empty for those of other users, and for zombies."""
    try:
        found = Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return {}
    pairs = (line.partition("=") for line in os.fsdecode(found).split("\0"))
    return {name: value for name, is_set, value in pairs if is_set}


def working_in(place: Path) -> list[int]:
    """List the processes of this user whose environment names a file in a place, but this one and those above it."""
    found, own = [], _lineage()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (pid := int(entry.name)) not in own:
            values = environment_of(pid).values()
            if any(value.startswith(f"{place}/") for value in values) and birth_of(pid):
                found.append(pid)
    return found


def _lineage() -> set[int]:
    """Name this process and its ancestors."""
    found, pid = set(), os.getpid()
    while pid and pid not in found:
        found.add(pid)
        fields = _stat(pid)
        pid = int(fields[1]) if fields else 0
    return found


def _stat(pid: int) -> list[str]:
    """Read the same; nothing of one that cannot be read."""
    try:
        return _fields(pid)
    except OSError:
        return []


def _fields(pid: int) -> list[str]:
    """Read what Linux says of a process: its state first, then its parent. Its name, before that, may be any bytes."""
    return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
