"""The file that a plain text output grows in, in the order of the input, and where the rows of each piece lie.

A task writes its rows to a file of its own, and the runner copies that behind those before it as soon as it is next.
The kernel copies, and the file is removed before the disk has it: of a cheap function that costs less than 5% of the
run. Having tasks write to their location in the output instead was tried, and is not worth what it takes.
"""

import errno
import os
import sys
from pathlib import Path
from typing import Final

from muster._files.whole import naming, write_all
from muster._journal.events import Moved, Regrown
from muster._model import Outcome, Piece, PieceLocation

PARTS: Final = "parts"
"""The folder of pieces that have a file of their own, in the work folder."""

_COPY_BYTES: Final = 8 << 20
"""In one call of the kernel: between two calls a signal is heard."""

_NO_KERNEL_COPY: Final = {errno.ENOSYS, errno.EOPNOTSUPP, errno.EXDEV, errno.EINVAL}


class PieceLocations:
    """Where pieces lie: in a file of their own, unless they came in another or were moved to one."""

    def __init__(self) -> None:
        """Begin with none that lies elsewhere."""
        self._elsewhere: dict[str, PieceLocation] = {}

    def __getitem__(self, piece: Piece) -> PieceLocation:
        """Tell where a piece lies."""
        return self._elsewhere.get(piece.name) or PieceLocation(f"{PARTS}/{piece.name}", 0)

    @property
    def files(self) -> set[str]:
        """Name the files that hold pieces, besides those of their own."""
        return {location.file for location in self._elsewhere.values()}

    def note(self, outcome: Outcome) -> None:
        """Know where the rows of an outcome lie already: a retry leaves them where they are, in the earlier output."""
        if outcome.output and outcome.output.location:
            self._elsewhere[outcome.output.name] = outcome.output.location

    def move(self, moved: Moved) -> None:
        """Know that a piece was moved."""
        self._elsewhere[sys.intern(moved.name)] = PieceLocation(
            sys.intern(moved.file), moved.offset
        )  # a journal says both often

    def follow(self, regrown: Regrown) -> None:
        """Know that the beginning of a file lies in another one now."""
        for name, location in self._elsewhere.items():
            if location.file == regrown.before and location.offset < regrown.size:
                self._elsewhere[name] = PieceLocation(regrown.file, location.offset)

    def forget(self, name: str) -> None:
        """Forget a piece that is now part of the piece before it."""
        self._elsewhere.pop(name, None)

    def clear(self) -> None:
        """Forget all pieces."""
        self._elsewhere.clear()


class Grown:
    """A file that grows, of which ``size`` bytes are there."""

    def __init__(self, path: Path) -> None:
        """Begin with an empty file."""
        self.path = path
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        self.size = 0

    def write(self, data: bytes) -> None:
        """Append bytes."""
        with naming(self.path):
            write_all(self._descriptor, data)
        self.size += len(data)

    def append(self, path: Path, size: int, *, offset: int = 0) -> int:
        """Append ``size`` bytes of a file, from ``offset`` on; tell where they begin here."""
        begin = self.size
        with naming(self.path), path.open("rb", buffering=0) as piece:
            left = size
            while left:
                copied = self._copy(piece.fileno(), offset + size - left, min(left, _COPY_BYTES))
                if not copied:
                    raise OSError(f"{path} is shorter than the {size} bytes that were written to it")
                left -= copied
        self.size += size
        if hasattr(os, "posix_fadvise"):  # Linux then begins to write it out, so that little is left for the end
            os.posix_fadvise(self._descriptor, begin, size, os.POSIX_FADV_DONTNEED)
        return begin

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
        """Close the file."""
        os.close(self._descriptor)
