"""The frozen nouns that travel between rooms. Nothing here knows how anything is done."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, NamedTuple, Self

from muster._dialect import Dialect, Reading

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


class Fact(NamedTuple):
    """Something that rows depend on: its name for people, and a value that changes when it does.

    The value can be read where it is a number; text is not shown, as it may be a secret. A ``module`` and a ``name``
    are those of a global that a worker may find otherwise, as it imports the module anew.
    """

    what: str
    value: str
    module: str = ""
    name: str = ""


class Module(NamedTuple):
    """What has to be there for a module to be imported: a file or a package's folder, and where it is looked for."""

    place: str
    root: str


class Global(NamedTuple):
    """A global of a module of the user's, as it is in the caller's process."""

    module: str
    name: str
    pickle: bytes


@dataclass(frozen=True, slots=True)
class Carried:
    """A pickle; its large buffers are left out of it: they lie in a file that all workers of a machine share."""

    pickle: bytes = b""
    large: tuple[Any, ...] = field(default=(), compare=False, repr=False)
    """The large buffers themselves, in the process that has them, until they are laid down in a file."""
    file: str = ""
    """Where there is one, the pickle is at its beginning, too."""
    spans: tuple[tuple[int, int], ...] = ()
    """From which byte of the file to which the pickle lies, and then each buffer."""

    def __reduce__(self) -> tuple[type["Carried"], tuple[object, ...]]:
        """Travel without the large buffers."""
        return Carried, (self.pickle, (), self.file, self.spans)


@dataclass(frozen=True, slots=True, weakref_slot=True)
class Arguments:
    """What a step's function is called with besides the batch, or its class built with: typed, or given in Python."""

    typed: tuple[tuple[str, str], ...] = ()
    """As they stand on a command line."""
    carried: Carried = Carried()
    """A dictionary of those that a caller in Python gave."""
    own: str = ""
    """What they are called in the process that has them itself."""
    values: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)
    """Those given in Python, in that process."""
    facts: tuple[Fact, ...] = field(default=(), compare=False, repr=False)

    def __reduce__(self) -> tuple[type["Arguments"], tuple[object, ...]]:
        """Travel without the values themselves."""
        return Arguments, (self.typed, self.carried, self.own, {}, self.facts)


@dataclass(frozen=True, slots=True, weakref_slot=True)
class Target:
    """Where a step's function is found: a file, a module, or a pickle of the function itself; what is known of it."""

    kind: str
    place: str = ""
    name: str = ""
    carried: Carried = Carried()
    own: str = ""
    """What the target is called in the process that has the function itself."""
    function: Callable[..., Any] | None = field(default=None, compare=False, repr=False)
    """The function itself, in that process."""
    facts: tuple[Fact, ...] = field(default=(), compare=False, repr=False)
    """What the rows of the function depend on, where only the process that has it can tell."""
    arguments: Arguments = Arguments()

    def __reduce__(self) -> tuple[type["Target"], tuple[object, ...]]:
        """Travel without the function itself."""
        return Target, (self.kind, self.place, self.name, self.carried, self.own, None, self.facts, self.arguments)


class Column(NamedTuple):
    """One input column: the kinds of value seen in it, or the type that is fixed: by the user, a file or a folder."""

    name: str
    kinds: frozenset[str] = frozenset()
    fixed: str = ""
    dates: str = ""
    """The format of its dates, where it is to be read as dates and the format is known."""


class Spool(NamedTuple):
    """A file that holds one stretch of a decompressed stream; ``origin`` is where the stretch begins in the stream."""

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
    spool: Spool | None = None
    fault: str = ""


