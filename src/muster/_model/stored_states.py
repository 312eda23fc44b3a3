"""Where the states lie that the keys of a stream had after the epoch before."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from .windows import NO_TIME, WindowClock

_MOST_RECORDS: Final = 16
"""How many records of changes a lane has, and up to twice as many: so its states are read in so many pieces.

Lanes differ in it, so that not all of them are written whole in one epoch. Not measured.
"""


class LaneRecords(NamedTuple):
    """The records of a lane in the log: offset and bytes of each; the first says all, others what changed."""

    mark: str
    """What the last one is known by: who has the states that it led to need not read them."""
    spans: tuple[tuple[int, int], ...]

    @property
    def bytes(self) -> int:
        """Add up the bytes of the records."""
        return sum(count for _, count in self.spans)

    def is_due(self, lane: int) -> bool:
        """Tell whether the next record should say all again, as the changes have become many."""
        changes = self.spans[1:]
        return len(changes) >= _MOST_RECORDS + lane % _MOST_RECORDS or self.bytes > 2 * self.spans[0][1]


@dataclass(frozen=True, slots=True)
class StoredStates:
    """What workers must know of the states that earlier epochs have left, for one stage of the stream."""

    path: str = ""
    """The log; none where states begin with each lane, as all of its rows are there."""
    stage: int = 0
    lanes: Mapping[int, LaneRecords] = field(default_factory=dict)
    """Those that have had rows."""
    ends: bool = False
    """Whether the stream ends with this epoch: then ``at_end`` is called."""
    clock: WindowClock = NO_TIME
    """What time it is for the windows of a step."""
