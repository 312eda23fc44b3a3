"""What a journal tells: the vocabulary of events, a class for each kind. ``coding`` writes and reads their lines."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from muster._model import (
    Column,
    DataFile,
    Gap,
    LaneShare,
    Outcome,
    Part,
    PlaceRange,
    Position,
    Schema,
    StageDone,
    Stretch,
    WindowsDone,
)
from muster._planner import Plan
from muster.errors import UsageError

Fields = dict[str, Any]
"""An object of JSON."""

FORMAT: Final = 3
"""The format that is written. A change that an earlier muster would read wrongly makes it one more.

Since 2 a task may be of several files, and parts of streams grow with what was read. Since 3 a schema is told once, and
tasks name it by a number.

A run that goes on in a later format than that of its journal says ``Started`` once more, with the later one. From then
on a muster that does not read that format refuses the journal in words, instead of reading it wrongly.
"""

NOTHING: Final[Mapping[Any, Any]] = MappingProxyType({})


class UnreadableError(UsageError, ValueError):
    """Raised where a journal was written by a version of muster that has another format, or is damaged."""

    kind = "of another version of muster"
    cure = "Look at the run with that version."

    def __init__(self, why: str) -> None:
        """Say why it cannot be read, and what to do about it."""
        super().__init__(f"A run's journal is {self.kind}: {why}. {self.cure}")
        self.why = why


class DamagedError(UnreadableError):
    """Raised where a journal lacks a line that a later one needs, whatever version wrote it."""

    kind = "damaged"
    cure = "No version of muster can read it; muster runs lists the other runs."


# The run


class Started(NamedTuple):
    """A run began: the first line. ``job`` is the fingerprint of what its rows depend on, ``asked`` what was typed.

    It comes again where a later version of muster goes on with the run: see ``FORMAT``.
    """

    run: str
    job: Fields
    asked: Mapping[str, Any] = NOTHING
    format: int = 1
    """It is said in any case; journals that do not say it are of the first format."""


class TryStarted(NamedTuple):
    """A process set to work on a run; ``born`` is when it began, which names it for good together with ``pid``."""

    number: int
    pid: int
    workers: int
    born: str | None = None
    engine: str = "cores"
    cluster: str | None = None
    prices: Mapping[str, float | None] = NOTHING
    """Dollars an hour, by machine; ``None`` where nobody knows."""
    one_computer: bool = False
    """Whether all machines are the computer that it was started on."""


class Phase(NamedTuple):
    """What a run does from now on, in words."""

    phase: str


class Accepted(NamedTuple):
    """A run goes on although something had changed: in words, and the data files among it."""

    changes: Sequence[str]
    files: Sequence[str]
    job: Fields


class Stopped(NamedTuple):
    """An attempt ended before the run was done; ``unkept`` bad rows are of the outcome that stopped it."""

    error: str
    message: str
    unkept: int | None = None
    reasons: Sequence[Sequence[Any]] = ()


class Finished(NamedTuple):
    """A run is done; ``result`` are the fields of ``--json``, the others fingerprints of what then stood there."""

    result: Fields
    published: str = ""
    standing: str | None = None
    standing_rejects: str | None = None


# The input


class Surveyed(NamedTuple):
    """The parts of the input, and the columns that a first look found."""

    parts: Sequence[Part]
    orders: Sequence[Sequence[str]]
    columns: Sequence[Column]
    agreed: bytes = b""
    starts: Mapping[int, Any] = NOTHING
    digests: Mapping[int, int] = NOTHING
    """Of files whose stamps tell nothing."""


class Settled(NamedTuple):
    """The types of the columns, from now on, and by what they were settled. Rows that were done before do not count."""

    columns: Sequence[Column]
    by: str = ""


class Read(NamedTuple):
    """The user's code read a file."""

    file: DataFile


class Wrote(NamedTuple):
    """The user's code wrote a file, which is not compared any more."""

    path: str


# Rows


class Shaped(NamedTuple):
    """What results look like: told once, as tasks may be many and columns, too. A task that is done says the number.

    A later schema of the same number takes the place of an earlier one: each attempt counts from 0.
    """

    number: int
    schema: Schema


class Kept(NamedTuple):
    """A task is done, and its rows count."""

    outcome: Outcome
    worker: str = ""


class Dropped(NamedTuple):
    """Rows that were done do not count any more: an outcome, or all that were joined into it."""

    first: int
    last: int
    lo: int


