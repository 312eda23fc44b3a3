"""Marks in a store: each names the process that wrote it, so that others can tell whether it may still live."""

import json
import os
import socket
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Self

from muster._journal.processes import birth_of, computer, is_alive
from muster._journal.runs import SECONDS_UNHEARD
from muster._words import duration


@dataclass(frozen=True, slots=True)
class Owner:
    """A process that works on an output. What it says is no secret: everybody who reads the store can read it."""

    home: str
    host: str
    computer: str
    """Tells this computer since it was started, and its process ids, from all others; empty where that is unknown."""
    pid: int
    born: str | None
    since: str

    @classmethod
    def me(cls, home: Path) -> Self:
        """Describe this process."""
        pid = os.getpid()
        since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        return cls(os.path.realpath(home), socket.gethostname(), computer(), pid, birth_of(pid), since)

    def __str__(self) -> str:
        """Say who it is."""
        if not self.pid:
            return "a run that begins just now, or one of another version of muster"
        return f"process {self.pid} on {self.host!r}, with MUSTER_HOME {self.home!r}, since {self.since}"

    def is_here(self) -> bool:
        """Tell whether this process can see if that one lives."""
        return bool(self.computer and self.born) and self.computer == computer()

    def may_live(self, *, unheard: float) -> bool:
        """Tell whether the process may live; ``unheard`` are the seconds since it wrote its mark last."""
        return is_alive(self.pid, self.born) if self.is_here() else unheard < SECONDS_UNHEARD

    def until(self, *, unheard: float) -> str:
        """Say when its mark ends to count if the process is dead."""
        if self.is_here():
            return "It lives"
        left = duration(max(SECONDS_UNHEARD - unheard, 1.0))
        return f"If that run is dead, and not stopped by a command, its lock ends in {left}"

    def as_mark(self, kind: str, **more: object) -> bytes:
        """Write a mark of some kind."""
        return json.dumps({"muster": kind, **asdict(self), **more}, indent=1).encode() + b"\n"


def read_mark(data: bytes | None, kind: str) -> tuple[Owner, dict[str, Any]] | None:
    """Read a mark of that kind, and what else it says; ``None`` for anything else."""
    try:
        said = json.loads(data or b"")
        if said.pop("muster") != kind:
            return None
        fields = {name: said.pop(name) for name in Owner.__dataclass_fields__}
    except (ValueError, KeyError, AttributeError, TypeError):
        return None
    return Owner(**fields), said


UNKNOWN: Final = Owner(home="", host="", computer="", pid=0, born=None, since="~")
"""Whoever has written a mark that cannot be read; it sorts behind all that can."""
