"""A key for digests of what may be secret: who reads a digest cannot try out what gives it, without the key."""

import contextlib
import functools
import os
import stat
from pathlib import Path
from typing import Final

from muster._private import own_folder, private

_BYTES: Final = 32
_OTHERS: Final = 0o077


def key() -> bytes:
    """Read the key of this user's ``MUSTER_HOME``, which is made there once; one of chance where none can be kept."""
    return _key_in(os.environ.get("MUSTER_HOME") or str(Path.home() / ".muster"))


@functools.cache
def _key_in(home: str) -> bytes:
    path = Path(os.path.realpath(home), ".key")  # a name that muster's folder may have, whoever else's files are in it
    made = os.urandom(_BYTES)
    with contextlib.suppress(OSError):
        if not path.exists():
            if path.parent.parent.is_dir() and not path.parent.exists():
                own_folder(path.parent)
            _lay(path, made)
    return _read(path) or made


def _lay(path: Path, made: bytes) -> None:
    """Let a key appear, whole, unless another process was quicker."""
    unfinished = path.with_name(f".key-{os.urandom(8).hex()}")
    try:
        with open(unfinished, "xb", opener=private) as file:
            file.write(made)
        try:
            path.hardlink_to(unfinished)
        except FileExistsError:
            return
        except OSError:  # a file system without hard links
            unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def _read(path: Path) -> bytes:
    """Read a key; nothing where it is none, or where somebody else may have it."""
    with contextlib.suppress(OSError), open(path, "rb", opener=_followed_nowhere) as file:
        status = os.fstat(file.fileno())
        if stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid() and not status.st_mode & _OTHERS:
            found = file.read(_BYTES + 1)
            return found if len(found) == _BYTES else b""
    return b""


def _followed_nowhere(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK)
