"""A task of several small files: they are read together where that can be, and what they give is written together.

The steps are called for each file by itself, whose rows have numbers of their own. A file with a bad row has an outcome
of its own; the files before it have one, and those behind it.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import groupby

import numpy as np
import pyarrow as pa

from muster._formats import _absent, _rows, csv
from muster._model import Briefing, Column, Outcome, Outcomes, Task
from muster._progress.cuts import together

from .single import Called, Single
from .steps import MemoryBlame


class Together:
    """One task of several files, done file by file."""

    def __init__(self, briefing: Briefing, task: Task, *, memory: MemoryBlame) -> None:
        """Take the task; so many bad rows are left for all of its files."""
        self._works = [Single(briefing, member, memory=memory) for member in task.members]
        self._left = task.bad_rows_left
        self._outcomes: list[Outcome] = []
        self._begin()

    def _begin(self) -> None:
        self._good: list[Single] = []
        self._called: Called | None = None
        self._began = time.perf_counter()

    def run(self) -> Outcomes:
        """Do the files in order; not those behind one after which more rows are bad than may be, or that misfits."""
        for work, rows in _with_rows(self._works):
            if not self._do(work, rows):
                break
        self._settle()
        return Outcomes(tuple(self._outcomes))

    def _do(self, work: Single, rows: _rows.Rows | None) -> bool:
        """Do a file, whose rows may be there already; tell whether to go on with the next."""
        began = time.perf_counter()
        rows = work.read() if rows is None else rows
        if rows.misfits:
            self._settle()
            self._begin()
            self._outcomes.append(Outcome(work.task, 0, 0, misfits=rows.misfits))
            return False
        work.task = replace(work.task, bad_rows_left=self._left)
        steps = work.steps(rows)
        called = work.called(rows, steps)
        if not steps.bad:
            self._keep(work, called)
            return True
        spent = time.perf_counter() - began
        self._settle(besides=spent)
        self._outcomes.append(work.settled(called, began=time.perf_counter() - spent))
        self._begin()
        self._left -= len(steps.bad)
        return not steps.exhausted

    def _keep(self, work: Single, called: Called) -> None:
        self._good.append(work)
        if self._called is None:
            self._called = called
        else:
            self._called.add(called)

    def _settle(self, *, besides: float = 0.0) -> None:
        """Write what the good files gave since the last one that was not; so many seconds went into another since."""
        if self._called is not None:
            first = self._good[0]
            task = replace(together([work.task for work in self._good]), members=())
            work = Single(first.briefing, task, memory=first.memory)
            self._outcomes.append(work.settled(self._called, began=self._began + besides))


def _with_rows(works: Sequence[Single]) -> Iterator[tuple[Single, _rows.Rows | None]]:
    """Read files at once whose columns stand in the same order; no rows where each is to be read by itself."""
    for _, group in groupby(works, key=lambda work: work.order):
        alike = list(group)
        rows = _rows_of(alike)
        for at, work in enumerate(alike):
            yield work, rows[at] if rows else None


def _rows_of(works: Sequence[Single]) -> list[_rows.Rows]:
    """Read files at once; nothing where Arrow cannot do that."""
    briefing, order, count = works[0].briefing, works[0].order, sum(work.task.rows for work in works)
    columns = _absent.own(briefing.columns, order)
    if len(works) == 1 or len(columns) < len(briefing.columns):
        return []
    table = _table_of(works, count, columns)
    if table is None or len(table) != count:
        return []
    frame = _rows.Frame(table, columns, header=not briefing.dialect.is_numbered)
    found, at = [], 0
    for work in works:
        row, rows = work.task.row, work.task.rows
        found.append(_rows.Rows(table.slice(at, rows), np.arange(row, row + rows), among=_rows.Among(frame, at)))
        at += rows
    return found


def _table_of(works: Sequence[Single], count: int, columns: tuple[Column, ...]) -> pa.Table | None:
    """Read the text of files at once; nothing where that cannot be, nor of files that are no text."""
    briefing = works[0].briefing
    match works[0].source.format:
        case "csv":
            return csv.read_together(
                [work.data() for work in works],
                order=works[0].order,
                columns=columns,
                dialect=briefing.dialect,
                reading=briefing.reading,
            )
        case "jsonl":
            from muster._formats import jsonl

            stretches = [work.data() for work in works]
            return jsonl.read_together(stretches, count=count, columns=columns, encoding=briefing.dialect.encoding)
        case _:
            return None
