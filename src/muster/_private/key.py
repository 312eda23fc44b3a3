"""The key of digests of what may be secret: without it, nobody who reads a digest can find its input by trying."""

import contextlib
import functools
import os
import stat
from pathlib import Path
from typing import Final

from .files import own_folder, private

_BYTES: Final = 32
"""256 bits, which nobody finds by trying."""

_OTHERS: Final = 0o077


def key() -> bytes:
    """Read the key of this user's ``MUSTER_HOME``, made there once; of this process where none can be kept."""
    return _key_in(os.environ.get("MUSTER_HOME") or str(Path.home() / ".muster"))


@functools.cache
def _key_in(home: str) -> bytes:
    path = Path(os.path.realpath(home), ".key")  # a name that muster's folder may have, whoever else's files are in it
    made = os.urandom(_BYTES)
    with contextlib.suppress(OSError):
        if not path.exists():
            if not path.parent.exists():
                path.parent.parent.mkdir(parents=True, exist_ok=True)
                own_folder(path.parent)
            _lay(path, made)
        elif not _read(path) and _read(path, whoever_reads=True):  # others may have read it, by its mode of now
            path.unlink()
            _lay(path, made)
    # A file system without modes lets others read whatever lies there; but each process has to use the same key.
    return _read(path) or _read(path, whoever_reads=True) or made


def _lay(path: Path, made: bytes) -> None:
    """Let a key appear whole, unless another process was quicker: unlike a rename, a hard link replaces nothing."""
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


def _read(path: Path, *, whoever_reads: bool = False) -> bytes:
    """Read a key; nothing where it is none, or where somebody else has made it or may have read it."""
    with contextlib.suppress(OSError), open(path, "rb", opener=_followed_nowhere) as file:
        status = os.fstat(file.fileno())
        if (
            stat.S_ISREG(status.st_mode)
            and status.st_uid == os.geteuid()
            and (whoever_reads or not status.st_mode & _OTHERS)
        ):
            found = file.read(_BYTES + 1)
            return found if len(found) == _BYTES else b""
    return b""


def _followed_nowhere(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK)