class Schema(NamedTuple):
    """The columns of results, in order, and the kinds that each has in some batch; ``_schema`` says what they mean."""

    columns: tuple[str, ...] = ()
    kinds: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class Task:
    """Consecutive parts ``first`` to ``last`` (exclusive) of one file; of their ``rows`` only ``lo`` to ``hi``.

    A task of several small files is made of ``members``, a task for each file, and is about all of their rows: then
    ``file``, ``start`` and ``row`` are those of the first, and ``stop`` and ``rows`` are as if one file held them all.

    A ``condemned`` task is not run: its rows go to the rejects, for this reason. They are read once more, to tell
    whether that is what no worker survives; then it ``dies_unread``.
    """

    number: int
    first: int
    last: int
    file: int
    start: int
    stop: int
    row: int
    rows: int
    lo: int
    hi: int
    spool: Spool | None = None
    expected: Schema | None = None
    """What is known already of the results of all batches."""
    bad_rows_left: int = 0
    condemned: str = ""
    is_doubted: bool = False
    """No row is known to be good yet: if the function fails on all of these alike, it is the function's fault."""
    dies_unread: bool = False
    members: tuple["Task", ...] = ()

    def again(self, number: int, *, expected: Schema | None, bad_rows_left: int, is_doubted: bool) -> "Task":
        """Make the same task under another number; written out, as it is made for every task there is.

        Each member has a number of its own, counted up from that of the first, which is the task's.
        """
        return Task(
            number,
            self.first,
            self.last,
            self.file,
            self.start,
            self.stop,
            self.row,
            self.rows,
            self.lo,
            self.hi,
            self.spool,
            expected,
            bad_rows_left,
            self.condemned,
            is_doubted,
            self.dies_unread,
            tuple(
                member.again(number + at, expected=expected, bad_rows_left=bad_rows_left, is_doubted=is_doubted)
                for at, member in enumerate(self.members)
            ),
        )

    @property
    def is_whole(self) -> bool:
        """Tell whether the task is about all rows of its parts."""
        return (self.lo, self.hi) == (self.row, self.row + self.rows)

    @property
    def reaches_end(self) -> bool:
        """Tell whether the task's last row is the last one of its parts."""
        return self.hi == self.row + self.rows


@dataclass(frozen=True, slots=True)
class Place:
    """Where a piece lies: a file, named from the work folder, and an offset in it."""

    file: str
    offset: int


@dataclass(frozen=True, slots=True)
class Piece:
    """What a task wrote: its name, its size and CRC-32, and how many rows it holds.

    It is a file of that name among the parts in the work folder, unless it lies in a ``place`` in another.
    """

    name: str
    bytes: int
    crc: int
    rows: int
    place: Place | None = None
    stamp: str = ""
    """What the store says of the content, where a worker put it into one."""


@dataclass(frozen=True, slots=True)
class Seconds:
    """Where a task's time went, in seconds: reading and converting, in the user's function, writing.

    ``transfer`` is what rows cost the worker that travel between machines, ``total`` its wall time, and ``waiting`` how
    long it had had nothing to do before. ``sorting`` went into finding the bad rows of batches that the function could
    not take, without its calls; ``lost`` into tries that ended with their worker: crashes, and calls over their limit.
    ``failed`` is what of ``function`` went into calls that raised.
    """

    read: float = 0.0
    function: float = 0.0
    write: float = 0.0
    total: float = 0.0
    transfer: float = 0.0
    waiting: float = 0.0
    sorting: float = 0.0
    lost: float = 0.0
    failed: float = 0.0

    def __add__(self, other: "Seconds") -> "Seconds":
        """Add up two tasks."""
        return Seconds(
            self.read + other.read,
            self.function + other.function,
            self.write + other.write,
            self.total + other.total,
            self.transfer + other.transfer,
            self.waiting + other.waiting,
            self.sorting + other.sorting,
            self.lost + other.lost,
            self.failed + other.failed,
        )


class StepMeasure(NamedTuple):
    """What a step did in a task: rows that it took and gave, calls, and seconds in them.

    ``bins`` count how many calls took how long; ``_measures`` tells how wide they are.
    """

    rows_in: int
    rows_out: int
    batches: int
    seconds: float
    bins: Mapping[int, int]


