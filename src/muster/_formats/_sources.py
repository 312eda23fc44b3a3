"""Find the input files and read bytes of them, on this computer or wherever fsspec can reach."""

import contextlib
import functools
import glob
import os
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

from muster._model import Source
from muster._unseen import shown
from muster._urls import file_name, filesystem, is_remote, said_by, stamp_of, unreachable
from muster.errors import DataError, UsageError

from ._folders import below_pattern, is_input, keys_of, left_out, walk
from .compression import CODECS

FORMATS: Final = {".csv": "csv", ".tsv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet"}

_READ_ON: Final = 1 << 13
_READ_ON_AT_MOST: Final = 1 << 22


def is_within(path: str, output: str) -> bool:
    """Tell whether a file is the output, or lies in the folder that is."""
    if is_remote(path) or is_remote(output):
        return path == output or (output.endswith("/") and path.startswith(output))
    resolved = Path(output).resolve()
    return Path(path).resolve() == resolved or (output.endswith("/") and Path(path).resolve().is_relative_to(resolved))


def format_of(path: str, *, forced: str | None = None, default: str | None = None) -> tuple[str, str]:
    """Tell format and codec from a path's suffix: ``rows.csv.gz`` is ``("csv", "gzip")``.

    ``forced`` counts in place of the suffix, ``default`` where there is none that muster knows. Raises ``UsageError``
    when nothing tells the format.
    """
    suffixes = Path(file_name(path)).suffixes
    *_, before, suffix = ["", *suffixes[-2:]] if suffixes else ["", ""]
    codec = CODECS.get(suffix.lower(), "")
    suffix = before if codec else suffix
    found = forced or FORMATS.get(suffix.lower()) or default
    if found is None:
        known = " ".join(FORMATS)
        raise UsageError(
            f"{path!r} has no suffix that says its format. muster knows {known}, each but Parquet also with"
            f" {' '.join(CODECS)}. Rename it, or say --format csv, jsonl or parquet."
        )
    if codec and found == "parquet":
        raise UsageError(f"{path!r}: a Parquet file is compressed inside. Use plain .parquet.")
    return found, codec


def find_sources(
    inputs: Sequence[str],
    *,
    forced: str | None = None,
    default: str | None = None,
    tell: Callable[[str], None] | None = None,
) -> tuple[Source, ...]:
    """Turn paths, globs, folders and URLs into input files: in the order given, each glob or folder in name order.

    A folder is read with all below it. ``forced`` and ``default`` are those of ``format_of``; ``tell`` hears of the
    files of a folder that are left out. Raises ``UsageError`` when an input names nothing, or a file of unknown format.
    """
    sources = []
    for text in inputs:
        found = _in_bucket(text) if is_remote(text) else _here(text)
        read, rest = _sifted(found, forced)
        if not read:
            raise UsageError(f"No input at {text!r}: no such file, or a pattern or folder with nothing in it.")
        if rest and tell:
            tell(left_out(text, rest))
        for one in read:
            kind, codec = format_of(one.path, forced=forced, default=default)
            size, stamp = one.look()
            place = one.path if is_remote(one.path) else os.path.abspath(one.path)  # noqa: PTH100 (Path.absolute keeps dots)
            sources.append(Source(place, size, stamp, kind, codec, given=one.path, keys=keys_of(one.inside)))
    kinds = {source.format for source in sources}
    if len(kinds) > 1:
        raise UsageError(f"The inputs are of several formats ({', '.join(sorted(kinds))}). Give one at a time.")
    return tuple(sources)


class _Found(NamedTuple):
    """A file that an input names: its path, and its name from the folder or the pattern that it was found by."""

    path: str
    inside: str
    look: Callable[[], tuple[int, str]]
    """Tells its size and its stamp. Raises ``UsageError`` for what cannot be read."""
    is_of_folder: bool = False


def _sifted(found: Sequence[_Found], forced: str | None) -> tuple[list[_Found], list[str]]:
    """Keep what is to be read; also name what is not, of a folder that was given as a whole.

    Of a folder those are its files whose suffix names a format; all, where there are none.
    """
    shown = [one for one in found if not one.is_of_folder or is_input(one.inside)]
    read = [one for one in shown if not one.is_of_folder or _has_format(one.path, forced)] or shown
    kept = {one.path for one in read}
    return read, [one.inside for one in found if one.path not in kept]


def _has_format(path: str, forced: str | None) -> bool:
    suffixes = [suffix.lower() for suffix in Path(file_name(path)).suffixes]
    if suffixes and suffixes[-1] in CODECS:
        suffixes.pop()
    kind = FORMATS.get(suffixes[-1]) if suffixes else None
    return kind is not None and forced in {None, kind}