class Exchanged(NamedTuple):
    """All rows of a stage lie in blocks; ``parts`` and ``shares`` are those of the stage behind it."""

    stage: int
    parts: Sequence[Part]
    shares: Sequence[LaneShare | PlaceRange]
    schema: Schema | None = None
    """That of all results, where they are put in order next."""
    columns: Sequence[Column] = ()
    """Those of the rows that lie in blocks, where steps have made them."""
    agreed: bytes = b""
    """Arrow's schema of them."""
    gaps: Sequence[Gap] = ()
    """Where groups are missing that failed, in the order of the output."""
    looks: Sequence[tuple[Schema, int]] = ()
    """Where some failed: what results look like, and the first row of the output that does."""


class KeptLater(NamedTuple):
    """A task of a stage behind the first is done."""

    stage: int
    outcome: Outcome
    worker: str = ""


class DroppedLater(NamedTuple):
    """Rows of a stage behind the first that were done do not count any more, as with ``Dropped``."""

    stage: int
    first: int
    last: int
    lo: int


class Moved(NamedTuple):
    """A piece lies in another file now, from an offset on."""

    name: str
    file: str
    offset: int


class Regrown(NamedTuple):
    """What lay in a file, up to ``size``, lies now at the same offsets in another one.

    Early versions alone have written this; it is read, so that their unfinished runs go on.
    """

    before: str
    file: str
    size: int


class OutputLayout(NamedTuple):
    """How the output is laid that is about to become visible: of each file, how many pieces, and how many bytes."""

    volumes: Sequence[tuple[int, int]]
    schemas: Sequence[bytes] = ()
    """Of Parquet: the schemas of pieces in Arrow's form."""
    of_pieces: Sequence[int] = ()
    """Which of the schemas each piece has."""
    bytes: int = 0
    """Of a file that grew in place, and has no volumes."""


class EarlierRowsTaken(NamedTuple):
    """A retry has taken over all rows of the output that it mends."""


class Standing(NamedTuple):
    """The fingerprint of an output that a retry may replace."""

    output: str


# Streams


class EpochBegan(NamedTuple):
    """An epoch of a stream begins: its rows are those of these stretches, whatever happens."""

    number: int
    stretches: Sequence[Stretch]


class Totals(NamedTuple):
    """What a stream came to so far."""

    epochs: int = 0
    parts: int = 0
    rows_in: int = 0
    rows_out: int = 0
    bad_rows: int = 0


class StatesDone(NamedTuple):
    """The states of a stream after an epoch: the log that they lie in, and how many bytes of it count."""

    log: str
    size: int
    given: Sequence[int] = ()
    """How many rows each stage has given so far, but for the last: those that come next are numbered on."""
    is_end: bool = False
    """Whether ``at_end`` was called behind the last row."""
    seen: Mapping[int, bytes] = NOTHING
    """What the rows between stages looked like so far, by the stage that reads them; of an epoch, what is new."""
    windows: Mapping[int, WindowsDone] = NOTHING
    """How far the stream has come, for the windows of each stage that keeps some."""


class Committed(NamedTuple):
    """An epoch is done for good. Its ``part`` is in its place, or lies ready for that; without rows it has none."""

    number: int
    positions: Sequence[Position]
    """Of the files whose rows it has; where a journal is written anew, of all."""
    totals: Totals
    part: str = ""
    rows_out: int = 0
    agreed: bytes = b""
    """That of parts of Parquet, in Arrow's form, where it was settled by this epoch."""
    bytes: int = 0
    """Of the part."""
    sha256: str = ""
    rejects_at: int = 0
    """Where in the file of rejected rows its own begin."""
    manifest_at: int = 0
    """Where in the manifest its line begins."""
    schema: Schema | None = None
    """That of all results so far, where it is another than before."""
    states: StatesDone | None = None
    """Where steps keep states."""


class Streamed(NamedTuple):
    """How a stream stands, as ``StreamLag`` tells it; and how long rows took until they were committed.

    ``waited`` counts the rows of this attempt by the time from when they came, in bins as of ``measures``.
    """

    epochs: int
    bytes: int = 0
    rows: int | None = 0
    seconds: float = 0.0
    committed_at: float | None = None
    keys: int | None = None
    state_bytes: int | None = None
    waited: Sequence[Sequence[int]] = ()
    waited_seconds: float = 0.0
    """Those of all these rows, added up."""
    watermark: int | None = None
    late_rows: int = 0
    skipped_rows: int = 0
    sinks: Sequence[Sequence[Any]] = ()
    """Of each: its name, the rows that it has not acknowledged, for how long, and why it is away."""
    sources: Sequence[Sequence[Any]] = ()
    """Of each, where there are several: what ``SourceLag`` has."""


