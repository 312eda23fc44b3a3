"""What names a process for good: its id, when it began, and on which computer."""

import os
import sys
from pathlib import Path
from typing import Final

_BOOT: Final = Path("/proc/sys/kernel/random/boot_id")


def computer() -> str:
    """Name this computer since it was started, and the set of process ids that this process sees; empty if unknown."""
    if sys.platform != "linux":
        return ""
    try:
        return f"{_BOOT.read_text().strip()} {os.readlink('/proc/self/ns/pid')}"  # noqa: PTH115 (it is no path)
    except OSError:
        return ""


def birth_of(pid: int) -> str | None:
    """Tell when a process was born, which with its id names it for good; ``None`` for one that is gone.

    Linux counts from when the computer started, so that no clock that is set changes it.
    """
    if sys.platform == "linux":
        from muster._clouds.there import processes

        return processes.birth_of(pid)
    import psutil

    try:
        process = psutil.Process(pid)
        return str(process.create_time()) if process.status() != psutil.STATUS_ZOMBIE else None
    except psutil.Error:
        return None


def is_alive(pid: int, born: str | None) -> bool:
    """Tell whether a process lives that was born then, or may, where nobody can look at it just now."""
    if sys.platform == "linux":
        from muster._clouds.there import processes

        return processes.is_alive(pid, born)
    return born is not None and birth_of(pid) == born
