"""What a finished run amounts to."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from muster._model import StageDone
from muster._words import count, dollars, duration, left, pace, plural, worker_count

from .bad_rows import first, frame
from .estimate import Estimate
from .remedy import Remedy

if TYPE_CHECKING:
    import pandas as pd

_FIRST_REJECTS: Final = 5
"""How many rejects a notebook shows: enough to see what is wrong with them."""

_LONGEST_CELL: Final = 200
"""Letters: a cell of a notebook's table stays a cell."""

_REJECT_HEADS: Final = ("file", "row", "raw", "error")
_MOST_MACHINES: Final = 16
"""As many lines as a screen shows beside the rest."""

_SAID_OF_SOME: Final = frozenset(
    ("rows_before", "estimate", "unchanged", "skipped", "stages", "epochs", "warnings", "remedy", "has_groups")
)
"""Fields that are left out where they are empty."""


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
    cost: float | None
    """Dollars of all attempts, where machines have a price; boot and idle time included."""
    rows_before: int = 0
    """Rows of the inputs that an earlier attempt had done, or the run whose bad rows were retried."""
    estimate: Estimate | None = None
    """What all rows would take, where only some were done."""
    unchanged: bool = False
    """Nothing was done: the figures are those of the run that finished, and nothing has changed since."""
    skipped: bool = False
    """Nothing was done, as another process worked on the output; there are no figures."""
    stages: tuple[StageDone, ...] = ()
    """What each stage came to, where there are several: rows in and out, bytes, lanes and the largest of them."""
    epochs: int = 0
    """Of a stream: how many there were, of all attempts."""
    warnings: tuple[str, ...] = ()
    """Why the results may be wrong, where something tells of it: the function seems not to be row-wise."""
    remedy: Remedy | None = None
    """What is to be done about bad rows: whether ``muster retry`` does them, and what it has to be given."""
    has_groups: bool = False
    """Rows came by their keys, in groups or with states, where a function may make one row of many."""

    @classmethod
    def of_fields(cls, fields: Mapping[str, Any]) -> "Result":
        """Read what ``as_fields`` wrote."""
        estimate, warnings = Estimate.of_fields(fields.get("estimate")), tuple(fields.get("warnings", ()))
        stages = tuple(StageDone(**one) for one in fields.get("stages", ()))
        remedy = Remedy.of_fields(fields.get("remedy"))
        return cls(**{**fields, "estimate": estimate, "stages": stages, "warnings": warnings, "remedy": remedy})

    def as_fields(self) -> dict[str, Any]:
        """Write it as an object of JSON. Fields that matter for some runs only are left out of the others."""
        said = {**asdict(self), "stages": [one._asdict() for one in self.stages]}
        said["remedy"] = self.remedy and self.remedy.as_fields()
        return {name: value for name, value in said.items() if value or name not in _SAID_OF_SOME}

    @property
    def dropped(self) -> int:
        """Count the rows that the function itself has left out, where it gives no more than it gets.

        Of groups and states that is not known: their functions make one row of many.
        """
        return 0 if self.has_groups else max(0, self.rows_in - self.rows_out - self.bad_rows)

    def rejects_frame(self) -> "pd.DataFrame":
        """Read the rejects into a DataFrame: a row each, empty where there are none.

        Its columns are ``file``, ``row`` (0-based), ``byte_offset``, ``raw`` (its text), ``step``, ``error`` and
        ``traceback``. Raises ``OSError`` where the file is gone, and ``MusterError`` where a store does not answer.
        """
        return frame(self.rejects)

    def __str__(self) -> str:
        """Say in a line what came of it."""
        if self.skipped:
            return f"{self.output}: nothing was done, as another process works on it"
        rows = f"{self.output}: {plural(self.rows_out, 'row')} of {self.rows_in:,}"
        if self.unchanged:
            return f"{rows}, unchanged since they were written: nothing was done. fresh=True does it all again."
        if self.rows_before:
            goes_on_later = self.has_groups and not self._rows_now  # in a stage that reads no input
            rows += ", all read before," if goes_on_later else f", {count(self._rows_now)} of them now,"
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
        from muster._words import html

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
            "cost": "unknown" if self.cost is None else dollars(self.cost) if self.cost else "",
            "output": self.output,
            "rejects": self.rejects or "",
        }
        pieces = [html.facts(figures)]
        if self.unchanged:
            pieces.append(html.note("Nothing was done, as nothing has changed since. fresh=True does it all again."))
        if self.rejects and (rows := first(self.rejects, _FIRST_REJECTS)):
            cells = [[_cut(str(row.get(name, ""))) for name in _REJECT_HEADS] for row in rows]
            more = f"The first {len(rows)} of {self.bad_rows:,} bad rows" if self.bad_rows > len(rows) else "Bad rows"
            pieces += [html.note(f"{more}; .rejects_frame() gives all:"), html.table(_REJECT_HEADS, cells)]
        pieces.append(html.note("A page about the newest run, for a browser:", "muster report -o report.html"))
        return html.block(f"{plural(self.rows_out, 'row')} of {self.rows_in:,} are in {self.output}", *pieces)


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST_CELL else f"{text[:_LONGEST_CELL]}…"
