"""Where a playbook at work keeps what it writes, and what ends it: also one whose muster was killed."""

import hashlib
import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from muster._clouds.there.processes import birth_of
from muster._private.files import LONGEST_SOCKET, new_folder

from .stray import end_orphans, end_playing

_SOCKETS: Final = "sockets"
_SOCKET: Final = f"/{_SOCKETS}/0123456789.0123456789abcdef"
"""The longest path of a socket that ssh makes below a playbook's folder."""
_PLAYING: Final = "playing-"


@contextmanager
def folder_of_a_playbook(below: Path) -> Iterator[Path]:
    """Have a folder for what a playbook writes, secrets among it, for as long as it works."""
    folder = Path(tempfile.mkdtemp(prefix=f"{_PLAYING}{os.getpid()}-{_this_computer()}-", dir=below))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def sockets_of_a_playbook(folder: Path) -> Iterator[Path]:
    """Find a place for sockets: below the folder, or elsewhere where paths there are too long for them."""
    if len(os.fsencode(folder)) + len(_SOCKET) > LONGEST_SOCKET:
        (folder / _SOCKETS).symlink_to(new_folder(len(_SOCKET)))  # so that it is found when this is killed
    try:
        yield _sockets_of(folder)
    finally:
        _end(folder)


def _sockets_of(folder: Path) -> Path:
    named = folder / _SOCKETS
    return named.readlink() / _SOCKETS if named.is_symlink() else named


def _end(folder: Path) -> None:
    """End what a playbook has started, and remove its sockets.

    Or it would go on beside what comes next, such as to end what it starts: where it is interrupted, or a task took too
    long. Connections that wait for another task go, too.
    """
    sockets = _sockets_of(folder)
    end_playing(folder, sockets)
    if sockets.parent != folder:
        shutil.rmtree(sockets.parent, ignore_errors=True)


def _this_computer() -> str:
    """Name this computer among those that may have the folder in common, in few letters."""
    return hashlib.sha256(socket.gethostname().encode()).hexdigest()[:4]


def tidy(below: Path) -> None:
    """End and remove what those have left who asked for hosts and were killed."""
    end_orphans(below)
    for folder in below.glob(f"{_PLAYING}*"):
        pid, _, rest = folder.name.removeprefix(_PLAYING).partition("-")
        is_here = rest.startswith(f"{_this_computer()}-")  # or its process would be looked for in vain
        if is_here and pid.isdigit() and birth_of(int(pid)) is None:
            _end(folder)
            shutil.rmtree(folder, ignore_errors=True)
