"""Check whether a function treats each row by itself: on some rows, read as a run would read them, in a worker."""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass

from muster._assembly import engine_of_this_computer
from muster._compare import Compare, Compared
from muster._desk import Desk
from muster._formats._sources import find_sources
from muster._inputs import Inputs
from muster._job import Options
from muster._model import Briefing, Part, Target, Task
from muster._temporary import temporary
from muster._unseen import set_options, shown
from muster._user_code.laid_down import laid_down
from muster._user_code.state import packed
from muster._user_code.targets import Describe
from muster._words import count, plural
from muster.errors import UsageError


@dataclass(frozen=True, slots=True)
class Check:
    """Whether a function treats each row by itself, as far as some rows show."""

    row_wise: bool
    rows: int
    """How many rows it was called with, whole and in halves."""
    differ: tuple[str, ...]
    """Columns that differ when these rows come in two batches."""
    random: tuple[str, ...]
    """Columns that differ between two calls on the same rows, as random ones do: no verdict on these."""
    rows_whole: int
    """How many rows came back from the whole, and from both halves together."""
    rows_halves: int
    bad_rows: int = 0
    """How many rows of the sample were left out, as they cannot be read."""

    def __str__(self) -> str:
        """Put the verdict into words."""
        tried = f"called with {self.rows:,} rows, and with both halves of them"
        said = [f"Row-wise: it gives the same, {tried}." if self.row_wise else f"Not row-wise, {tried}:"]
        if self.rows_whole != self.rows_halves:
            said.append(f"it gives {self.rows_whole:,} rows, and {self.rows_halves:,} of the halves.")
        if self.differ:
            said.append(f"other values in {', '.join(self.differ)}.")
        if self.random:
            said.append(f"Random, so nobody can tell: {', '.join(self.random)}.")
        if self.bad_rows:
            said.append(f"{plural(self.bad_rows, 'row')} that cannot be read {self._were} left out.")
        return " ".join(said)

    def _repr_html_(self) -> str:
        """Lay out the verdict, for a notebook."""
        from muster import _html  # noqa: PLC0415 (only a notebook shows it)

        figures = {
            "called with": plural(self.rows, "row"),
            "rows of the whole": count(self.rows_whole),
            "rows of both halves": count(self.rows_halves),
            "columns that differ": ", ".join(self.differ),
            "random columns": ", ".join(self.random),
            "rows left out, as they cannot be read": count(self.bad_rows) if self.bad_rows else "",
        }
        return _html.block("Row-wise" if self.row_wise else "Not row-wise", _html.facts(figures))

    @property
    def _were(self) -> str:
        return "was" if self.bad_rows == 1 else "were"


def check(steps: tuple[Target, ...], inputs: Sequence[str], options: Options, *, sample: int) -> Check:
    """Call a function on the first rows, whole and in halves. Raises ``MusterError``."""
    if sample < 2:  # noqa: PLR2004 (two halves)
        raise UsageError(f"sample={sample}: it must be 2 rows or more, for two batches.")
    set_options(options.storage_options)
    with (
        temporary() as folder,
        laid_down(steps) as held,
        contextlib.closing(engine_of_this_computer(1)) as engine,
    ):
        desk = Desk(engine, tick=lambda: None, hear=lambda _: None)
        sources = find_sources([*map(shown, inputs)], forced=options.input_format, default=options.format)
        source = Inputs(sources, options, folder)
        described = desk.ask([Describe(held, options.timeout)])[0]
        state = packed([fact for step in described for fact in step.set_there])
        parts = _read(source, desk, sample)
        task = _task(parts, sample)
        compared: Compared | None = None
        while compared is None or compared.misfits:
            if compared is not None:
                source.widen(desk.ask, parts, compared.misfits)
            briefing = Briefing(
                sources=sources,
                dialect=source.worker_dialect,
                reading=options.reading,
                steps=held,
                format="csv",  # any value can be shown as text
                folder=str(folder),
                columns=source.columns,
                orders=source.orders,
                agreed=source.agreed,
                timeout=options.timeout,
                state=state,
            )
            compared = desk.ask([Compare(briefing, task)])[0]
    return Check(
        compared.is_row_wise,
        compared.rows,
        compared.differ,
        compared.random,
        compared.rows_whole,
        compared.rows_halves,
        compared.bad_rows,
    )


def _read(source: Inputs, desk: Desk, sample: int) -> list[Part]:
    """Find enough parts, and settle the types as a run does."""
    source.copy(desk.tick)
    source.survey(desk.ask)
    parts: list[Part] = []
    for more in source.feed():
        parts += more
        if sum(part.rows for part in parts) >= sample:
            break
    if not parts:
        raise UsageError("The input has no rows to call the function with. Name another.")
    source.observe(desk.ask, source.surveyed or parts, everything=False)
    return parts


def _task(parts: Sequence[Part], sample: int) -> Task:
    """Make a task of the first rows of the first file."""
    good = [part for part in parts if not part.fault and part.rows]
    if not good:
        raise UsageError("The input has no rows to call the function with. Name another.")
    first = last = good[0]
    for part in good[1:]:
        if (part.file, part.spool, part.start) != (first.file, first.spool, last.stop):
            break
        if last.row + last.rows - first.row >= sample:
            break
        last = part
    rows = last.row + last.rows - first.row
    return Task(
        number=0,
        first=0,
        last=1,
        file=first.file,
        start=first.start,
        stop=last.stop,
        row=first.row,
        rows=rows,
        lo=first.row,
        hi=first.row + min(rows, sample),
        spool=first.spool,
    )
