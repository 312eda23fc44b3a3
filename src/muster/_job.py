"""What a user asks for and is told: the nouns of a job, of how far it is, and of what comes of it."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Final

from muster._dialect import Dialect, Reading
from muster._files.witness import Known
from muster._model import Grouping, Target
from muster._words import count, dollars, duration, left, pace, plural, share, worker_count

if TYPE_CHECKING:
    import pandas as pd

_FIRST_REJECTS: Final = 5
"""How many rejects a notebook shows: enough to see what is wrong with them."""

_LONGEST_CELL: Final = 200
_REJECT_HEADS: Final = ("file", "row", "raw", "error")
_MOST_MACHINES: Final = 16


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
    calls_per_worker: int | None = None
    if_running: str = "fail"
    """What to do while another process works on the output: ``fail``, ``skip`` or ``wait``."""
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
    typed: str = ""
    """The file that defines the pipeline, where it is not a function that was named."""
    retry: str = ""
    """The run whose bad rows are to be done."""
    only: Mapping[str, Known] | None = None
    """The files to read of those that the inputs name, by path, and how each was when it was found; ``None``: all."""
    grouping: Grouping | None = None
    """What rows are grouped by before the step, which is called with each group."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a run over the whole input would take, judged by some of its rows. Ranges: at the least, and at the most."""

    rows: int
    """How many the input has, exactly."""
    seconds: tuple[float, float]
    rows_out: tuple[int, int]
    bad_rows: tuple[int, int]
    bytes: tuple[int, int]
    """Of the output."""
    workers: int
    sampled: int
    """How many rows it is judged by."""
    is_spread: bool
    """Whether they were spread over the input; else they were its first ones."""

    @classmethod
    def of_fields(cls, fields: Mapping[str, Any] | None) -> "Estimate | None":
        """Read it from JSON, which has lists for ranges."""
        if not fields:
            return None
        read: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()
        }
        return cls(**read)


