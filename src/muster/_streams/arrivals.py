"""When what waits has come: so that it is known for how long rows wait, and how long each took until it was done."""

from collections import deque
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from muster._job import SourceLag


class Behind(NamedTuple):
    """What has come to a source and is in no epoch that is committed."""

    bytes: int
    rows: int | None
    """How many rows that is, as far as one can tell without reading them; ``None`` before any was read."""
    seconds: float
    """For how long the oldest of them have waited, as far as this process has seen."""
    skipped: int = 0
    """How many rows were gone at the other end before they were read, and were skipped; they are none of these."""
    away: str = ""
    """Why nothing can come just now, in words."""
    sources: tuple[SourceLag, ...] = ()
    """The same of each source, where there are several."""


class Came(NamedTuple):
    """Bytes that came together, up to ``end`` of a file with a number; since when, by the clock of this process."""

    piece: int
    end: int
    bytes: int
    rows: int
    """How many rows they hold; 0 where nobody has counted."""
    since: float


class Arrivals:
    """What waits, in the order in which it came. One thread adds, and one takes: they may be two."""

    __slots__ = ("_rows_came", "_rows_gone", "_waiting")

    def __init__(self) -> None:
        """Begin with nothing."""
        self._waiting = deque[Came]()
        self._rows_came = self._rows_gone = 0  # each is changed by one thread alone

    def add(self, came: Came) -> None:
        """Know that something has come behind all else."""
        self._rows_came += came.rows
        self._waiting.append(came)

    @property
    def rows(self) -> int:
        """Count the rows that wait."""
        return max(self._rows_came - self._rows_gone, 0)

    @property
    def since(self) -> float | None:
        """Tell since when the oldest wait; ``None`` where nothing does."""
        try:
            return self._waiting[0].since
        except IndexError:
            return None

    def take(self, piece: int, end: int) -> list[Came]:
        """Take what has come up to a place off; of bytes that came together, those before it."""
        taken = list[Came]()
        while self._waiting and (first := self._waiting[0])[:2] <= (piece, end):
            taken.append(self._waiting.popleft())
            self._rows_gone += first.rows
        if self._waiting and (first := self._waiting[0]).piece == piece and end > first.end - first.bytes:
            count = end - (first.end - first.bytes)
            rows = first.rows * count // first.bytes
            self._waiting[0] = first._replace(bytes=first.bytes - count, rows=first.rows - rows)
            taken.append(Came(piece, end, count, rows, first.since))
            self._rows_gone += rows
        return taken


def shared(rows: int, came: Sequence[Came]) -> Iterator[tuple[int, float]]:
    """Share rows by the bytes that came together: so many rows, and since when they were there."""
    whole, bytes_before, rows_before = sum(one.bytes for one in came), 0, 0
    for one in came:
        bytes_before += one.bytes
        up_to = rows * bytes_before // max(whole, 1)
        if up_to > rows_before:
            yield up_to - rows_before, one.since
        rows_before = up_to
