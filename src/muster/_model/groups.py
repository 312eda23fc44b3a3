"""Rows that are grouped by a key: how the user wants it, and what workers must know of rows between two stages."""

from collections.abc import Sequence
from enum import IntEnum
from typing import Any, Final, NamedTuple

from .aggregates import Measure
from .inputs import Column
from .steps import Target
from .stored_states import StoredStates
from .tasks import Schema
from .windows import Window

LANES: Final = 256
"""How many fixed shares there are of all keys. The lane of a key is the first byte of its hash."""

_HASH_BITS: Final = 56
"""How many bits of a hash are behind those that say its lane."""


class StageKind(IntEnum):
    """What tasks of a stage read: rows of the input, the rows of lanes, results that they put in order.

    What they do with rows of the input, and with results, is the same: they call steps, if there are any, and send what
    these give to lanes, or write it to the output.
    """

    SPLITTING = 0
    GROUPING = 1
    ORDERING = 2

    @classmethod
    def of(cls, number: int) -> "StageKind":
        """Tell the kind of a stage by its number: behind the first, lanes are read, then put in order, and so on."""
        return cls.SPLITTING if number == 0 else cls.GROUPING if number % 2 else cls.ORDERING


NO_FILE: Final = 1 << 30
"""The file of parts that are of no file of the input."""


PLACES_TOGETHER: Final = 1024
"""How many places of the output are counted together, where each row has one of its own."""


class Grouping(NamedTuple):
    """What rows are grouped by."""

    columns: tuple[str, ...]
    is_scalar: bool = False
    """A key is a value by itself, not a tuple: the user gave one name, and no list of names."""
    dropna: bool = True
    sort: bool = False
    """Groups come in the order of their keys, as pandas sorts these; else in that of their first rows."""
    measures: tuple[Measure, ...] = ()
    """What is worked out of each group from parts of it, where no function is called with all its rows."""
    made: tuple[str, ...] = ()
    """Those of the columns that the user's functions have made of the rows: no step behind the exchange sees them."""
    window: Window | None = None
    """What the step right before has cut rows into: some columns of the key say which window a row is in."""

    @property
    def named(self) -> tuple[str, ...]:
        """Name the columns of the key as an output does: what a function has made is called as the function is."""
        return tuple(name.removesuffix("()") if name in self.made else name for name in self.columns)

    @property
    def goes_by_times(self) -> bool:
        """Tell whether a column of the rows says which window a row is in."""
        return self.window is not None and bool(self.window.time)

    @property
    def has_own(self) -> bool:
        """Tell whether a measure is an aggregation of the user's own."""
        return any(not one.how for one in self.measures)

    def said(self) -> list[Any]:
        """Write it as JSON, as a journal keeps it."""
        measures = self.measures or (self.window.measures if self.window is not None else ())
        said = [list(self.columns), self.is_scalar, self.dropna, *([self.sort] if self.sort or measures else [])]
        return [*said, [measure.said() for measure in measures]] if measures else said


class Keyed(NamedTuple):
    """Says that rows come to a step by their keys; the step is the one of this number."""

    at: int
    by: Grouping
    has_state: bool = False
    """The step gets the rows of a lane and the states of their keys; else it is called with each group."""

    def said(self) -> list[Any]:
        """Write it as JSON, as a journal keeps it."""
        return [self.at, *self.by.said(), *(["state"] if self.has_state else [])]


def keyed_as_said(said: Sequence[Any]) -> Keyed:
    """Read what ``Keyed.said`` wrote of groups that a function is called with; of others much more is to be known."""
    at, columns, is_scalar, dropna, *rest = said
    return Keyed(at, Grouping(tuple(columns), is_scalar, dropna, sort=bool(rest) and rest[0]))


class StepChain(NamedTuple):
    """Steps of which each gets what the one before it gave. Where rows come by keys, they come to the first step."""

    steps: tuple[Target, ...]
    keyed: Keyed | None = None


def chains_of(steps: tuple[Target, ...], exchanges: tuple[Keyed, ...]) -> tuple[StepChain, ...]:
    """Cut steps into chains: before each that rows come to by their keys."""
    borders = [*(one.at for one in exchanges), len(steps)]
    first = StepChain(steps[: borders[0]])
    later = zip(exchanges, borders, borders[1:], strict=False)
    return (first, *(StepChain(steps[lo:hi], one) for one, lo, hi in later))


