"""The journal of a receiver: what is safe of which stream, and in which file.

A line is appended, and is on the disk, before anything that it says is acknowledged. A line that a crash has torn was
acknowledged to nobody, and is passed over.
"""

import errno
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

from muster._files.whole import replacing, sync
from muster._private.files import private
from muster.errors import EngineError

_LARGEST: Final = 4 << 20
"""Bytes after which the journal is written anew, with a line that says all; later where that is long itself."""


class Mark(NamedTuple):
    """How much of a stream is safe, and whether that is all of it."""

    safe: int = 0
    is_ended: bool = False


@dataclass
class StreamState:
    """What the lines of the journal add up to."""

    piece: int = 1
    """The number of the file that grows."""
    size: int = 0
    """Its bytes."""
    began: float = 0.0
    """When its first row came, by the time of day; 0 while there is none."""
    rows: int = 0
    """The rows of all files."""
    header: str | None = None
    streams: dict[str, Mark] = field(default_factory=dict)
    position: str = ""
    """Behind the last row of a source of the user's own, in its words."""
    closed: dict[int, str] = field(default_factory=dict)
    """Names of full files, by their numbers, that may not be visible yet."""

    def take(self, entry: Mapping[str, Any]) -> None:
        """Add what a line says."""
        for name in ("piece", "size", "began", "rows", "header", "position"):
            setattr(self, name, entry.get(name, getattr(self, name)))
        self.streams |= {stream: Mark(*mark) for stream, mark in entry.get("streams", {}).items()}
        self.closed |= {int(piece): name for piece, name in entry.get("closed", {}).items()}
        for piece in entry.get("visible", []):
            self.closed.pop(piece, None)

    def whole(self) -> dict[str, Any]:
        """Say all in one line."""
        return dict(vars(self))


class Positions:
    """The journal, open to be appended to."""

    def __init__(self, path: Path) -> None:
        """Read what an earlier receiver has left, if there is anything. Raises ``EngineError`` for a damaged one."""
        self.path = path
        self.state = StreamState()
        self._file = os.fdopen(private(path, os.O_RDWR | os.O_CREAT), "r+b", buffering=0)
        self._limit = _LARGEST
        self._is_torn = False
        """Whether a line may be there in part: what stood behind it would be one with it, and count for nothing."""
        self._replay()
        sync(path.parent)

    def _replay(self) -> None:
        *lines, torn = self._file.read().split(b"\n")
        for number, line in enumerate(lines, 1):
            try:
                self.state.take(json.loads(line))
            except (ValueError, TypeError, AttributeError) as error:
                raise EngineError(
                    f"{str(self.path)!r} is damaged in line {number}: nobody can tell which rows are safe. Restore it,"
                    " or move the folder away and name another output; senders then send all again."
                ) from error
        if torn:
            self._file.truncate(self._file.tell() - len(torn))
        self._file.seek(0, os.SEEK_END)

    def append(self, **entry: object) -> None:
        """Note something; once this returns, it is on the disk. Raises ``OSError``: then nothing more can be noted."""
        if self._is_torn:
            raise OSError(errno.EIO, "the note before was not written", str(self.path))
        self._is_torn = True
        line = json.dumps(entry).encode() + b"\n"
        if self._file.write(line) != len(line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path))
        os.fdatasync(self._file.fileno())
        self._is_torn = False
        self.state.take(json.loads(line))
        if self._file.tell() > self._limit:
            self._begin_anew()

    def _begin_anew(self) -> None:
        with replacing(self.path, durable=True) as file:
            file.write(json.dumps(self.state.whole()).encode() + b"\n")
        self.close()
        self._file = os.fdopen(private(self.path, os.O_RDWR), "r+b", buffering=0)
        self._file.seek(0, os.SEEK_END)
        self._limit = _limit(self._file.tell())

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _limit(size: int) -> int:
    """Tell how large a journal grows that has this size just after it was written anew."""
    return max(_LARGEST, 2 * size)
