"""The locks of a stack, as Pulumi writes them: they have no lease, and outlive whoever was killed."""

import contextlib
import json
import socket
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import psutil

_REUSED_SECONDS: Final = 60.0
"""A process that was born so much later than the lock is another one, of the same id."""


@dataclass(frozen=True, slots=True)
class Lock:
    """Who has the stack."""

    where: str
    """The path, or the URL, of what says so."""
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
        said = f"Process {self.pid} on {self.host} is at work on this cluster with Pulumi, as {self.where!r} says."
        if self.host != socket.gethostname():
            return f"{said} Wait until it has ended; if that computer is gone, remove that. Then type it again."
        return f"{said} Wait until it has ended, or end it; then type the command again."


def lock_in(text: str, where: str) -> Lock:
    """Read a lock. One that cannot be read was half written by who was killed, and names nobody."""
    with contextlib.suppress(ValueError, KeyError, TypeError):
        told = json.loads(text)
        since = datetime.fromisoformat(str(told["timestamp"])) if "timestamp" in told else datetime.now(UTC)
        return Lock(where, int(told["pid"]), str(told["hostname"]), since.timestamp())
    return Lock(where, -1, socket.gethostname(), 0.0)