class FilesMoved(NamedTuple):
    """Files that a stream has read have other names from now on, or copies have taken their place."""

    positions: Sequence[Position]
    gone: Sequence[tuple[int, int]] = ()
    """Devices and inodes of those that are there no more, or whose copies are read, and whose rows are all done."""


# Workers


class WorkerJoined(NamedTuple):
    """A worker is there."""

    worker: str
    machine: str


class WorkerLeft(NamedTuple):
    """A worker is gone."""

    worker: str
    reason: str


class UserTold(NamedTuple):
    """Something that the user should know."""

    text: str


class Retried(NamedTuple):
    """A task was not finished; where that is known, by which worker, after how many seconds, and which rows it has."""

    reason: str
    worker: str | None = None
    seconds: float = 0.0
    file: str = ""
    row: int | None = None
    rows: int = 0


class Renewed(NamedTuple):
    """The leases of machines were renewed, for so many seconds; ``prices`` are of those that came later."""

    machines: Sequence[str]
    lease: float
    prices: Mapping[str, float | None] = NOTHING


class Measured(NamedTuple):
    """How far the run is, and what workers did in the last ``span`` seconds, as ``measures`` writes and adds it up."""

    span: float
    rows_done: int
    rows_total: int | None
    bad_rows: int
    running: int
    waiting_for: str
    workers: Mapping[str, list[Any]]
    machines: Mapping[str, Sequence[Any]]
    reasons: Sequence[Sequence[Any]]
    rows_out: int | None = None
    rows_per_second: float | None = None
    seconds_left: Sequence[float] | None = None
    held: Any = None
    at_work: Mapping[str, float] = NOTHING


class Other(NamedTuple):
    """An event of a kind that this version does not know, or that the reader left out: it changes nothing."""


Event = (
    Started
    | TryStarted
    | Phase
    | Accepted
    | Stopped
    | Finished
    | Surveyed
    | Settled
    | Read
    | Wrote
    | Shaped
    | Kept
    | Dropped
    | Exchanged
    | KeptLater
    | DroppedLater
    | StageDone
    | Moved
    | Regrown
    | EpochBegan
    | Committed
    | FilesMoved
    | Streamed
    | OutputLayout
    | EarlierRowsTaken
    | Standing
    | WorkerJoined
    | WorkerLeft
    | UserTold
    | Retried
    | Renewed
    | Measured
    | Plan
    | Other
)

OF_KIND: Final[Mapping[str, type[Event]]] = {
    "started": Started,
    "attempt": TryStarted,
    "phase": Phase,
    "accepted": Accepted,
    "stopped": Stopped,
    "finished": Finished,
    "surveyed": Surveyed,
    "settled": Settled,
    "read": Read,
    "wrote": Wrote,
    "shaped": Shaped,
    "kept": Kept,
    "dropped": Dropped,
    "exchanged": Exchanged,
    "kept later": KeptLater,
    "dropped later": DroppedLater,
    "stage done": StageDone,
    "moved": Moved,
    "regrown": Regrown,
    "laid": OutputLayout,
    "epoch began": EpochBegan,
    "committed": Committed,
    "files moved": FilesMoved,
    "streamed": Streamed,
    "laid out": EarlierRowsTaken,
    "standing": Standing,
    "joined": WorkerJoined,
    "left": WorkerLeft,
    "told": UserTold,
    "retried": Retried,
    "renewed": Renewed,
    "measured": Measured,
    "planned": Plan,
}
KIND_OF: Final[Mapping[type[Event], str]] = {of: kind for kind, of in OF_KIND.items()}

ONLY_TO_RETRY: Final[frozenset[type[Event]]] = frozenset(
    {Surveyed, Shaped, Kept, Dropped, Exchanged, KeptLater, DroppedLater, OutputLayout}
)
"""What tells where rows lie in an output; a finished run with rejects is kept with it, as they may be mended."""

ONLY_TO_RESUME: Final = ONLY_TO_RETRY | {*(Moved, Regrown, Read, Wrote, EarlierRowsTaken, Standing)}
"""What tells where rows lie, an event for each task: nobody looks at it."""
