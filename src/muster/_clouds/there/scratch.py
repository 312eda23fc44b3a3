"""The folder that ends with a machine: whatever anybody puts into a temporary folder there lies in it."""

import contextlib
from pathlib import Path
from typing import Final

from muster._files.whole import write
from muster._private.files import new_folder, own_folder, remove_all, squatted

NOTE: Final = "scratch"
"""Which file of a machine's folder names it."""

_SOCKET: Final = "/ray/session_2026-01-01_00-00-00_000000_4194304/sockets/plasma_store"
"""The longest path of a socket that Ray makes below it."""


def make(folder: Path) -> Path:
    """Make it: under a name that nobody can know beforehand, or that of a note.

    A note's is in a folder that is for this user alone already.
    """
    note = folder / NOTE
    if not note.exists():
        made = new_folder(len(_SOCKET))
        write(note, str(made))
        return made
    made = Path(note.read_text())
    own_folder(made.parent)
    remove_all(made)  # of a machine that was killed
    return own_folder(made)


def of(folder: Path) -> Path | None:
    """Name that of a machine, if it has one."""
    with contextlib.suppress(OSError):
        return Path((folder / NOTE).read_text())
    return None


def remove(folder: Path) -> None:
    """Remove that of a machine, unless by now it is somebody else's that has the name."""
    made = of(folder)
    with contextlib.suppress(OSError):
        if made is not None and not squatted(made):
            remove_all(made)
        (folder / NOTE).unlink(missing_ok=True)
