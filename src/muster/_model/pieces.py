"""What tasks wrote, and where it lies."""

from typing import NamedTuple

from .tasks import Schema


class PieceLocation(NamedTuple):
    """Where a piece lies: a file, named from the work folder, and an offset in it."""

    file: str
    offset: int


class Piece(NamedTuple):
    """What a task wrote: its name, its size and CRC-32, and how many rows it holds.

    It is a file of that name among the parts in the work folder, unless it lies in a ``location`` in another.
    """

    name: str
    bytes: int
    crc: int
    rows: int
    location: PieceLocation | None = None
    stamp: str = ""
    """What the store says of the content, where a worker put it into one."""


class Span(NamedTuple):
    """Rows ``lo`` to ``hi`` of a task whose results lie together: the function failed on the rows before and behind.

    ``bad_rows`` of them could not be read. ``bytes`` and ``crc`` are those of their text; 0 where the output is none.
    """

    lo: int
    hi: int
    bad_rows: int
    rows_out: int
    bytes: int
    crc: int
    schema: Schema | None
