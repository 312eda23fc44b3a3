"""What became of a task: its rows accounted for, why some are missing, what is to be told of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from .code import DataFile
from .measures import Load, Seconds, StepMeasure
from .pieces import Piece, Span
from .tasks import Schema, Task
from .windows import WindowsSeen

_NO_TIME: Final = Seconds()
_NO_MISFITS: Final[Mapping[str, frozenset[str]]] = {}


class Reason(NamedTuple):
    """Why rows were rejected: the step, the error without what differs from row to row, how many, and one in full."""

    step: str
    error: str
    rows: int
    example: str


class FailedGroup(NamedTuple):
    """A group that the function failed on: its place, that of its first row in all that is read, and its key's hash."""

    place: int
    hash: int


class Fault(NamedTuple):
    """How a function failed on a task's rows: on all that were tried, in the same way.

    ``sort`` is what two such failures have in common: the step, the kind of error, its line, and its text without what
    differs from row to row.
    """

    step: str
    sort: tuple[str, ...]
    error: str
    traceback: str
    cure: str
    rows: int
    """How many were tried, each by itself."""
    fewest: int = 1
    """How many must have failed before the function is to blame."""
    is_of_batches: bool = False
    """The function fails on batches of several rows, and succeeds on each row alone."""


@dataclass(frozen=True, slots=True)
class Warned:
    """A warning of the user's code, with its category and line, and how often it was raised."""

    text: str
    count: int


class Outcome(NamedTuple):
    """What a task gave back: its rows accounted for, its pieces, and what its output looked like."""

    task: Task
    rows_in: int
    rows_out: int
    output: Piece | None = None
    rejects: Piece | None = None
    bad_rows: int = 0
    schema: Schema | None = None
    """What the results of its own batches look like, whatever others do."""
    written: Schema | None = None
    """Under which schema its rows were written, where that is more than its own."""
    spans: tuple[Span, ...] = ()
    """Where a task has bad rows: its other rows, so that those can be put in between later."""
    seconds: Seconds = _NO_TIME
    first_error: str = ""
    steps: tuple[StepMeasure, ...] = ()
    reasons: tuple[Reason, ...] = ()
    cpu: float = 0.0
    """Seconds of the processor that the task took."""
    memory: int = 0
    """Bytes that the worker holds."""
    load: Load | None = None
    """How loaded the machine is, told now and then."""
    misfits: Mapping[str, frozenset[str]] = _NO_MISFITS
    """Columns whose values did not fit the inferred type, with the kinds that were seen; then nothing was written."""
    fault: Fault | None = None
    """Why not a row is done, and none is rejected either: it seems to be the function's fault."""
    read_files: tuple[DataFile, ...] = ()
    """Files that the user's code in this worker has read, and of which it has not told yet."""
    written_files: tuple[str, ...] = ()
    """Files that it has written, likewise."""
    warned: tuple[Warned, ...] = ()
    """Warnings that it has raised, likewise."""
    index_names: str = ""
    """The names of an index of its results, which is not written."""
    owes_end: bool = False
    """The task was a piece of a lane, and the step has something to do at the end of one: that is not done, and nothing
    is written, as the lane is to be done once more as a whole."""
    states: Piece | None = None
    """Records of what has become of states, in a stream."""
    windows: WindowsSeen | None = None
    """What it has seen of the windows of a stream."""
    failed: tuple[FailedGroup, ...] = ()
    """The groups whose rows were rejected."""


@dataclass(frozen=True, slots=True)
class Outcomes:
    """What a task of several files gave back: outcomes in order, of one or more files each."""

    each: tuple[Outcome, ...]

    def with_first(self, **fields: Any) -> "Outcomes":  # noqa: ANN401 (of an outcome)
        """Say of the first what is so of all of them together."""
        return Outcomes((self.each[0]._replace(**fields), *self.each[1:]))
