"""How far a run is, for those who watch it."""

from dataclasses import dataclass
from typing import Final, NamedTuple

from muster._words import dollars, duration, left, plural, share, size, worker_count

_MOST_MACHINES: Final = 16
"""As many lines as a screen shows beside the rest."""


@dataclass(frozen=True, slots=True)
class MachinePace:
    """What a machine does just now: its workers, rows per second, and the share of its workers' time with tasks."""

    machine: str
    workers: int
    rows_per_second: float
    busy: float


class SinkLag(NamedTuple):
    """What an output keeps that is no folder: rows that the other end has not said it has."""

    name: str
    rows: int
    seconds: float
    """For how long the oldest have waited, as far as this process has seen."""
    away: str = ""
    """Why they cannot be sent just now, in words."""


class SourceLag(NamedTuple):
    """What has come from one of several sources, and is in no epoch that is committed."""

    name: str
    rows: int | None
    """``None`` before any was read."""
    bytes: int
    seconds: float
    """For how long the oldest have waited, as far as this process has seen."""
    away: str = ""
    """Why nothing can come just now, in words."""
    has_ended: bool = False
    """Nothing comes from it any more."""


@dataclass(frozen=True, slots=True)
class StreamLag:
    """How a stream stands: what has come and is in no epoch that is committed, what it keeps, what is on its way."""

    epochs: int
    """How many are committed, of all attempts."""
    bytes: int = 0
    """How many bytes are not done; a last line that has no end yet is among them."""
    rows: int | None = 0
    """How many rows that is. Of files it is reckoned from those that were read; ``None`` before there is one."""
    seconds: float = 0.0
    """For how long the oldest of them have waited, as far as this process has seen."""
    committed_at: float | None = None
    """When the last epoch was committed, in seconds since 1970; ``None`` before this process has committed one."""
    keys: int | None = None
    """How many keys have a state; ``None`` where steps keep none, or an earlier muster has not counted them."""
    state_bytes: int | None = None
    """How many bytes their log has; ``None`` where steps keep none."""
    watermark: int | None = None
    """Up to when windows are closed, in microseconds since 1970; ``None`` where no time closes any, or none has yet."""
    late_rows: int = 0
    """How many rows came too late for their windows, of all attempts."""
    skipped_rows: int = 0
    """How many rows were gone at the other end before they were read, and were skipped, of all attempts."""
    sinks: tuple[SinkLag, ...] = ()
    """What each other end has not acknowledged, that with the most rows first."""
    sources: tuple[SourceLag, ...] = ()
    """What of this is behind of each source, where there are several; that with the most bytes first."""

    @property
    def unacknowledged(self) -> int | None:
        """Count the rows that are kept, as another end has not said that it has them; of several, that with the most.

        ``None`` where there is none.
        """
        return self.sinks[0].rows if self.sinks else None

    def __str__(self) -> str:
        """Say so in a line."""
        return ", ".join([plural(self.epochs, "epoch"), *self.waits()])

    def waits(self) -> list[str]:
        """Say what waits, and for how long."""
        said = list[str]()
        if self.bytes:
            rows = f"{plural(self.rows, 'row')} ({size(self.bytes)})" if self.rows else size(self.bytes)
            said.append(f"{rows} behind for {duration(self.seconds)}")
        elif self.rows:  # none of which has been read
            said.append(f"{plural(self.rows, 'row')} behind")
        if self.unacknowledged:
            waited = duration(self.sinks[0].seconds)
            by = f" by {self.sinks[0].name}" if len(self.sinks) > 1 else ""
            said.append(f"{plural(self.unacknowledged, 'row')} unacknowledged{by} for {waited}")
        return said


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
    dollars: float | None = 0.0
    """What all attempts have cost so far, where machines have a price; ``None`` where nobody knows that of one."""
    waiting_for: str = ""
    """Why workers have nothing to do, where they have not."""
    held: str = ""
    """The call that seems to hang, if any; then there is no prediction of the time left."""
    stage: str = ""
    """Which stage it is at, of how many, where there are several: the rows are those of the stage."""
    stream: StreamLag | None = None
    """How far a stream is behind, where the run is one: it has neither a total of rows, nor time left."""
    note: str = ""
    """Something to tell, at most once."""

    def __str__(self) -> str:
        """Say in a line how far it is."""
        if self.phase != "working":
            return self.phase
        total = f" of {self.rows_total:,}" if self.rows_total is not None else ""
        bad = f", {self.bad_rows:,} bad" if self.bad_rows else ""
        spent = f", {dollars(self.dollars)} so far" if self.dollars else ""
        cost = ", cost unknown" if self.dollars is None else spent
        waits = f"; {self.waiting_for}" if self.waiting_for else ""
        until = f"{left(self.seconds_left)} left" if self.stream is None else str(self.stream)
        speed = self.held or f"{self.rows_per_second:,.0f} rows/s, {until}"
        rows = "row" if (self.rows_total or self.rows_done) == 1 else "rows"
        stage = f"{self.stage}: " if self.stage else ""
        return f"{stage}{self.rows_done:,}{total} {rows}, {speed}, {worker_count(self.workers)}{bad}{cost}{waits}"

    def _repr_html_(self) -> str:
        """Draw a bar, for a notebook, and a row for each machine where there are several."""
        from muster._words import html

        bar = html.bar(str(self), self.rows_done, self.rows_total)
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
        return bar + html.table(("machine", "workers", "pace", "busy"), rows)
