"""What a user asks for and is told: the nouns of a job, of how far it is, and of what comes of it."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from muster._dialect import Dialect, Reading
from muster._model import Target


@dataclass(frozen=True, slots=True)
class Options:
    """What a user may choose about a run.

    ``format`` counts where a suffix says nothing; ``input_format`` and ``output_format`` count in any case.
    """

    workers: int | None = None
    batch_rows: int | None = None
    dtype: str | Mapping[str, str] | None = None
    max_bad_rows: int | float | str | None = None
    strict: bool = False
    fresh: bool = False
    accept_changes: bool = False
    timeout: float | None = None
    format: str | None = None
    input_format: str | None = None
    output_format: str | None = None
    dialect: Dialect = field(default_factory=Dialect)
    reading: Reading = field(default_factory=Reading)
    part_bytes: int | None = None
    limit: int | None = None
    sample: int | None = None
    cluster: str | None = None
    machines: int | None = None
    on: str | None = None
    env: Sequence[str] = ()
    with_files: Sequence[str] = ()
    """Files and folders that the function reads: they go along to machines, and a resume compares them."""
    storage_options: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """What stores are opened with, some of it secret: it is written nowhere."""


@dataclass(frozen=True, slots=True)
class Job:
    """What the user asked for: steps, inputs, output, options."""

    steps: tuple[Target, ...]
    inputs: tuple[str, ...]
    output: str
    options: Options = Options()


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a run over the whole input would take, from some of its rows; ranges are at the least and at the most."""

    rows: int
    """How many the input has, exactly."""
    seconds: tuple[float, float]
    rows_out: tuple[int, int]
    bad_rows: tuple[int, int]
    bytes: tuple[int, int]
    """Of the output."""
    workers: int
    sampled: int
    """From how many rows this is known."""
    is_spread: bool
    """Whether these were spread over the input; else they were its first ones."""


@dataclass(frozen=True, slots=True)
class Result:
    """What a finished run amounts to; the fields of ``--json``, in its order."""

    rows_in: int
    """Rows of the inputs."""
    rows_out: int
    """Rows of the output."""
    bad_rows: int
    """Rows in the rejects. The function dropped what is in neither."""
    parts: int
    """Pieces that the inputs were cut into."""
    resumed_parts: int
    """How many of them an earlier attempt had done."""
    workers: int
    """Processes that worked on it."""
    machines: int
    """Computers that they were on."""
    seconds: float
    """How long the attempt took that finished."""
    rows_per_second: float
    """Of the attempt that finished: rows that an earlier one had done are left out."""
    output: str
    """Path or URL."""
    rejects: str | None
    """Path or URL of ``OUTPUT.rejects.jsonl``; ``None`` if no row is bad."""
    cost: float
    """Dollars, if the file of hosts says what they cost."""
    estimate: Estimate | None = None
    """What all rows would take, where only some were done."""

    def as_fields(self) -> dict[str, Any]:
        """Write it as an object of JSON; without an estimate where there is none."""
        fields = asdict(self)
        return fields if self.estimate else {name: value for name, value in fields.items() if name != "estimate"}


@dataclass(frozen=True, slots=True)
class MachinePace:
    """What a machine does just now: its workers, rows per second, and the share of its workers' time with tasks."""

    machine: str
    workers: int
    rows_per_second: float
    busy: float


@dataclass(frozen=True, slots=True)
class Snapshot:
    """How far a run is, for those who watch it."""

    phase: str
    """What it is doing, in a word or two."""
    run: str = ""
    """Its id, once it has one."""
    rows_done: int = 0
    """Rows that were read, and are written, dropped or rejected."""
    rows_total: int | None = None
    """Rows of the inputs; ``None`` while nobody knows."""
    rows_out: int = 0
    """Rows that are in the output, so far."""
    bad_rows: int = 0
    """Rows that will be in the rejects."""
    workers: int = 0
    """Processes that work on it."""
    rows_per_second: float = 0.0
    """Of the last minute."""
    seconds_left: tuple[float, float] | None = None
    """In how many seconds it will be done, at the least and at the most."""
    function_seconds: float = 0.0
    """Seconds spent in the function, by all workers."""
    sorting_seconds: float = 0.0
    """Seconds spent on finding bad rows, without the function's calls."""
    lost_seconds: float = 0.0
    """Seconds of calls that crashed their worker or ran over the time limit."""
    worker_seconds: float = 0.0
    """How long workers were there, each counted."""
    machines: tuple[MachinePace, ...] = ()
    """What each machine does."""
    dollars: float = 0.0
    """What it has cost so far, if the file of hosts says what they cost."""
    waiting_for: str = ""
    """Why workers have nothing to do, where they have not."""
    held: str = ""
    """The call that seems to hang, if any; then there is no prediction of the time left."""
    note: str = ""
    """Something to tell, at most once."""
