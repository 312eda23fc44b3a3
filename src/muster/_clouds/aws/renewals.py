"""When a machine of AWS must have ended, whoever was there to see it: noted on each renewal of its lease."""

import contextlib
import time
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Final

from muster._files.whole import write

from .leases import GRACE_SECONDS

_FOLDER: Final = "renewed"
"""A file for each instance: processes that renew do so side by side, and one file of all would lose some."""


def note_renewed(folder: Path, instances: Collection[str], *, lease: float) -> None:
    """Note that these have so many seconds from now; a renewal counts more than its note, so this never raises."""
    with contextlib.suppress(OSError):
        (folder / _FOLDER).mkdir(exist_ok=True)
        for name in instances:
            write(folder / _FOLDER / name, f"{time.time() + lease + GRACE_SECONDS:.0f}")


def latest_ends(folder: Path) -> Mapping[str, float]:
    """Tell when each must have ended, in seconds since 1970; nothing of those of which nobody knows."""
    ends: dict[str, float] = {}
    for path in (folder / _FOLDER).glob("*"):
        with contextlib.suppress(OSError, ValueError):  # it is another process's, half written or just gone
            ends[path.name] = float(path.read_text())
    return ends
