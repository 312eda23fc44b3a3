"""Input files, their columns, and the parts that they are read in."""

from dataclasses import dataclass
from typing import Final, NamedTuple, Self

KEY: Final = "key"
"""The column of what goes along with a payload that a step has made of a row."""

END: Final = b"\x04"
"""The payload that ends a stream over TCP, and is no row."""

PAYLOAD: Final = "payload"
"""The column of what came to a stream and is no row of CSV yet, in base64: the first step makes rows of it."""

PLACE: Final = "place"
"""A column beside it, where rows have places of their own: which message of which partition it was."""

NOTHING: Final = "-"
"""What stands there for a message that has no value, and is no base64."""

WRITTEN: Final = ", written "
"""What stands in a stamp between the tag of a file and its time of writing, where one alone does not do."""


class Stored(str):
    """The URL of a file in a store, with its size in bytes and its stamp: who reads it and meets another one stops.

    It is text wherever a path is, also in what workers are sent. Where the store tells no size before, it is ``None``.
    """

    __slots__ = ("size", "stamp")
    size: int | None
    stamp: str

    def __new__(cls, url: str, *, size: int | None = None, stamp: str = "") -> Self:
        """Know a URL, and what was found there."""
        found = super().__new__(cls, url)
        found.size, found.stamp = size, stamp
        return found


@dataclass(frozen=True, slots=True)
class Source:
    """One input file: where it is, how large, and a stamp that changes when its content does."""

    path: str
    size: int
    stamp: str
    format: str
    codec: str = ""
    given: str = ""
    """The path as the user gave it. ``path`` is absolute, as the user's function may change the folder."""
    keys: tuple[tuple[str, str | None], ...] = ()
    """Columns that the names of its folders give, each with the value that all its rows have."""
    input: str = ""
    """The input that names it."""
    in_ranges: bool = True
    """Any range of it can be read, and its size is known; else its store gives it as one stream."""
    below: str = ""
    """Its name from the folder or the fixed part of the pattern that it was found by."""

    @property
    def name(self) -> str:
        """Name the file as the user does."""
        return self.given or self.path

    @property
    def tells_version(self) -> bool:
        """Tell whether another content shows in the stamp: a weak tag alone promises no equal bytes."""
        return bool(self.stamp) and (not self.stamp.startswith("W/") or WRITTEN in self.stamp)


class Column(NamedTuple):
    """One input column: the kinds of value seen in it, or the type that is fixed: by the user, a file or a folder."""

    name: str
    kinds: frozenset[str] = frozenset()
    fixed: str = ""
    dates: str = ""
    """The format of its dates, where it is to be read as dates and the format is known."""


class LocalCopy(NamedTuple):
    """A file here with a stretch of an input, decompressed; ``origin`` is where that begins in the input."""

    path: str
    origin: int


class Part(NamedTuple):
    """A stretch of one input file that can be read alone.

    ``start`` and ``stop`` are byte offsets (row offsets for Parquet); ``row`` is the data row of the file it begins
    with and ``rows`` how many it holds. A part with a ``fault`` is a row that cannot be read.
    """

    file: int
    start: int
    stop: int
    row: int
    rows: int
    local_copy: LocalCopy | None = None
    fault: str = ""
