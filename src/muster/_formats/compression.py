"""Read a file, compressed or not, as one stream of bytes, wherever it lies.

All but Zstandard is done by the standard library, and each module is imported where a file needs it.
"""

import contextlib
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Protocol, cast

from muster._model import Source
from muster._urls.urls import is_remote
from muster._words import as_name, bare
from muster.errors import DataError, MusterError

from .reader import stream_of

CODECS: Final = {".gz": "gzip", ".zst": "zstd", ".bz2": "bz2", ".xz": "xz", ".zip": "zip"}
WRITTEN: Final = frozenset({"gzip", "zstd"})
"""The codecs that an output may have: files of which can be put one behind another and are one file."""

_CHUNK: Final = 1 << 18
"""Compressed bytes: they come to several times as many, and memory stays small."""

_GZIP: Final = 16 + zlib.MAX_WBITS


class Bytes(Protocol):
    """Anything that bytes can be read from, in order."""

    def read(self, count: int, /) -> bytes:
        """Read so many bytes, fewer only at the end."""


@contextlib.contextmanager
def open_stream(source: Source) -> Iterator[Bytes]:
    """Open a file as one stream of decompressed bytes; what is read of it raises ``DataError`` where it is damaged."""
    with _opened(source) as file:
        yield _Unpacked(file, source) if source.codec and source.size else file


def _opened(source: Source) -> Any:  # noqa: ANN401 (a file of this computer, or of a store)
    return stream_of(source.path, source.size) if is_remote(source.path) else Path(source.path).open("rb")


class _Unpacked:
    """The bytes that a compressed file holds. It is opened by the first read, as that may fail like any other."""

    def __init__(self, file: Any, source: Source) -> None:  # noqa: ANN401 (as above)
        self._file = file
        self._source = source
        self._stream: Bytes | None = None

    def read(self, count: int, /) -> bytes:
        try:
            if self._stream is None:
                self._stream = _OPENERS[self._source.codec](self._file)
            return bytes(self._stream.read(count))
        except (MusterError, MemoryError):
            raise
        except _NotOneFileError as error:
            raise DataError(
                f"{self._source.name!r} holds {error}, and muster reads an archive of one. Unpack it, and name its"
                " files or their folder as input."
            ) from error
        except Exception as error:  # each codec has error types of its own
            raise DataError(
                f"{self._source.name!r} is damaged or not {self._source.codec} data: {bare(error)}. Fetch it again."
            ) from error


class _Gzip:
    """The members of a gzip file, one after another; zero bytes behind one are padding, as for ``gzip`` itself."""

    def __init__(self, file: Bytes) -> None:
        self._file = file
        self._packed = b""
        self._member = zlib.decompressobj(_GZIP)
        self._is_in_member = False

    def read(self, count: int, /) -> bytes:
        pieces = []
        while count and (piece := self._next(count)):
            pieces.append(piece)
            count -= len(piece)
        return b"".join(pieces)

    def _next(self, most: int) -> bytes:
        """Unpack some bytes, at most so many; none at the end."""
        piece = b""
        while not piece and (self._is_in_member or self._begin()):
            self._packed = self._packed or self._file.read(_CHUNK)
            has_input = bool(self._packed)
            piece = self._member.decompress(self._packed, most)
            self._packed = self._member.unused_data if self._member.eof else self._member.unconsumed_tail
            self._is_in_member = not self._member.eof
            if self._is_in_member and not (piece or has_input):
                raise EOFError("it ends in the middle")
        return piece

    def _begin(self) -> bool:
        """Go to where the next member begins; return whether there is one."""
        self._packed = self._packed.lstrip(b"\0")
        while not self._packed and (chunk := self._file.read(_CHUNK)):
            self._packed = chunk.lstrip(b"\0")
        self._member = zlib.decompressobj(_GZIP)
        self._is_in_member = bool(self._packed)
        return self._is_in_member


def _zstd(file: Any) -> Bytes:  # noqa: ANN401 (a file of any library)
    import pyarrow as pa

    stream: Bytes = pa.CompressedInputStream(pa.PythonFile(file, mode="r"), "zstd")
    return stream


def _bz2(file: Any) -> Bytes:  # noqa: ANN401 (likewise)
    import bz2

    return bz2.BZ2File(file)


def _xz(file: Any) -> Bytes:  # noqa: ANN401 (likewise)
    import lzma

    return lzma.LZMAFile(file)


class _NotOneFileError(Exception):
    """An archive holds no file, or several; the message says how many."""


def _zip(file: Any) -> Bytes:  # noqa: ANN401 (likewise)
    """Open the one file that an archive may hold, beside folders and what macOS adds of its own."""
    import zipfile

    archive = zipfile.ZipFile(file)
    names = [name for name in archive.namelist() if not name.endswith("/") and not name.startswith("__MACOSX/")]
    if len(names) != 1:
        raise _NotOneFileError(f"{len(names)} files ({', '.join(map(as_name, names[:3])) or 'none'})")
    return cast("Bytes", archive.open(names[0]))


_OPENERS: Final[Mapping[str, Callable[[Any], Bytes]]] = {
    "gzip": _Gzip,
    "zstd": _zstd,
    "bz2": _bz2,
    "xz": _xz,
    "zip": _zip,
}
