"""The locks of a stack that Pulumi keeps in files: they have no lease, and outlive whoever was killed."""

import contextlib
import json
import socket
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import psutil

_REUSED_SECONDS: Final = 60.0
"""A process that was born so much later than the lock is another one, of the same id."""


@dataclass(frozen=True, slots=True)
class Lock:
    """Who has the stack."""

    path: Path
    pid: int
    host: str
    since: float
    """In seconds since 1970."""

    @property
    def lives(self) -> bool:
        """Tell whether that process lives, as far as anybody here can tell."""
        if self.host != socket.gethostname():
            return True
        if self.pid <= 0:
            return False
        try:
            process = psutil.Process(self.pid)
            is_same = bool(process.create_time() < self.since + _REUSED_SECONDS)
            return is_same and bool(process.status() != psutil.STATUS_ZOMBIE)
        except psutil.NoSuchProcess:
            return False
        except psutil.Error:
            return True

    @property
    def refusal(self) -> str:
        """Say that it has the stack, and what to do."""
        said = f"Process {self.pid} on {self.host} is at work on this cluster with Pulumi, as {str(self.path)!r} says."
        if self.host != socket.gethostname():
            return f"{said} Wait until it has ended; if that computer is gone, remove the file. Then type it again."
        return f"{said} Wait until it has ended, or end it; then type the command again."


def locks_in(folder: Path, name: str) -> list[Lock]:
    """Read the locks of a stack. One that cannot be read was half written by who was killed, and names nobody."""
    return [_lock(path) for path in sorted(folder.glob(f"**/{name}/*.json"))]


def _lock(path: Path) -> Lock:
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        told = json.loads(path.read_text())
        since = datetime.fromisoformat(str(told["timestamp"])) if "timestamp" in told else datetime.now(UTC)
        return Lock(path, int(told["pid"]), str(told["hostname"]), since.timestamp())
    return Lock(path, -1, socket.gethostname(), 0.0)
