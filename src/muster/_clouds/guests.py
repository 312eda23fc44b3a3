"""Processes that are not below a machine's agent, but work with what is, and end with the machine."""

import contextlib
import json
import os
import signal
from pathlib import Path
from typing import Final

from muster._clouds.processes import birth_of, is_alive, send_signal
from muster._private import write

_GUEST: Final = "guest-"


def note(folder: Path) -> None:
    """Note that this process is one."""
    write(folder / f"{_GUEST}{os.getpid()}", json.dumps({"pid": os.getpid(), "born": birth_of(os.getpid())}))


def end(folder: Path) -> None:
    """Kill them."""
    for guest in folder.glob(f"{_GUEST}*"):
        with contextlib.suppress(OSError, ValueError):
            known = json.loads(guest.read_text())
            if is_alive(known["pid"], known["born"]):
                send_signal(known["pid"], signal.SIGKILL)
        guest.unlink(missing_ok=True)