def _here(text: str) -> list[_Found]:
    path = Path(text)
    if path.is_dir():
        names = ((str(path / name), name) for name in sorted(walk(path)))
        return [_Found(place, name, partial(_look, place), is_of_folder=True) for place, name in names]
    if path.exists():
        return [_Found(text, path.name, partial(_look, text))]
    paths = sorted(p for p in glob.glob(text, recursive=True) if Path(p).is_file())  # noqa: PTH207 (an absolute pattern, too)
    return [_Found(p, below_pattern(p, text), partial(_look, p)) for p in paths]


def _look(name: str) -> tuple[int, str]:
    if not os.access(name, os.R_OK):
        raise UsageError(f"Cannot read {name!r}: no permission. Change its mode or its owner.")
    if not Path(name).is_file():
        raise UsageError(f"{name!r} is not a regular file, and muster reads its input more than once.")
    status = Path(name).stat()
    return status.st_size, str(status.st_mtime_ns)


def _in_bucket(text: str) -> list[_Found]:
    files, root = filesystem(text)
    files.invalidate_cache()  # fsspec remembers listings for as long as the process lives

    def look(path: str) -> tuple[int, str]:
        with _asking(text):
            info = files.info(path)
        return int(info["size"]), stamp_of(info)

    def found(path: str, inside: str, *, is_of_folder: bool = False) -> _Found:
        return _Found(shown(files.unstrip_protocol(path)), inside, partial(look, path), is_of_folder)

    with _asking(text):
        if any(sign in file_name(text) for sign in "*?["):
            return [found(path, below_pattern(path, root)) for path in sorted(files.glob(root)) if files.isfile(path)]
        if files.isdir(root):
            paths = sorted(path for path in files.find(root) if not path.endswith("/"))
            return [found(path, path.removeprefix(root).lstrip("/"), is_of_folder=True) for path in paths]
        return [found(root, file_name(text).rpartition("/")[2])] if files.exists(root) else []


@contextlib.contextmanager
def _asking(url: str) -> Iterator[None]:
    """Make muster's errors of those of a file system of another computer."""
    try:
        yield
    except (FileNotFoundError, PermissionError) as error:
        raise UsageError(f"Cannot list {url!r}: {said_by(error)}. Check the address and your credentials.") from error
    except Exception as error:
        raise unreachable(url, error) from error


class Reader:
    """Read byte ranges of one file, local or remote."""

    def __init__(self, path: str) -> None:
        """Open the file."""
        self._files: Any = None
        if is_remote(path):
            self._files, self._path = filesystem(path)
        else:
            self._descriptor = os.open(path, os.O_RDONLY)

    def read(self, start: int, stop: int) -> bytes:
        """Read bytes ``start`` to ``stop``, fewer at the end of the file."""
        if self._files is not None:
            return self._fetch(start, stop) if stop > start else b""
        pieces = []
        while start < stop and (piece := os.pread(self._descriptor, stop - start, start)):
            pieces.append(piece)
            start += len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _fetch(self, start: int, stop: int) -> bytes:
        try:
            return bytes(self._files.cat_file(self._path, start=start, end=stop))
        except Exception as error:
            raise unreachable(self._path, error) from error

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
        wanted, before = _READ_ON, self.read(offset - 1, offset) if escape else b""
        while offset < size:
            data = self.read(offset, offset + wanted)
            if not data:
                raise DataError("An input file became shorter while muster was reading it. Run again when it is whole.")
            found = data.find(b"\n") + 1
            while escape and found and (data[found - 2 : found - 1] if found > 1 else before) == escape:
                found = data.find(b"\n", found) + 1
            if found:
                return offset + found
            offset += len(data)
            before = data[-1:]
            wanted = min(wanted * 2, _READ_ON_AT_MOST)
        return size

    def __del__(self) -> None:
        """Close a local file when the last user of this reader is gone."""
        if hasattr(self, "_descriptor"):
            os.close(self._descriptor)


def reader(path: str) -> Reader:
    """Open a file once per process, and keep the 64 that were used last; a file that was replaced is opened anew."""
    return _reader(path, version(path))


@functools.lru_cache(maxsize=64)
def _reader(path: str, _version: tuple[int, ...]) -> Reader:
    return Reader(path)


def forget_readers() -> None:
    """Let go of all files that are open."""
    _reader.cache_clear()


def version(path: str) -> tuple[int, ...]:
    """Tell one content of a path of this computer from the next; of a URL that would cost a request."""
    if is_remote(path):
        return ()
    status = Path(path).stat()
    return status.st_ino, status.st_size, status.st_mtime_ns
