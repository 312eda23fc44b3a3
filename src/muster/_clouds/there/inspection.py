"""What there is to know of a machine, by its agent's notes and the processes below it. Hosts run it."""

import contextlib
import shutil
import time
from pathlib import Path
from typing import Any, Final

from .host_folders import agent_of
from .processes import descendants, name_of, resident
from .watchdog import CLOCK

ENDED: Final = "ended"
_BUSY: Final = "muster:busy"


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
