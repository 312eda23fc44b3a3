"""What the rows of a key are cut into: windows of a length of time, of a number of rows, or sessions."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from .aggregates import Measure

WINDOW_START: Final = "window_start"
WINDOW_END: Final = "window_end"
WINDOW: Final = "window"
"""The columns that say which window a row is in: by its time, or by how many rows of its key are before it."""

NEVER: Final = -(1 << 60)
"""Before every time, in microseconds."""

FOR_EVER: Final = 1 << 60
"""Behind every time, likewise."""


class Window(NamedTuple):
    """What ``window`` was told; lengths of time are in microseconds, and 0 where there is none."""

    size: int = 0
    every: int = 0
    """How long after a window the next one begins; as long as ``size``, if windows do not overlap."""
    rows: int = 0
    session: int = 0
    """How long nothing comes between two sessions, at least."""
    time: str = ""
    """The column that has the time of each row; none where it is when the row has come."""
    lateness: int = 0
    """How long after a row a row that is older may come."""
    late: str = "drop"
    """What becomes of rows whose windows are closed."""
    idle: int = 0
    """After how long without a row windows close, which nothing that comes has closed."""
    measures: tuple[Measure, ...] = ()
    """What is worked out of the rows of a key and a window by the step itself that keeps windows open."""

    @property
    def columns(self) -> tuple[str, ...]:
        """Name the columns that say which window a row is in."""
        return (WINDOW,) if self.rows else (WINDOW_START, WINDOW_END)


class WindowClock(NamedTuple):
    """What a step that keeps windows of a stream has to know of the time; all in microseconds since 1970."""

    watermark: int = NEVER
    """Windows that end here, or earlier, are closed."""
    now: int = 0
    """When the rows of the epoch have come."""
    ahead: int = 0
    """How far the clock on the wall is ahead of that, where times have no zone."""
    closes: bool = False
    """Whether windows are to be closed that are due."""


NO_TIME: Final = WindowClock()
"""The clock of steps that keep no windows."""


@dataclass(frozen=True, slots=True)
class WindowsSeen:
    """What a task has seen of the windows of a stage."""

    stage: int
    latest: int = NEVER
    """The latest time of a row that is not in the future."""
    late_rows: int = 0
    due: Mapping[int, int] = field(default_factory=dict)
    """When the first window of a lane ends that is open."""


class WindowsDone(NamedTuple):
    """How far a stream has come, for the windows of a stage: so they go on after a restart."""

    watermark: int = NEVER
    latest: int = NEVER
    came_at: int = 0
    """When the last rows have come."""
    late_rows: int = 0
    by_source: tuple[tuple[int, int], ...] = ()
    """The latest time of the rows of each source that has given some, where there are several."""
