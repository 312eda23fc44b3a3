"""Tell whether files that the user's code has read are unchanged: by size and time, else by content."""

import hashlib
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

from muster._model import DataFile

from .unimported import digest_of_source

_LARGEST: Final = 64 << 20
"""The largest file, in bytes, that is digested, in a tenth of a second; of larger ones the time decides."""

_MOST: Final = 10_000
"""How many files are noted: a function may open one for each row, which would fill memory and journal."""


_stat: Final = os.stat
"""The original: ``mirror`` replaces ``os.stat`` on machines that do not share files."""


def stamped(path: str) -> DataFile | None:
    """Note a file's size and time of change; ``None`` if it is no regular file, which cannot be compared.

    Of a folder, whose name ends in a slash, note which files it has. Size -1: nothing is there.
    """
    try:
        if path.endswith(os.sep):
            return _of_folder(path)
        status = _stat(path)
    except (OSError, ValueError):
        return DataFile(path)
    return DataFile(path, status.st_size, status.st_mtime_ns) if stat.S_ISREG(status.st_mode) else None


def _of_folder(path: str) -> DataFile:
    if not os.path.isdir(path):  # noqa: PTH112 (as text)
        return DataFile(path)
    names = list(names_below(path))
    return DataFile(
        path, len(names), 0, hashlib.blake2b("\0".join(names).encode(errors="surrogateescape")).hexdigest()[:32]
    )


def names_below(folder: str) -> Iterator[str]:
    """Name all files of a folder, also those behind links, in one order; not what muster itself keeps there."""
    seen = set()
    for where, folders, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(where)
        if real in seen:
            folders[:] = []
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.endswith(".muster") and name != "__pycache__")
        for name in sorted(names):
            if os.path.isfile(path := os.path.join(where, name)):  # noqa: PTH113, PTH118 (as text)
                yield os.path.relpath(path, folder)


def with_digest(file: DataFile) -> DataFile:
    """Add a digest, so that a file that was rewritten with the same content counts as unchanged."""
    digest = file.digest
    if 0 <= file.size <= _LARGEST and not digest:
        try:
            digest = _digest(Path(file.path))
        except OSError:
            digest = ""
    return DataFile(file.path, file.size, file.modified, digest)


def _digest(path: Path) -> str:
    if path.suffix == ".py":
        return digest_of_source(path)
    with path.open("rb") as file:
        return hashlib.file_digest(file, "blake2b").hexdigest()[:32]


class DataFiles:
    """The files that a run's rows depend on, as they were when they were read first."""

    def __init__(
        self,
        files: Mapping[str, DataFile],
        *,
        read: Callable[[DataFile], None],
        wrote: Callable[[str], None],
        note: Callable[[str], None],
    ) -> None:
        """Go on from the files that earlier attempts have read.

        ``read`` and ``wrote`` journal that a file was read or written; ``note`` tells whoever watches the run.
        """
        self._files = dict(files)
        self._written: set[str] = set()
        self.have_changed = False
        """Whether one was changed between two reads of this attempt, or since an earlier one."""
        self._read = read
        self._wrote = wrote
        self._note = note
        self._folder = os.getcwd()  # noqa: PTH109 (as text)

    @property
    def known(self) -> Mapping[str, DataFile]:
        """The files by their names."""
        return self._files

    def take(self, opened: tuple[DataFile, ...], written: tuple[str, ...]) -> None:
        """Journal the files that a worker has opened, before the outcome of its task is recorded."""
        for path in map(self._named, written):
            if path not in self._written:
                self._written.add(path)
                if self._files.pop(path, None) is not None:
                    self._wrote(path)
        for file in opened:
            path = self._named(file.path)
            before = self._files.get(path)
            if path in self._written or before == (now := DataFile(path, file.size, file.modified, file.digest)):
                continue
            if before is None and len(self._files) >= _MOST:
                self._say_too_many()
                continue
            self._files[path] = now
            self._read(now)
            if before is not None and _differ(before, now):
                self.have_changed = True
                self._note(f"{path} was changed while muster ran: rows of before and after are in one output")

    def _say_too_many(self) -> None:
        if len(self._files) == _MOST:
            self._files[""] = DataFile("")
            self._note(f"the function reads more than {_MOST:,} files; a resume compares that many and no more")

    def _named(self, path: str) -> str:
        """Make the name of a file relative to this folder, which may be moved together with the run."""
        return path.removeprefix(self._folder + os.sep) or path


def changed_files(files: Mapping[str, DataFile]) -> Iterator[tuple[str, str]]:
    """Yield the path of each file that has changed since it was read, and how."""
    for path, before in sorted(files.items()):
        now = stamped(os.path.join(os.getcwd(), path))  # noqa: PTH109, PTH118 (as text)
        if now is None or (now.size < 0) != (before.size < 0):
            yield path, f"{path} is {'gone' if before.size >= 0 else 'there now, and was not'}"
        elif _differ(before, now if now.modified == before.modified else with_digest(now)):
            yield path, f"{path} {'has other files' if path.endswith(os.sep) else 'was written again'}"


def _differ(before: DataFile, now: DataFile) -> bool:
    """Compare sizes and times; where only the time differs, contents. Of Python code, only what it does."""
    if before.digest and now.digest:
        return before.digest != now.digest
    return (before.size, before.modified) != (now.size, now.modified)
