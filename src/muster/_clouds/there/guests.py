"""Processes that are not below a machine's agent, but work with what is, and end with the machine."""

import os
import signal
from pathlib import Path
from typing import Final

from muster._files import notes

from .processes import birth_of, is_alive, send_signal

_GUEST: Final = "guest-"


def note(folder: Path) -> None:
    """Note that this process is one; forget those that have ended, one of each run."""
    for guest in _noted(folder):
        if _living(guest) is None:
            guest.unlink(missing_ok=True)
    notes.write(folder / f"{_GUEST}{os.getpid()}", {"pid": os.getpid(), "born": birth_of(os.getpid())})


def end(folder: Path) -> None:
    """Kill them."""
    for guest in _noted(folder):
        if (pid := _living(guest)) is not None:
            send_signal(pid, signal.SIGKILL)
        guest.unlink(missing_ok=True)


def _noted(folder: Path) -> list[Path]:
    return [path for path in folder.glob(f"{_GUEST}*") if path.name.removeprefix(_GUEST).isdigit()]


def _living(guest: Path) -> int | None:
    known = notes.read(guest) or {}
    return int(known["pid"]) if is_alive(known.get("pid", 0), known.get("born")) else None