class StageDone(NamedTuple):
    """What a stage of a run came to, for those who look at it."""

    number: int
    """Counted from 1."""
    stages: int
    """How many there are."""
    does: str
    """What it does, in a few words."""
    rows_in: int
    rows_out: int
    bytes: int = 0
    """Of what it gave, as it lies on disk: rows for the next stage, or the output's pieces."""
    lanes: int = 0
    """How many lanes have rows, where it reads lanes."""
    largest: int = 0
    """The rows of the largest lane."""
    median: int = 0
    """Those of the lane in the middle, by size."""

    @property
    def skew(self) -> float | None:
        """Tell how many times as large as the median the largest lane is; ``None`` where no lanes are read."""
        return self.largest / self.median if self.median else None


class Block(NamedTuple):
    """The handle of rows between two stages: the file that they lie in.

    ``base`` is how many rows there are before those which the numbers of its rows count from: of the files before its
    own, or of what steps gave before.
    """

    path: str
    base: int = 0
    name: str = ""
    """That of their file, as the user gave it; empty where a step has made them."""


class Gap(NamedTuple):
    """Where a group is missing that failed: before this ``row`` of the output. Its place and hash say which it is."""

    place: int
    hash: int
    row: int


class LaneShare(NamedTuple):
    """What a part is that is read from a lane: the keys whose hash is from ``lo`` to ``hi``, which is among them."""

    lane: int
    lo: int
    hi: int

    @classmethod
    def of(cls, lane: int) -> "LaneShare":
        """Take a whole lane."""
        return cls(lane, lane << _HASH_BITS, ((lane + 1) << _HASH_BITS) - 1)


class PlaceRange(NamedTuple):
    """What a part is whose results are put in order: those of groups whose place is from ``lo`` to ``hi``, inclusive.

    ``skip`` is how many rows of the first place are of the part before.
    """

    skip: int
    lo: int
    hi: int


class Exchange(NamedTuple):
    """What a worker must know of rows that go from stage to stage."""

    grouping: Grouping
    """By which rows are read, or else sent on."""
    does: StageKind = StageKind.SPLITTING
    stored: StoredStates | None = None
    """Where the step that reads lanes keeps a state for each key: what earlier epochs of a stream have left."""
    goes_on: bool = True
    """Whether what tasks give is read by other steps; else it is, or becomes, the output.

    What is read by other steps stays on machines that do not see this computer's files. All else comes home.
    """
    begins_own: bool = False
    """Whether tasks that read the input begin the user's own aggregations, which the one step of the briefing holds."""
    blocks: tuple[Block, ...] = ()
    """What is read: in the order of the input, or of lanes."""
    shares: tuple[LaneShare, ...] = ()
    """Of each part, where lanes are read."""
    places: tuple[PlaceRange, ...] = ()
    """Of each part, where results are put in order."""
    schema: Schema | None = None
    """That of all results, where they are put in order."""
    agreed: bytes = b""
    """Arrow's schema of what is read, where steps have made it for other steps."""
    before: int = 0
    """How many steps of the job stand before those of the stage."""
    steps: tuple[Target, ...] = ()
    """All steps of the job: an output without rows has the columns that they give for none."""
    columns: tuple[Column, ...] = ()
    """Those of the input."""
    excerpt: str = ""
    """The file that has the rows of a task, where blocks lie on other machines."""
    ranks: str = ""
    """The block that says the rank of each group among the sorted keys, where results are put in their order."""
    only: tuple[int, ...] = ()
    """Hashes of keys, where only their rows are sent on; else all are."""
    gaps: tuple[Gap, ...] = ()
    """Where groups are missing among the results that are put in order."""

    @property
    def has_state(self) -> bool:
        """Tell whether the step that reads lanes keeps states."""
        return self.stored is not None

    @property
    def paths(self) -> tuple[str, ...]:
        """Name the files that the rows of a task are read from."""
        return (self.excerpt,) if self.excerpt else tuple(block.path for block in self.blocks)

    @property
    def gives_blocks(self) -> bool:
        """Tell whether what tasks give is read in part by each task of the stage behind; else it is of the output."""
        return self.goes_on or self.does is StageKind.GROUPING