@dataclass(frozen=True, slots=True, repr=False)
class Result:
    """What a finished run amounts to; the fields of ``--json``, in its order.

    A notebook shows it as a table, with the first rejects.
    """

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
    """Of the attempt that finished, without the rows that an earlier attempt had done."""
    output: str
    """Path or URL."""
    rejects: str | None
    """Path or URL of ``OUTPUT.rejects.jsonl``; ``None`` if no row is bad."""
    cost: float
    """Dollars of all attempts, where machines have a price; boot and idle time included."""
    rows_before: int = 0
    """Rows of the inputs that an earlier attempt had done, or the run whose bad rows were retried."""
    estimate: Estimate | None = None
    """What all rows would take, where only some were done."""
    unchanged: bool = False
    """Nothing was done: the figures are those of the run that finished, and nothing has changed since."""
    skipped: bool = False
    """Nothing was done, as another process worked on the output; there are no figures."""
    warnings: tuple[str, ...] = ()
    """Why the results may be wrong, where something tells of it: the function seems not to be row-wise."""

    @classmethod
    def of_fields(cls, fields: Mapping[str, Any]) -> "Result":
        """Read what ``as_fields`` wrote."""
        estimate, warnings = Estimate.of_fields(fields.get("estimate")), tuple(fields.get("warnings", ()))
        return cls(**{**fields, "estimate": estimate, "warnings": warnings})

    def as_fields(self) -> dict[str, Any]:
        """Write it as an object of JSON. Fields that matter for some runs only are left out of the others."""
        said_of_some = {"rows_before", "estimate", "unchanged", "skipped", "warnings"}
        return {name: value for name, value in asdict(self).items() if value or name not in said_of_some}

    @property
    def dropped(self) -> int:
        """Count the rows that the function itself has left out, where it gives no more than it gets."""
        return max(0, self.rows_in - self.rows_out - self.bad_rows)

    def rejects_frame(self) -> "pd.DataFrame":
        """Read the rejects into a DataFrame: a row each, empty where there are none.

        Its columns are ``file``, ``row`` (0-based), ``byte_offset``, ``raw`` (its text), ``step``, ``error`` and
        ``traceback``. Raises ``OSError`` where the file is gone, and ``MusterError`` where a store does not answer.
        """
        from muster._bad_rows import frame  # noqa: PLC0415 (most results have none)

        return frame(self.rejects)

    def __str__(self) -> str:
        """Say in a line what came of it."""
        if self.skipped:
            return f"{self.output}: nothing was done, as another process works on it"
        rows = f"{self.output}: {plural(self.rows_out, 'row')} of {self.rows_in:,}"
        if self.unchanged:
            return f"{rows}, unchanged since they were written: nothing was done. fresh=True does it all again."
        if self.rows_before:
            rows += f", {count(self._rows_now)} of them now,"
        return f"{rows} in {duration(self.seconds)} ({pace(self.rows_per_second)} rows/s, {worker_count(self.workers)})"

    @property
    def _rows_now(self) -> int:
        return self.rows_in - self.rows_before

    def __repr__(self) -> str:
        """Show that line, and where the bad rows are."""
        bad = f"; {plural(self.bad_rows, 'bad row')} in {self.rejects}" if self.bad_rows else ""
        return f"<muster.Result {self}{bad}>"

    def _repr_html_(self) -> str:
        """Lay out what came of it, for a notebook, with the first rejects."""
        from muster import _html
        from muster._bad_rows import first  # noqa: PLC0415 (likewise)

        resumed = f"{self.resumed_parts:,} of {self.parts:,} parts, by an earlier attempt" if self.resumed_parts else ""
        figures = {
            "rows in": count(self.rows_in),
            "rows out": count(self.rows_out),
            "dropped by the function": count(self.dropped) if self.dropped else "",
            "bad rows": count(self.bad_rows),
            (
                "time then" if self.unchanged else "time"
            ): f"{duration(self.seconds)}, {pace(self.rows_per_second)} rows/s",
            "rows done now": count(self._rows_now) if self.rows_before and not self.unchanged else "",
            "time of a run of all rows": left(self.estimate.seconds) if self.estimate else "",
            "done before": resumed,
            "workers": worker_count(self.workers)
            + (f" on {plural(self.machines, 'machine')}" if self.machines > 1 else ""),
            "cost": dollars(self.cost) if self.cost else "",
            "output": self.output,
            "rejects": self.rejects or "",
        }
        pieces = [_html.facts(figures)]
        if self.unchanged:
            pieces.append(_html.note("Nothing was done, as nothing has changed since. fresh=True does it all again."))
        if self.rejects and (rows := first(self.rejects, _FIRST_REJECTS)):
            cells = [[_cut(str(row.get(name, ""))) for name in _REJECT_HEADS] for row in rows]
            more = f"The first {len(rows)} of {self.bad_rows:,} bad rows" if self.bad_rows > len(rows) else "Bad rows"
            pieces += [_html.note(f"{more}; .rejects_frame() gives all:"), _html.table(_REJECT_HEADS, cells)]
        pieces.append(_html.note("A page about the newest run, for a browser:", "muster report -o report.html"))
        return _html.block(f"{plural(self.rows_out, 'row')} of {self.rows_in:,} are in {self.output}", *pieces)


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
    """How long workers were there, added up over all of them."""
    machines: tuple[MachinePace, ...] = ()
    """What each machine does."""
    dollars: float = 0.0
    """What all attempts have cost so far, where machines have a price."""
    waiting_for: str = ""
    """Why workers have nothing to do, where they have not."""
    held: str = ""
    """The call that seems to hang, if any; then there is no prediction of the time left."""
    note: str = ""
    """Something to tell, at most once."""

    def __str__(self) -> str:
        """Say in a line how far it is."""
        if self.phase != "working":
            return self.phase
        total = f" of {self.rows_total:,}" if self.rows_total is not None else ""
        bad = f", {self.bad_rows:,} bad" if self.bad_rows else ""
        cost = f", {dollars(self.dollars)} so far" if self.dollars else ""
        waits = f"; {self.waiting_for}" if self.waiting_for else ""
        speed = self.held or f"{self.rows_per_second:,.0f} rows/s, {left(self.seconds_left)} left"
        rows = "row" if (self.rows_total or self.rows_done) == 1 else "rows"
        return f"{self.rows_done:,}{total} {rows}, {speed}, {worker_count(self.workers)}{bad}{cost}{waits}"

    def _repr_html_(self) -> str:
        """Draw a bar, for a notebook, and a row for each machine where there are several."""
        from muster import _html

        bar = _html.bar(str(self), self.rows_done, self.rows_total)
        if len(self.machines) < 2:  # noqa: PLR2004 (several)
            return bar
        rows = [
            (
                machine.machine,
                plural(machine.workers, "worker"),
                f"{machine.rows_per_second:,.0f} rows/s",
                share(machine.busy),
            )
            for machine in self.machines[:_MOST_MACHINES]
        ]
        return bar + _html.table(("machine", "workers", "pace", "busy"), rows)


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST_CELL else f"{text[:_LONGEST_CELL]}…"
