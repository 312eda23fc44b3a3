"""The first stage of a job with groups that has no steps: rows go to the lanes of their keys, in one block a file.

Where only sums and the like are worked out of them, what is kept of all rows of a key goes there instead.
"""

import time
from collections.abc import Iterator

import pyarrow as pa

from muster._formats import keys
from muster._formats.blocks import Section
from muster._formats.keyed import hashes_of, places_of, table_of
from muster._formats.rows import Rows
from muster._model import Briefing, Exchange, Outcome, Seconds, Task

from .aggregates.cells import begun
from .aggregates.own import OwnCaller
from .aggregates.plan import plan_of
from .aggregating import reduced
from .calling import MemoryBlame
from .lane_writing import in_lanes, of_keys
from .reader import Reader
from .reading import readers_of
from .steps import BadRow, reasons
from .writing import Writer


class Splitting:
    """Sends the rows of one task to their lanes."""

    def __init__(self, briefing: Briefing, task: Task, exchange: Exchange, memory: MemoryBlame) -> None:
        """Take the task, and load the user's own aggregations, if there are any; nothing is read yet."""
        self._briefing = briefing
        self._task = task
        self._grouping = exchange.grouping
        self._only = exchange.only
        self._plan = plan_of(briefing, exchange) if exchange.grouping.measures else None
        own = self._plan.own if self._plan is not None else ()
        self._caller = OwnCaller(briefing, memory, own) if own else None

    def outcomes(self) -> Iterator[Outcome]:
        """Do the files in order; not those behind one that misfits, or after which more rows are bad than may be."""
        left = self._task.bad_rows_left
        for reader in readers_of(self._briefing, self._task):
            outcome = self._outcome(reader, left)
            yield outcome
            left -= outcome.bad_rows
            if outcome.misfits or left < 0:
                return

    def _outcome(self, reader: Reader, left: int) -> Outcome:
        began = time.perf_counter()
        before = 0.0 if self._caller is None else self._caller.seconds
        rows = reader.read()
        if rows.misfits:
            return Outcome(reader.task, 0, 0, misfits=rows.misfits)
        count, read = len(rows.numbers) + len(rows.bad), time.perf_counter()
        bad = {row: BadRow(reader.step, error) for row, error in rows.bad.items()}
        first_error = next((one.error for one in bad.values()), "")
        outcome = Outcome(reader.task, count, 0, bad_rows=len(bad), first_error=first_error)
        outcome = outcome._replace(reasons=reasons(bad.values()))
        if len(bad) <= left:
            writer = Writer(self._briefing, reader.task)
            rejects = writer.reject(bad, reader.raw(bad), name=reader.source.name) if bad else None
            sections = self._sections(rows, reader.task)
            count = sum(len(section.table) for section in sections)
            block = writer.block(sections, count) if count else None
            outcome = outcome._replace(rows_out=count, output=block, rejects=rejects)
        ended = time.perf_counter()
        called = 0.0
        if self._caller is not None:
            called = self._caller.seconds - before
            outcome = outcome._replace(steps=self._caller.measures)
        spent = Seconds(read - began, called, ended - read - called, ended - began)
        return outcome._replace(seconds=spent)

    def _sections(self, rows: Rows, task: Task) -> list[Section]:
        """Put rows in the order of their lanes; without those whose key is missing, if these are of no group."""
        table = table_of(rows)
        columns, places = self._briefing.columns, places_of(self._grouping.columns, self._briefing.columns)
        if self._grouping.dropna:
            gone = keys.missing(table.column(at) for at in places)
            table = table.filter(pa.array(~gone)) if gone.any() else table
        key = self._grouping.columns
        if self._only:  # before anything is worked out of rows of other keys
            table, _ = of_keys(table, hashes_of(table, key, columns), self._only)
        tables = [table]
        if (plan := self._plan) is not None:
            tables, columns = [reduced(table, plan, places)] if plan.has_ready else [], plan.keys
            tables += begun(table, plan, places, task, self._caller) if self._caller is not None else []
        if not key:
            return [in_lanes(one, None, {}) for one in tables]
        return [in_lanes(*of_keys(one, hashes_of(one, key, columns)), {}) for one in tables]
