"""Rows that came to a stream, by TCP or from a source of the user's own, in files until its epochs have done them."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from muster._private.files import work_folder
from muster.errors import EngineError, UsageError

from .arrivals import Arrivals, Came
from .pieces import Pieces
from .positions import Mark, StreamState

_PIECES: Final = 4
"""How many files the limit is shared by: a file goes as a whole, once all its rows are done."""
_LARGEST: Final = 64 << 20
"""Bytes of a file, so that the disk is freed soon."""


class Spooled:
    """The files, of which one grows. The receiver's threads write to them; the stream's reads them, and frees."""

    def __init__(self, folder: Path, *, most: int, output: str, on_safe: Callable[[], None]) -> None:
        """Take what an earlier process has left; ``most`` bytes may wait. ``on_safe`` is called when more is safe."""
        self.output = output
        self._pieces = Pieces(work_folder(folder))
        self._pieces.grow()
        self._most = most
        self._on_safe = on_safe
        self._full = {
            piece: self._pieces.path(piece).stat().st_size
            for piece in self._pieces.numbers()
            if piece < self.state.piece
        }
        self.end = (self.state.piece, self.state.size)
        """Up to where rows are safe: which file, and how much of it."""
        self._came = sum(self._full.values()) + self.state.size
        """Bytes that have come since this was opened, and before; only the receiver's threads count them."""
        self.done = (1, 0)
        """Up to where rows are in epochs that are committed, likewise."""
        self._done = self._gone = 0
        """Those of files that are there and of others; only the stream's thread counts them."""
        self.arrivals = Arrivals()
        """What is not done. The receiver's threads add to it, and the stream's takes."""

    def check_holds(self, piece: int, done: int) -> None:
        """Raise ``EngineError`` where rows are not there that stand behind so many bytes of a file, or that position.

        They were acknowledged. A file goes once a later one is in an epoch: so the last one is there.
        """
        last = max(piece, self.end[0])
        lost = [number for number in range(piece, last + 1) if not self.path(number).exists()]
        if lost or self.size(piece) < done:
            path = self.path(lost[0] if lost else piece)
            what = "is not there" if lost else f"has {self.size(piece):,} bytes, and {done:,} of it were read"
            raise EngineError(
                f"{str(path)!r} {what}: somebody has removed or replaced it, and its rows were acknowledged."
                " Restore it; or type the command again with --fresh, to start over."
            )

    def know_left(self, piece: int, done: int, rows: int, *, now: float) -> None:
        """Count what an earlier process had received, and was not done, as what has come just now.

        That is what stands behind so many bytes of a file; of all rows that have come, so many ``rows`` are done.
        """
        left = {
            number: self.size(number) - (done if number == piece else 0) for number in range(piece, self.end[0] + 1)
        }
        whole, bytes_before, rows_before = sum(left.values()), 0, 0
        waiting = max(self.state.rows - rows, 1)  # a frame may have held several rows, and counts as one
        for number, count in left.items():
            bytes_before += count
            up_to = waiting * bytes_before // max(whole, 1)
            if count:
                self.arrivals.add(Came(number, self.size(number), count, up_to - rows_before, now))
            rows_before = up_to

    # For the receiver

    @property
    def state(self) -> StreamState:
        return self._pieces.state

    def agree(self, header: str) -> None:
        """Have a header that no sender needs to send. Raises ``UsageError`` where rows have come under another."""
        if self.state.header not in {None, header}:
            raise UsageError(
                f"columns= makes the header {header!r}, and rows have come under {self.state.header!r}. Name these"
                " columns; or type the command again with --fresh to start over."
            )
        if self.state.header is None:
            self._pieces.note(header=header)

    def commit(  # noqa: PLR0913 (each is given by its name)
        self,
        text: bytes,
        *,
        rows: int,
        marks: Mapping[str, Mark] | None = None,
        header: str | None = None,
        since: float = 0.0,
        position: str | None = None,
    ) -> None:
        self._pieces.commit(text, rows=rows, marks=marks or {}, header=header, position=position)
        count = self.state.size - self.end[1]
        self._came += count
        if count:
            self.arrivals.add(Came(self.state.piece, self.state.size, count, rows, since))
        self.end = (self.state.piece, self.state.size)
        if rows:
            self._on_safe()

    def has_room(self) -> bool:
        """Tell whether fewer bytes wait than may."""
        return self.waiting < self._most

    @property
    def waiting(self) -> int:
        """Count the bytes that are not done."""
        return self._came - self._gone - self._done

    def full_in(self) -> float:
        return 0.0 if self.state.size >= min(self._most // _PIECES, _LARGEST) else float("inf")

    def close_piece(self) -> int | None:
        """Begin the next file; none is published."""
        if self.state.size:
            self._full[self.state.piece] = self.state.size
            self._pieces.begin_next()
            self.end = (self.state.piece, 0)
        return None

    def publish(self, piece: int) -> str:
        """Do nothing: the rows are the stream's own."""
        return str(self._pieces.path(piece))

    def note_visible(self, piece: int) -> None:
        """Do nothing, likewise."""

    # For the stream

    def path(self, piece: int) -> Path:
        """Name a file by its number."""
        return self._pieces.path(piece)

    def size(self, piece: int) -> int:
        """Tell how many bytes of a file are safe; 0 for one that is gone."""
        last, size = self.end
        return size if piece == last else self._full.get(piece, 0)

    def is_full(self, piece: int) -> bool:
        """Tell whether nothing is added to a file any more."""
        return piece < self.end[0]

    def free(self, piece: int, done: int, *, needed: int) -> None:
        """Know that all files before one are done, and so many bytes of that; those before the ``needed`` one go."""
        for number in [number for number in [*self._full] if number < needed]:
            self.path(number).unlink(missing_ok=True)
            self._gone += self._full.pop(number)
        self.done = (piece, done)
        self._done = done + sum(size for number, size in [*self._full.items()] if number < piece)

    def close(self) -> None:
        """Close the files; the receiver has ended."""
        self._pieces.close()
