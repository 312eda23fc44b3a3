"""The file that an output grows in: tasks write their rows there themselves when it is their turn.

A task may write in place once the task before it has published the offset at which its own rows end; it does so before
it writes them. A task whose offset is not published in time writes to a file of its own, which the runner copies. So
most rows are written once, by the worker that made them. Offsets are published in a small file; nobody waits for one.
"""

import errno
import os
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, Self

from muster._model import Place, Regrown, Task

OFFSETS: Final = ".starts"
_ENTRY: Final = struct.Struct("<qq")
_ENTRIES_AT_ONCE: Final = 4096
_COPY_BYTES: Final = 8 << 20
_NO_KERNEL_COPY: Final = {errno.ENOSYS, errno.EOPNOTSUPP, errno.EXDEV, errno.EINVAL}


class Starts:
    """Where in a file that grows the rows of each part begin, as far as that is known.

    Each entry holds the offset twice, the second time inverted, so that a reader notices a half-written entry.
    """

    def __init__(self, grown: Path) -> None:
        """Open the offsets that belong to a file that grows."""
        self._descriptor = os.open(f"{grown}{OFFSETS}", os.O_RDWR | os.O_CREAT, 0o600)

    def __getitem__(self, part: int) -> int | None:
        """Tell where a part's rows begin."""
        return _offset(os.pread(self._descriptor, _ENTRY.size, part * _ENTRY.size))

    def __setitem__(self, part: int, offset: int) -> None:
        """Say where a part's rows begin."""
        os.pwrite(self._descriptor, _ENTRY.pack(offset + 1, ~(offset + 1)), part * _ENTRY.size)

    def next_after(self, part: int) -> tuple[int, int] | None:
        """Find the first part behind this one whose start is known, and that start."""
        at = part + 1
        while data := os.pread(self._descriptor, _ENTRY.size * _ENTRIES_AT_ONCE, at * _ENTRY.size):
            for begin in range(0, len(data) - _ENTRY.size + 1, _ENTRY.size) if any(data) else ():
                if (offset := _offset(data[begin : begin + _ENTRY.size])) is not None:
                    return at + begin // _ENTRY.size, offset
            at += _ENTRIES_AT_ONCE
        return None

    def leave_room(self, task: Task, start: int, size: int) -> bool:
        """Tell whether ``start`` to ``start + size`` overlaps no place that a later task has claimed."""
        behind = self.next_after(task.first)
        return behind is None or (behind == (task.last, start + size) and task.is_whole)

    def claim(self, task: Task, size: int) -> int | None:
        """Claim the place of a task's rows and publish where they end; ``None`` if their start is not known yet."""
        start = self[task.first] if task.is_whole else None
        if start is None or not self.leave_room(task, start, size):
            return None
        self[task.last] = start + size
        return start

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)

    def __enter__(self) -> Self:
        """Use as a context."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()


def _offset(entry: bytes) -> int | None:
    if len(entry) < _ENTRY.size:
        return None
    value, inverted = _ENTRY.unpack(entry)
    return value - 1 if value and value == ~inverted else None


def write_in_turn(grown: Path, task: Task, texts: Sequence[bytes | memoryview]) -> Place | None:
    """Write a task's rows straight into the file that grows, if all rows before them have their place; tell where.

    This is the worker's side: ``None`` says that it is not the task's turn yet, and nothing was written.
    """
    with Starts(grown) as starts:
        offset = starts.claim(task, sum(map(len, texts)))
    if offset is None:
        return None
    descriptor, at = os.open(grown, os.O_WRONLY), offset
    try:
        for text in texts:
            left = memoryview(text)
            while left:
                written = os.pwrite(descriptor, left, at)
                left, at = left[written:], at + written
    finally:
        os.close(descriptor)
    return Place(grown.name, offset)


class Grown:
    """How much of the file is there, in the order of the input without a gap."""

    def __init__(self, path: Path) -> None:
        """Begin with an empty file."""
        self.path = path
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        self._starts = Starts(path)
        self.size = 0
        """How many bytes are there."""

    @classmethod
    def after(cls, other: Self, path: Path) -> Self:
        """Begin with what is there of another file, but with no place that a task has taken behind it."""
        grown = cls(path)
        grown.copy(other.path, other.size)
        return grown

    def begin_rows(self, header: bytes) -> None:
        """Write the header, and so let the first task of all know where its rows begin."""
        left = memoryview(header)
        while left:
            left = left[os.write(self._descriptor, left) :]
        self.size = self._starts[0] = len(header)

    def fits(self, task: Task, size: int) -> bool:
        """Tell whether the rows of this task, the next one, overlap no place that a later task has claimed."""
        return self._starts.leave_room(task, self.size, size)

    def append(self, task: Task, path: Path, offset: int, size: int) -> int:
        """Take a task's rows, which are next: copy them unless they lie in their place; tell where that is."""
        begun = self.size
        if (path, offset) == (self.path, begun):
            self.size += size
        else:
            self.copy(path, size, offset=offset)
        self.skip(task)
        if hasattr(os, "posix_fadvise"):  # Linux then begins to write it out, so that little is left for the end
            os.posix_fadvise(self._descriptor, begun, size, os.POSIX_FADV_DONTNEED)
        return begun

    def skip(self, task: Task) -> None:
        """Let the task behind this one, whose rows are there, know where its own begin."""
        if task.reaches_end:
            self._starts[task.last] = self.size

    def copy(self, path: Path, size: int, *, offset: int = 0) -> None:
        """Append ``size`` bytes of a file, from ``offset`` on."""
        os.lseek(self._descriptor, self.size, os.SEEK_SET)
        with path.open("rb", buffering=0) as piece:
            left = size
            while left:
                copied = self._copy(piece.fileno(), offset + size - left, min(left, _COPY_BYTES))
                if not copied:
                    raise OSError(f"{path} is shorter than the {size} bytes that were written to it")
                left -= copied
        self.size += size

    def _copy(self, source: int, offset: int, size: int) -> int:
        """Have the kernel copy; by hand where it, or this file system, cannot."""
        if hasattr(os, "copy_file_range"):
            try:
                return os.copy_file_range(source, self._descriptor, size, offset_src=offset)
            except OSError as error:
                if error.errno not in _NO_KERNEL_COPY:
                    raise
        return os.write(self._descriptor, os.pread(source, size, offset))

    def close(self) -> None:
        """Close the file; rows that tasks wrote behind what is there stay."""
        os.close(self._descriptor)
        self._starts.close()

    def complete(self) -> None:
        """Cut off what is behind the end of all rows, of a file that is closed."""
        os.truncate(self.path, self.size)


def follow(moved: Mapping[str, Place], regrown: Regrown) -> dict[str, Place]:
    """Tell where pieces lie after a file has been grown anew."""
    return {
        name: Place(regrown.file, place.offset)
        if place.file == regrown.before and place.offset < regrown.size
        else place
        for name, place in moved.items()
    }
