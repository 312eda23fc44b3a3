"""Processes that a playbook started and that nobody waits for any more."""

import contextlib
import os
import signal
import time
from pathlib import Path
from typing import Final

_SECONDS: Final = 3.0
_TICK: Final = 0.02


def end_all_with(variable: str, value: str) -> None:
    """Kill every process of this user in whose environment a variable has that value, until none is left."""
    sign = f"{variable}={value}".encode()
    deadline = time.monotonic() + _SECONDS
    while (pids := _with(sign)) and time.monotonic() < deadline:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(_TICK)


def _with(sign: bytes) -> list[int]:
    if not Path("/proc").is_dir():  # elsewhere than on Linux they go on, and what they start ends with its lease
        return []
    pids = (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())
    return [pid for pid in pids if sign in _environment_of(pid)]


def _environment_of(pid: int) -> list[bytes]:
    """Read with what environment a process began; empty for those of others, and for zombies."""
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return []
