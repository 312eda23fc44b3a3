"""Files that appear complete or not at all, whoever dies while one is written, and whatever runs full.

A file is written under another name beside its own, which it gets by a rename. Readers see the file before or the new
one, and need no lock. It needs nothing but Python's standard library: hosts run it too.
"""

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Final

from muster._private.files import private

from .locks import is_still, lock

_UNFINISHED: Final = ".unfinished"
"""How the name ends under which a file is written. It is always the same: so what a killed process has left there is
written over by the next, and nothing has to be swept."""

_NO_ROOM: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextlib.contextmanager
def naming(path: str | Path) -> Iterator[None]:
    """Have the error of a full disk name the file that was written: of a write, the system names none."""
    try:
        yield
    except OSError as error:
        if error.errno in _NO_ROOM and error.filename is None:
            error.filename = os.fspath(path)
        raise


def reason(error: OSError) -> str:
    """Say what the system said, and of which file, where it is known."""
    return f"{error.strerror}: {error.filename!r}" if error.filename else str(error.strerror)


def write(path: Path, data: str | bytes, *, durable: bool = False) -> None:
    """Write a file for this user alone, in place of what has its name; see ``replacing``."""
    with replacing(path, durable=durable) as file:
        file.write(data.encode() if isinstance(data, str) else data)


@contextlib.contextmanager
def replacing(path: Path, *, durable: bool = False) -> Iterator[IO[bytes]]:
    """Open a file for this user alone, which gets its name at the end of the context.

    One that is ``durable`` is on the disk by then, with its name; else a power cut may leave the file before, the new
    one, or an empty one. Two that write the same file take turns, and the last one counts. Where this raises, as with
    ``OSError`` on a full disk, the file before stays, and nothing is left beside it.
    """
    unfinished = path.with_name(path.name + _UNFINISHED)
    with naming(path), open(_taken(unfinished), "wb") as file:  # closed last: the lock guards the name until the rename
        try:
            yield file
            file.flush()
            if durable:
                os.fsync(file.fileno())
            unfinished.replace(path)
        except BaseException:
            if is_still(unfinished, file.fileno()):  # after the rename, another writer may have that name
                unfinished.unlink(missing_ok=True)
            raise
    if durable:
        sync(path.parent)


def _taken(unfinished: Path) -> int:
    """Open a file, empty, that nobody else writes: without the lock, one could rename what another has half written."""
    while True:
        opened = private(unfinished, os.O_RDWR | os.O_CREAT)
        try:
            with contextlib.suppress(OSError):  # a file system without locks, where two at a time are a risk
                lock(opened, waits=True)
            if is_still(unfinished, opened):
                os.ftruncate(opened, 0)
                return opened
        except BaseException:
            os.close(opened)
            raise
        os.close(opened)


def put(complete: Path, path: str | Path) -> None:
    """Give a file that was written elsewhere on the same disk its name: first its bytes are on the disk, then that."""
    sync(complete)
    rename(complete, path)


def rename(complete: Path, path: str | Path) -> None:
    """Give a file or a folder, whose bytes are on the disk, its name; once this returns, that is on the disk too."""
    complete.replace(path)
    sync(Path(path).absolute().parent)


def write_all(descriptor: int, data: bytes) -> None:
    """Write all of it where the descriptor is: one call of the system may write a part. Raises ``OSError``."""
    left = memoryview(data)
    while left:
        left = left[os.write(descriptor, left) :]


def sync(path: Path) -> None:
    """Have what was written to a file or a folder be on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
