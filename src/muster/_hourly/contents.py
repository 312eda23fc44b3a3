"""Which content a file of input has: it is read only where size, time and inode do not tell that it is as it was."""

import hashlib
from pathlib import Path
from typing import Final

from muster._files.witness import FileState, digest, is_being_written, is_still, settled, witness
from muster._model import Source
from muster._urls.urls import filesystem, has_buckets, is_remote, reaching
from muster.errors import DataError, MusterError

_CHUNK: Final = 1 << 20
"""Memory stays small, and a chunk is worth its calls."""

_PATIENCE: Final = 2.5
"""Seconds that a look at a file waits, at the most, until a later change of it would show."""


def looked_at(source: Source, before: FileState | None) -> FileState | None:
    """See which content a file has, which is read unless it is as it was; ``None`` while somebody writes it.

    Raises ``FileNotFoundError`` where it is gone by now.
    """
    size, stamp = source.size, source.stamp
    if is_remote(source.path):
        return FileState(size, stamp, 0, _content_in_a_store(source))
    now, is_settled = settled(source.path, patience=_PATIENCE)
    if before is not None and before[:3] == (size, stamp, now.changed):
        return before
    if is_being_written(source.path):
        return None
    content = _digest_here(source.path)
    status = Path(source.path).stat()
    is_same = (status.st_size, str(status.st_mtime_ns), witness(source.path)) == (size, stamp, now)
    return FileState(size, stamp, now.changed if is_settled else 0, content) if is_same else None


def is_as_it_was(source: Source, before: FileState) -> bool:
    """Tell whether a file that is there still has the content that it had, without a wait."""
    if (source.size, source.stamp) != before[:2]:
        return False
    if is_remote(source.path):
        return source.tells_version or _content_in_a_store(source) == before.content
    return is_still(source.path, before)


def _content_in_a_store(source: Source) -> str:
    """Take the store's word, where it tells a content from all others; else read the file."""
    files, path = filesystem(source.path)
    if has_buckets(files) and source.stamp:
        return f"{source.size}:{source.stamp}"
    digest = hashlib.blake2b(digest_size=20)
    try:
        with reaching(source.path), files.open(path, "rb") as data:
            while chunk := data.read(_CHUNK):
                digest.update(chunk)
    except MusterError as error:
        if isinstance(error.__cause__, FileNotFoundError):
            raise FileNotFoundError(source.path) from error
        raise
    return digest.hexdigest()


def _digest_here(path: str) -> str:
    try:
        return digest(path)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise DataError(f"Cannot read {path!r}: {error.strerror}. Mend that, or move it elsewhere.") from error
