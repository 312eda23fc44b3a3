"""How far a run is, by its last event that told it: rows, pace, and what is awaited."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from muster._journal import events
from muster._journal.kept_rows import RowCounts
from muster._model import Reason
from muster._run.telling.under_way import StuckRows


@dataclass(frozen=True, slots=True)
class RunPace:
    """How fast the run was in the minute before its last event, and how long the rest would take from then.

    ``held`` is which worker was then at which rows for strangely long.
    """

    rows_per_second: float | None = None
    seconds_left: tuple[float, float] | None = None
    held: StuckRows | None = None

    @classmethod
    def of(cls, event: events.Measured) -> Self:
        """Read what an event tells, as the runner told the terminal; an earlier muster journaled none of these."""
        left, held = event.seconds_left, event.held
        return cls(
            event.rows_per_second, (left[0], left[1]) if left else None, StuckRows.of_field(held) if held else None
        )


@dataclass(frozen=True, slots=True)
class Unkept:
    """Bad rows of the task that stopped the run: nothing of that is kept, and it will be done again."""

    rows: int = 0
    reasons: Sequence[Reason] = ()


@dataclass(slots=True)
class RunStanding:
    """How far a run is. A count of rows is of all attempts, the rest is of the last one."""

    phase: str = ""
    waiting_for: str = ""
    """Why workers have nothing to do; empty where they have."""
    rows_done: int = 0
    rows_total: int | None = None
    rows_out: int | None = None
    """Rows that are written; an earlier muster did not tell."""
    bad_rows: int = 0
    unkept: Unkept = Unkept()
    pace: RunPace = RunPace()
    running: int = 0
    """Tasks that are with workers."""

    def begin(self) -> None:
        """Forget what an earlier attempt waited for, and how fast it was."""
        self.unkept = Unkept()
        self.rest()

    def take(self, event: events.Measured) -> None:
        """Take in how far the run is."""
        self.rows_done, self.rows_total = event.rows_done, event.rows_total
        self.rows_out, self.bad_rows = event.rows_out, event.bad_rows
        self.running, self.waiting_for = event.running, event.waiting_for
        self.pace = RunPace.of(event)

    def count(self, rows: RowCounts) -> None:
        """Take over the rows that are kept of a run whose process is gone, as ``muster runs`` counts them."""
        self.rows_done, self.rows_out, self.bad_rows = rows

    def stop(self, event: events.Stopped) -> None:
        """Know that the attempt has ended before the run was done."""
        if event.unkept is not None:
            self.unkept = Unkept(event.unkept, [Reason(*told) for told in event.reasons])
        self.rest()

    def finish(self, result: events.Fields) -> None:
        """Know that the run is done."""
        self.rows_done = self.rows_total = result["rows_in"]
        self.rows_out, self.bad_rows = result["rows_out"], result["bad_rows"]
        self.rest()

    def rest(self) -> None:
        """Know that nobody is at work."""
        self.waiting_for, self.running, self.pace = "", 0, RunPace()
