"""One task, whatever its rows come from and go to: a reader gives batches, steps make results, a writer makes pieces.

The steps are called for each file by itself, whose rows have numbers of their own. What files give that have no bad row
is written together; a file with a bad row has an outcome of its own, the files before it have one, and those behind it.
"""

import time
from collections.abc import Iterator

from muster._formats.results import Reply
from muster._formats.rows import Rows
from muster._model import Briefing, Exchange, Outcome, Seconds, Task

from .called import Called
from .calling import Caller, MemoryBlame
from .reader import Reader
from .reading import readers_of
from .steps import BadRow, Steps, after
from .writing import Writer, Written


class StepsTask:
    """The steps of a stage, on the rows of one task."""

    def __init__(self, briefing: Briefing, task: Task, *, memory: MemoryBlame) -> None:
        """Take the task; so many bad rows are left for all of its files."""
        self._briefing = briefing
        self._exchange = briefing.exchange
        self._task = task
        self._memory = memory
        self._left = task.bad_rows_left
        self._good: Called | None = None
        """What files gave that have no outcome yet."""
        self._began = 0.0
        """When the first of them did."""

    def outcomes(self) -> Iterator[Outcome]:
        """Do the files in order; not those behind one that misfits, or after which more rows are bad than may be."""
        self._began = time.perf_counter()
        for reader in readers_of(self._briefing, self._task):
            began = time.perf_counter()
            called = self._called(reader, began=began)
            if isinstance(called, Outcome):
                yield from self._outcome_of_good()
                yield called
                return
            if not called.steps.bad:
                self._keep(called)
                continue
            spent = time.perf_counter() - began
            yield from self._outcome_of_good(besides=spent)
            yield self._outcome(called, began=time.perf_counter() - spent, reader=reader)
            self._left -= len(called.steps.bad)
            self._began = time.perf_counter()
            if called.steps.exhausted:
                return
        yield from self._outcome_of_good()

    def _called(self, reader: Reader, *, began: float) -> Called | Outcome:
        """Read a file's rows and call the steps on them; an outcome where nothing can come of them."""
        rows = reader.read()
        if rows.misfits:
            return Outcome(reader.task, 0, 0, misfits=rows.misfits)
        task = reader.task._replace(bad_rows_left=self._left)  # by which it is known whether the steps were cut short
        steps = Steps(Caller(self._briefing, self._memory, file=task.file), self._left)
        steps.bad.update({row: BadRow(reader.step, error) for row, error in rows.bad.items()})
        if (outcome := self._fault(reader, rows, steps, began=began)) is not None:
            return outcome
        called = Called([task], len(rows.numbers) + len(rows.bad), steps, unread=rows.bad)
        for batch in reader.batches(rows):
            called.call(batch)
        return called

    def _fault(self, reader: Reader, rows: Rows, steps: Steps, *, began: float) -> Outcome | None:
        """Tell how the function fails on all rows alike, if no row is known to be good."""
        task = self._task
        if not task.is_doubted or task.members or task.condemned or not len(rows.numbers):
            return None
        if (fault := steps.fault(rows, next(reader.batches(rows)))) is None:
            return None
        count, spent = len(rows.numbers) + len(rows.bad), time.perf_counter() - began
        seconds = Seconds(spent - steps.caller.seconds, steps.caller.seconds, total=spent)
        return Outcome(task, count, 0, bad_rows=count, seconds=seconds, fault=fault)

    def _keep(self, called: Called) -> None:
        if self._good is None:
            self._good = called
        else:
            self._good.add(called)

    def _outcome_of_good(self, *, besides: float = 0.0) -> Iterator[Outcome]:
        """Write what files without bad rows gave; so many seconds went into another file since they began."""
        good, self._good = self._good, None
        if good is not None:
            yield self._outcome(good, began=self._began + besides)

    def _outcome(self, called: Called, *, began: float, reader: Reader | None = None) -> Outcome:
        """Write what the steps gave, and what they refused of the rows of a reader."""
        applied, steps = time.perf_counter(), called.steps
        writer = self._writer(called.task)
        rejects, written, replies = None, Written(), list[Reply]()
        if reader is not None and not steps.exhausted:
            rejects = writer.reject(steps.bad, reader.raw(steps.bad), name=reader.name)
        sorted_out = applied if reader is None else time.perf_counter()
        if not steps.exhausted:
            replies = called.made()
            written = writer.write(replies, apart=reader is not None)
        ended = time.perf_counter()
        seconds = Seconds(
            applied - began - steps.caller.seconds - steps.sorting,
            steps.caller.seconds,
            ended - sorted_out,
            ended - began,
            sorting=steps.sorting + sorted_out - applied,
            failed=steps.caller.failed,
        )
        outcome = called.outcome(written, replies)._replace(rejects=rejects, seconds=seconds)
        return outcome if self._exchange is None else _of_several(outcome, self._exchange)

    def _writer(self, task: Task) -> Writer:
        if self._exchange is not None and self._exchange.goes_on:
            from .lane_writing import LaneWriter  # a job without stages does not load it

            return LaneWriter(self._briefing, task, self._exchange)
        return Writer(self._briefing, task)


def _of_several(outcome: Outcome, exchange: Exchange) -> Outcome:
    """Tell of one stage of several: nobody retries a row of it, and its steps are not the first of the job."""
    return outcome._replace(spans=(), steps=after(exchange.before, outcome.steps))
