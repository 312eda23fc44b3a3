"""Rows that are grouped by a key: how the user wants it, and what workers must know of rows between two stages."""

from typing import Any, Final, NamedTuple

from .tasks import Schema

LANES: Final = 256
"""How many fixed shares there are of all keys. The lane of a key is the first byte of its hash."""

_HASH_BITS: Final = 56
"""How many bits of a hash are behind those that say its lane."""

SPLITTING, GROUPING, ORDERING = 0, 1, 2
"""What tasks do with rows: send them to their lanes, call the function on each group, put its results in order."""

NO_FILE: Final = 1 << 30
"""The file of parts that are of no file of the input."""


class Grouping(NamedTuple):
    """What rows are grouped by."""

    columns: tuple[str, ...]
    is_scalar: bool = False
    """A key is a value by itself, not a tuple: the user gave one name, and no list of names."""
    dropna: bool = True
    sort: bool = False
    """Groups come in the order of their keys, as pandas sorts these; else in that of their first rows."""

    def said(self) -> list[Any]:
        """Write it as JSON, as a journal keeps it."""
        return [list(self.columns), self.is_scalar, self.dropna, *([self.sort] if self.sort else [])]


class Block(NamedTuple):
    """The handle of rows between two stages: the file that they lie in.

    ``base`` is how many rows all files before that of its rows have.
    """

    path: str
    base: int = 0
    name: str = ""
    """That of their file, as the user gave it."""


class Share(NamedTuple):
    """What a part of a later stage is: of a lane, the keys whose hash is from ``lo`` to ``hi``, which is among them.

    Where results are put in order, ``lo`` and ``hi`` are places of groups in the output.
    """

    lane: int
    lo: int
    hi: int

    @classmethod
    def of(cls, lane: int) -> "Share":
        """Take a whole lane."""
        return cls(lane, lane << _HASH_BITS, ((lane + 1) << _HASH_BITS) - 1)


class Exchange(NamedTuple):
    """What a worker must know of rows that go from stage to stage."""

    grouping: Grouping
    does: int = SPLITTING
    blocks: tuple[Block, ...] = ()
    """What is read: in the order of the input, or of lanes."""
    shares: tuple[Share, ...] = ()
    """Of each part."""
    schema: Schema | None = None
    """That of all results, where they are put in order."""
    ranks: str = ""
    """The block that says the rank of each group among the sorted keys, where results are put in their order."""
