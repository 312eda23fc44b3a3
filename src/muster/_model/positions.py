"""How far files were read that are followed."""

from typing import NamedTuple


class Position(NamedTuple):
    """How far a file was read, and what tells that it is still that file.

    ``bytes`` and ``rows`` count from its start; ``crc`` is the CRC-32 of all those bytes, ``tail`` of the last of them.
    """

    path: str
    device: int = 0
    inode: int = 0
    bytes: int = 0
    rows: int = 0
    crc: int = 0
    tail: int = 0
    order: tuple[str, ...] = ()
    """The names of its columns, as they stand."""

    @property
    def file_id(self) -> tuple[int, int]:
        """Tell device and inode, which name the file."""
        return self.device, self.inode


class Stretch(NamedTuple):
    """The part of a file that belongs to an epoch: from ``start``, with data row ``row``, up to a position.

    ``spool`` is the name of the file that has a copy of its bytes.
    """

    start: int
    row: int
    begin_crc: int
    """The CRC-32 of all bytes before it."""
    spool: str
    name: str
    """The file as the user calls it."""
    keys: tuple[tuple[str, str | None], ...]
    """Columns that the names of its folders give."""
    position: Position

    @property
    def rows(self) -> int:
        """Count its rows."""
        return self.position.rows - self.row

    @property
    def bytes(self) -> int:
        """Count its bytes."""
        return self.position.bytes - self.start
