"""Files of rows that grow, one after the other, and a journal of how much of them is safe.

Whatever a crash leaves is mended by the next that opens them: what grows is cut back to what was noted as safe. So rows
may be acknowledged as soon as ``commit`` returns.
"""

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Final

from muster._files.whole import naming, sync, write_all
from muster._private.files import private
from muster.errors import EngineError

from .positions import Mark, Positions, StreamState

JOURNAL: Final = "received.jsonl"
ROWS: Final = ".rows"
"""The suffix of a file that grows, or has grown and is not visible yet."""


class Pieces:
    """The files in a folder; one process has it, and one thread at a time calls their methods."""

    def __init__(self, folder: Path) -> None:
        """Open what an earlier process has left. Raises ``EngineError`` where the journal is damaged."""
        self._folder = folder
        self._positions = Positions(folder / JOURNAL)
        self._file: IO[bytes] | None = None

    @property
    def state(self) -> StreamState:
        """Tell what is safe."""
        return self._positions.state

    def path(self, piece: int) -> Path:
        """Name a file by its number."""
        return self._folder / f"{piece:06}{ROWS}"

    def numbers(self) -> list[int]:
        """List the files that are there."""
        return sorted(int(path.stem) for path in self._folder.glob(f"*{ROWS}"))

    def grow(self) -> None:
        """Open the file that grows, with the rows that are safe. Raises ``EngineError`` where some are missing."""
        path = self.path(self.state.piece)
        self._file = os.fdopen(private(path, os.O_RDWR | os.O_CREAT), "r+b", buffering=0)
        there = os.fstat(self._file.fileno()).st_size
        if there < self.state.size:
            raise EngineError(
                f"{str(path)!r} has {there:,} bytes, and {self.state.size:,} were acknowledged to senders: somebody has"
                " cut or replaced it. Restore it; or move the folder away, and have senders send all again."
            )
        self._file.truncate(self.state.size)
        self._file.seek(self.state.size)
        sync(self._folder)

    def commit(
        self,
        text: bytes,
        *,
        rows: int,
        marks: Mapping[str, Mark],
        header: str | None = None,
        position: str | None = None,
    ) -> None:
        """Keep rows, and how far streams are with them; once this returns, they are safe. Raises ``OSError``.

        ``position`` is where a source of the user's own goes on behind them.
        """
        assert self._file is not None  # noqa: S101 (grows)
        state = self.state
        header = state.header if header is None else header
        if rows and not state.size:
            text = first_line(header) + text
        self._file.seek(state.size)  # behind a write that failed, too
        with naming(self._folder):
            write_all(self._file.fileno(), text)
            if text:
                os.fdatasync(self._file.fileno())
            self._positions.append(
                size=state.size + len(text),
                rows=state.rows + rows,
                began=state.began or (time.time() if text else 0.0),
                header=header,
                streams=marks,
                position=state.position if position is None else position,
            )

    def begin_next(self, **entry: object) -> None:
        """Have rows go to the next file from now on; note something else with it."""
        self._positions.append(piece=self.state.piece + 1, size=0, began=0.0, **entry)
        if self._file is not None:
            self._file.close()
        self.grow()

    def note(self, **entry: object) -> None:
        """Note something in the journal."""
        self._positions.append(**entry)

    def close(self) -> None:
        """Close all files."""
        if self._file is not None:
            self._file.close()
        self._positions.close()


def first_line(header: str | None) -> bytes:
    """Write the first line of each file."""
    return b"" if header is None else header.encode("utf-8", "surrogateescape") + b"\n"
