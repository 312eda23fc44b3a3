"""Where a playbook at work keeps what it writes, and what ends it: also one whose muster was killed."""

import hashlib
import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Final

from muster._clouds.there.processes import birth_of
from muster._files import locks
from muster._private.files import LONGEST_SOCKET, new_folder, private

from .stray import end_orphans, end_playing

_SOCKETS: Final = "sockets"
_SOCKET: Final = f"/{_SOCKETS}/0123456789.0123456789abcdef"
"""The longest path of a socket that ssh makes below a playbook's folder."""
_PLAYING: Final = "playing-"
_LOCK: Final = "in-use"
"""What a folder holds that is locked while somebody uses it: whoever that is, and wherever its process can be seen."""
_BEGINNING: Final = "playing"
"""What is locked while a folder is made and not locked itself yet, or while it is looked whether any is left."""


@contextmanager
def folder_of_a_playbook(below: Path) -> Iterator[Path]:
    """Have a folder for what a playbook writes, secrets among it, for as long as it works."""
    with ExitStack() as stack:
        with _alone(below):
            folder = Path(tempfile.mkdtemp(prefix=f"{_PLAYING}{os.getpid()}-{_this_computer()}-", dir=below))
            stack.callback(shutil.rmtree, folder, ignore_errors=True)
            _hold(folder, stack)
        yield folder


@contextmanager
def _alone(below: Path) -> Iterator[None]:
    with open(below / _BEGINNING, "w", opener=private) as lock:
        with suppress(OSError):  # a file system without locks
            locks.lock(lock.fileno(), waits=True)
        yield


def _hold(folder: Path, stack: ExitStack) -> None:
    """Lock a folder until the stack ends, also in children that this process forks."""
    lock = private(folder / _LOCK, os.O_WRONLY | os.O_CREAT)
    stack.callback(os.close, lock)
    try:
        locks.lock(lock)
    except OSError:  # a file system without locks: its process tells whether it is used
        (folder / _LOCK).unlink()


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
    if not any(below.glob(f"{_PLAYING}*")):
        return
    with ExitStack() as stack:
        with _alone(below):
            left = [folder for folder in below.glob(f"{_PLAYING}*") if _is_left(folder, stack)]
        for folder in left:
            _end(folder)
            shutil.rmtree(folder, ignore_errors=True)


def _is_left(folder: Path, stack: ExitStack) -> bool:
    """Tell whether nobody uses a folder; nobody will until the stack ends then."""
    pid, _, rest = folder.name.removeprefix(_PLAYING).partition("-")
    if not rest.startswith(f"{_this_computer()}-"):  # what uses it on another computer is for that to end
        return False
    try:
        lock = os.open(folder / _LOCK, os.O_WRONLY)
        stack.callback(os.close, lock)
        return locks.lock(lock)
    except FileNotFoundError:  # of an earlier muster, or on a file system without locks
        return pid.isdigit() and birth_of(int(pid)) is None
    except OSError:
        return False
