"""Read bytes of a file, on this computer or in a store, wherever in it they are."""

import functools
import os
from typing import Any, Final, Self

from muster._model import Stored
from muster._urls.urls import filesystem, is_remote, is_web, reaching
from muster.errors import DataError

from ._as_found import whole_range

_READ_ON: Final = 1 << 13
"""How many bytes are read first to find the end of a line; twice as many each time it is not among them."""
_READ_ON_AT_MOST: Final = 1 << 22
"""A line that is longer than this is read in steps of as many bytes: memory grows no faster."""

_AHEAD: Final = 4 << 20
"""How many bytes of a store's file one request fetches where it is read from start to end."""


class RangeReader:
    """Read byte ranges of one file, local or remote."""

    def __init__(self, path: str) -> None:
        """Open a local file, which stays open for as long as this object lives."""
        self._path = path
        self._is_remote = is_remote(path)
        if not self._is_remote:
            self._descriptor = os.open(path, os.O_RDONLY)

    def read(self, start: int, stop: int) -> bytes:
        """Read bytes ``start`` to ``stop``, fewer at the end of the file."""
        if self._is_remote:
            return _fetch(self._path, start, stop) if stop > start else b""
        pieces = []
        while start < stop and (piece := os.pread(self._descriptor, stop - start, start)):
            pieces.append(piece)
            start += len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def between_newlines(
        self, start: int, stop: int, *, size: int, origin: int = 0, escape: bytes = b""
    ) -> tuple[int, bytes]:
        """Read from just after the first newline at or after ``start`` to just after the one at or after ``stop``.

        ``origin`` and the file's end count as such places; a newline behind an ``escape`` does not. Also tells the
        offset of the first byte.
        """
        begin = self._after_newline(start, size, escape) if start > origin else origin
        end = self._after_newline(stop, size, escape) if stop < size else size
        return begin, self.read(begin, end)

    def _after_newline(self, offset: int, size: int, escape: bytes) -> int:
        """Find the first line that starts behind ``offset``; the end of the file where there is none."""
        count, before = _READ_ON, self.read(offset - 1, offset) if escape else b""
        while offset < size:
            data = self.read(offset, offset + count)
            if not data:
                raise DataError("An input file became shorter while muster was reading it. Run again when it is whole.")
            behind = data.find(b"\n") + 1
            while escape and behind and (data[behind - 2 : behind - 1] if behind > 1 else before) == escape:
                behind = data.find(b"\n", behind) + 1
            if behind:
                return offset + behind
            offset += len(data)
            before = data[-1:]
            count = min(count * 2, _READ_ON_AT_MOST)
        return size

    def __del__(self) -> None:
        """Close it. Readers are shared and cached, so nobody knows who is the last to use one."""
        if hasattr(self, "_descriptor"):
            os.close(self._descriptor)


def _fetch(url: str, start: int, stop: int) -> bytes:
    from muster._user_code.listening import unheard

    with unheard(), reaching(url):  # a client opens files of its own, such as that of the credentials
        if is_web(url):
            from . import _web

            return _web.read(url, start, stop)
        files, path = filesystem(url)
        if hasattr(files, "_call_s3"):
            from . import _of_s3

            return _of_s3.read(url, start, stop)
        return whole_range(url, bytes(files.cat_file(path, start=start, end=stop)), start, stop)


def reader(path: str) -> RangeReader:
    """Open a file once per process, and keep the 64 that were used last; a file that was replaced is opened anew."""
    return _reader(path, version(path))


@functools.lru_cache(maxsize=64)
def _reader(path: str, _version: tuple[object, ...]) -> RangeReader:
    return RangeReader(path)


def forget_readers() -> None:
    """Let go of all files that are open."""
    _reader.cache_clear()


def version(path: str) -> tuple[object, ...]:
    """Say which version of a file lies at a path; empty for a URL of which none is known, as asking costs a request."""
    if isinstance(path, Stored):
        return path.size, path.stamp
    if is_remote(path):
        return ()
    status = os.stat(path)  # noqa: PTH116 (asked for each small file there is)
    return status.st_ino, status.st_size, status.st_mtime_ns


class RemoteFile:
    """A file in a store with the methods of a Python file, for libraries that seek and read."""

    closed = False

    def __init__(self, url: str, size: int, *, ahead: int = 0) -> None:
        """Begin at the start; ``ahead`` bytes are read at a time where less is wanted."""
        self._url = url
        self._size = size
        self._ahead = ahead
        self._at = 0
        self._kept, self._kept_at = b"", 0

    def read(self, count: int | None = -1) -> bytes:
        """Read so many bytes, fewer only at the end. Raises ``EngineError`` where the store cannot be reached."""
        stop = self._size if count is None or count < 0 else min(self._at + count, self._size)
        pieces = []
        while self._at < stop:
            piece = self._piece(stop)
            if not piece:
                break
            pieces.append(piece)
            self._at += len(piece)
        return b"".join(pieces)

    def _piece(self, stop: int) -> bytes:
        offset = self._at - self._kept_at
        if not 0 <= offset < len(self._kept):
            self._kept = _fetch(self._url, self._at, min(max(stop, self._at + self._ahead), self._size))
            self._kept_at, offset = self._at, 0
        piece = self._kept[offset : offset + stop - self._at]
        if not self._ahead:
            self._kept = b""
        return piece

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move to another offset."""
        self._at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        return self._at

    def tell(self) -> int:
        """Return the offset of the next byte."""
        return self._at

    def size(self) -> int:
        """Return the size in bytes."""
        return self._size

    def readable(self) -> bool:
        """Say yes, for Arrow."""
        return True

    def seekable(self) -> bool:
        """Say yes, for Arrow."""
        return True

    def close(self) -> None:
        """Drop what was read ahead."""
        self.closed = True
        self._kept = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def opened(url: str, *, size: int | None = None, ahead: int = 0) -> RemoteFile:
    """Open a file of a store; where its ``size`` is not given, that costs a request."""
    if size is None and isinstance(url, Stored):
        size = url.size
    if size is None:
        with reaching(url):
            size = _size_of(url)
    return RemoteFile(url, size, ahead=ahead)


def stream_of(url: str, size: int) -> RemoteFile:
    """Open a file of a store to be read from start to end."""
    return opened(url, size=size, ahead=_AHEAD)


def _size_of(url: str) -> int:
    if is_web(url):
        from . import _web

        return _web.look(url).size or 0
    files, path = filesystem(url)
    info: dict[str, Any] = files.info(path)
    return int(info["size"] or 0)
