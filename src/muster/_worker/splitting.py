"""The first stage of a job with groups: rows are read and sent to the lanes of their keys, in one block a file."""

import time
from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from muster._formats import _rows, keys
from muster._formats._keyed import hashes_of, places_of, table_of
from muster._formats.blocks import Section, packed
from muster._model import LANES, Briefing, Exchange, Outcome, Seconds, Task

from .reader import Reader
from .reading import readers_of
from .steps import BadRow, reasons
from .writing import Writer


class Splitting:
    """Sends the rows of one task to their lanes."""

    def __init__(self, briefing: Briefing, task: Task, exchange: Exchange) -> None:
        """Take the task; nothing is read yet."""
        self._briefing = briefing
        self._task = task
        self._grouping = exchange.grouping

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
        rows = reader.read()
        if rows.misfits:
            return Outcome(reader.task, 0, 0, misfits=rows.misfits)
        count, read = len(rows.numbers) + len(rows.bad), time.perf_counter()
        bad = {row: BadRow(reader.step, error) for row, error in rows.bad.items()}
        first_error = next((one.error for one in bad.values()), "")
        outcome = Outcome(reader.task, count, 0, bad_rows=len(bad), first_error=first_error)
        outcome = outcome._replace(reasons=reasons(bad.values()))
        if len(bad) <= left:
            writer = Writer(self._briefing, reader.task, is_packed=False)
            rejects = writer.reject(bad, reader.raw(bad), name=reader.source.name) if bad else None
            section = self._section(rows)
            block = writer.piece("block", packed([section]), len(section.table)) if len(section.table) else None
            outcome = outcome._replace(rows_out=len(section.table), output=block, rejects=rejects)
        ended = time.perf_counter()
        return outcome._replace(seconds=Seconds(read=read - began, write=ended - read, total=ended - began))

    def _section(self, rows: _rows.Rows) -> Section:
        """Put rows in the order of their lanes; without those whose key is missing, if these are of no group."""
        table = table_of(rows)
        columns = self._briefing.columns
        if self._grouping.dropna:
            gone = keys.missing(table.column(at) for at in places_of(self._grouping.columns, columns))
            table = table.filter(pa.array(~gone)) if gone.any() else table
        lanes = keys.lanes(hashes_of(table, self._grouping.columns, columns))
        order = np.argsort(lanes, kind="stable")
        borders = np.searchsorted(lanes[order], np.arange(LANES + 1))
        return Section(table.take(pa.array(order)), borders.tolist(), {"bytes": table.nbytes})