class Load(NamedTuple):
    """How loaded a machine is: the share of its processor that is busy, 0 to 1; its cores; bytes of memory and disk."""

    cpu: float
    cores: int
    memory: int
    memory_total: int
    disk_free: int


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


class Reason(NamedTuple):
    """Why rows were rejected: the step, the error without what differs from row to row, how many, and one in full."""

    step: str
    error: str
    rows: int
    example: str


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


LACKED = -2


class DataFile(NamedTuple):
    """A file that the user's code read: its size, when it was written, in nanoseconds, and a digest unless it is large.

    One that was looked for in vain has the size -1. One that was not there, and may have been made since then, has the
    size :data:`LACKED`: home says whether it has it, and no run depends on it further.
    """

    path: str
    size: int = -1
    modified: int = 0
    digest: str = ""


class Code(NamedTuple):
    """The user's code as it was when a run began: its files, and each fact of what it does, with its value."""

    files: tuple[DataFile, ...] = ()
    facts: frozenset[tuple[str, str]] = frozenset()


@dataclass(frozen=True, slots=True)
class Warned:
    """A warning of the user's code, with its category and line, and how often it was raised."""

    text: str
    count: int


@dataclass(frozen=True, slots=True)
class Outcome:
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
    seconds: Seconds = Seconds()
    first_error: str = ""
    steps: tuple[StepMeasure, ...] = ()
    reasons: tuple[Reason, ...] = ()
    cpu: float = 0.0
    """Seconds of the processor that the task took."""
    memory: int = 0
    """Bytes that the worker holds."""
    load: Load | None = None
    """How loaded the machine is, told now and then."""
    misfits: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """Columns whose values did not fit the inferred type, with the kinds that were seen; then nothing was written."""
    fault: Fault | None = None
    """Why not a row is done, and none is rejected either: it seems to be the function's fault."""
    read_files: tuple[DataFile, ...] = ()
    """Files that the user's code in this worker has read, and of which it has not told yet."""
    written_files: tuple[str, ...] = ()
    """Files that it has written, likewise."""
    warned: tuple[Warned, ...] = ()
    """Warnings that it has raised, likewise."""
    index: str = ""
    """The names of an index of its results, which is not written."""


@dataclass(frozen=True, slots=True)
class Outcomes:
    """What a task of several files gave back: outcomes in order, of one or more files each."""

    each: tuple[Outcome, ...]

    def with_first(self, **fields: Any) -> "Outcomes":  # noqa: ANN401 (of an outcome)
        """Say of the first what is so of all of them together."""
        return Outcomes((replace(self.each[0], **fields), *self.each[1:]))


@dataclass(frozen=True, slots=True)
class Briefing:
    """What a worker must know for every task of a run; replaced as a whole when the schema is widened."""

    sources: tuple[Source, ...]
    dialect: Dialect
    steps: tuple[Target, ...]
    format: str
    folder: str
    staging: str = ""
    """The URL of a folder where workers put rows themselves, where they do."""
    delimiter: str = ","
    columns: tuple[Column, ...] = ()
    orders: tuple[tuple[str, ...], ...] = ()
    """Each CSV file's own columns, in their order."""
    agreed: bytes = b""
    """What Parquet files together are read as; see ``_formats/_agreed``."""
    batch_rows: int | None = None
    timeout: float | None = None
    reading: Reading = field(default_factory=Reading)
    packages: Mapping[str, str] = field(default_factory=dict)
    """What the steps import, with the versions here, where a machine may have others."""
    modules: tuple[Module, ...] = ()
    """What they import of the user's own, likewise."""
    state: tuple[Global, ...] = ()
    """What the caller's program has set in modules that workers import anew."""
    calls_per_worker: int | None = None
    """After how many calls of the function a fresh worker takes the place of one."""
    code: Code = field(default_factory=Code)
    """What workers that load the steps later must find there, too; nothing where changes are accepted."""
