"""Call the user's functions on one batch after another, and find the rows that they cannot take."""

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from muster._formats.results import Reply
from muster._formats.rows import Rows
from muster._formats.unmade import Unmade
from muster._journal.measures import OTHER_REASONS
from muster._model import Fault, Reason, StepMeasure

from .calling import Caller, Failure, Success
from .failures import NoFrameError, is_of_one_value, masked, most_tries, said, sort_of, spread, traced

_REASON_LENGTH: Final = 200
"""Letters by which two reasons count as alike: what follows is often the data."""

_EXAMPLE_LENGTH: Final = 2000
"""Letters of an example with its traceback, for each reason."""

_MOST_REASONS: Final = 20
"""For each task: a function that names the row in each error has thousands."""

FEWEST_TO_BLAME: Final = 2
"""One failing row of several is no evidence, unless the function returned no frame: no row can explain that."""

_PAIRS: Final = 4
"""How many neighbours are tried together, where a function may be written for single rows."""


class BadRow(NamedTuple):
    """Why a row is rejected: the step, the error, and the traceback where the user's function raised it."""

    step: str
    error: str
    traceback: str = ""
    key: str = ""
    """That of the group which the step failed on."""


@dataclass(slots=True)
class Steps:
    """The steps of a stage on the rows of a file; ``bad`` collects the rows that they raised on."""

    caller: Caller
    bad_rows_left: int
    bad: dict[int, BadRow] = field(default_factory=dict)
    sorting: float = 0.0
    """Seconds that went into finding bad rows, without the function's calls."""
    index: str = ""
    """The names of an index of the results, which is not written."""
    _tried: dict[tuple[int, int], Success | Failure] = field(default_factory=dict)
    """Results of calls made to look for a fault, by first and last row: no call is made twice."""

    @property
    def exhausted(self) -> bool:
        """Tell whether more rows were bad than the run allows."""
        return len(self.bad) > self.bad_rows_left

    @property
    def first_error(self) -> str:
        """Say why the first bad row is one; nothing where there is none."""
        return next((f"{bad.error}\n{bad.traceback}".strip() for bad in self.bad.values()), "")

    @property
    def measures(self) -> tuple[StepMeasure, ...]:
        """Tell what each step did."""
        sums = self.caller.sums
        return tuple(StepMeasure(one.rows_in, one.rows_out, one.batches, one.seconds, dict(one.bins)) for one in sums)

    def add(self, other: "Steps") -> None:
        """Take in what was done for another file without a bad row."""
        self.caller.add(other.caller)
        self.sorting += other.sorting
        self.index = self.index or other.index

    def fault(self, rows: Rows, batch: Rows) -> Fault | None:
        """Tell how the function fails, if it fails alike on a batch and on single rows from all over the task."""
        failure = self._tried[_ends(batch)] = self._attempt(batch)
        if not isinstance(failure, Failure):
            return None
        error, sort = failure.error, sort_of(failure.step, failure.error)
        places = spread(len(rows.numbers), most=most_tries(error, bad_rows_left=self.bad_rows_left))
        fewest = 1 if isinstance(error, NoFrameError) else FEWEST_TO_BLAME
        is_of_batches = False
        if not all(self._fails_so(_some(rows, at), sort) for at in places):
            is_of_batches = is_of_one_value(error) and self._takes_single_rows_only(rows, sort)
            if not is_of_batches:
                return None
        cure, trace = self.caller.cure(failure), self.caller.trace(failure)
        return Fault(
            step=failure.step,
            sort=sort,
            error=said(error),
            traceback=trace,
            cure=cure,
            rows=len(places),
            fewest=fewest,
            is_of_batches=is_of_batches,
        )

    def _takes_single_rows_only(self, rows: Rows, sort: tuple[str, ...]) -> bool:
        """Tell whether rows that fail by twos, from all over, are good one by one: then none of them is to blame."""
        pairs = [at for at in spread(len(rows.numbers) - 1, most=_PAIRS) if at >= 0]
        return bool(pairs) and all(
            self._fails_so(_some(rows, at, count=2), sort)
            and not any(isinstance(self._try(_some(rows, one)), Failure) for one in (at, at + 1))
            for at in pairs
        )

    def _fails_so(self, row: Rows, sort: tuple[str, ...]) -> bool:
        """Tell whether a row by itself fails like that; what comes of it is remembered."""
        result = self._try(row)
        return isinstance(result, Failure) and sort_of(result.step, result.error) == sort

    def _try(self, rows: Rows) -> Success | Failure:
        result = self._tried[_ends(rows)] = self._attempt(rows)
        return result

    def results(self, rows: Rows) -> Iterator[Reply | Unmade]:
        """Yield the results of a batch's good rows, in order: one reply where no row is bad.

        Raises ``MemoryError`` where that may not be the fault of these rows, but of calls before.
        """
        result = self._attempt(rows)
        if not isinstance(result, Failure):
            yield self._counted(result)
            return
        began = time.perf_counter() - self.caller.seconds
        yield from self._sift(rows, result)
        self.sorting += time.perf_counter() - self.caller.seconds - began

    def _sift(self, rows: Rows, failure: Failure | None) -> Iterator[Reply | Unmade]:
        """Halve until the bad rows stand alone; ``failure`` is that of all these rows, where it is known.

        Where one half succeeds, the other must hold the culprit, so it is halved without a call: one bad row among n
        costs about 2 log2(n) calls at most, on n rows in all.
        """
        if failure is None:
            result = self._attempt(rows)
            if not isinstance(result, Failure):
                yield self._counted(result)
                return
            failure = result
        if len(rows.numbers) <= 1:
            if len(rows.numbers):
                self._reject(int(rows.numbers[0]), failure)
            return
        left, right = halves(rows)
        result = self._attempt(left)
        if not isinstance(result, Failure):
            yield self._counted(result)
            yield from self._sift(right, failure if len(right.numbers) > 1 else None)
            return
        yield from self._sift(left, result)
        if not self.exhausted:
            yield from self._sift(right, None)

    def _counted(self, result: Success) -> Reply | Unmade:
        self.caller.count(result)
        self.index = self.index or result.reply.index
        return result.reply

    def _attempt(self, rows: Rows) -> Success | Failure:
        known = self._tried.pop(_ends(rows), None)
        return self.caller.make(rows) if known is None else known

    def _reject(self, row: int, failure: Failure) -> None:
        self.bad[row] = BadRow(failure.step, said(failure.error), traced(failure.error))
        self.caller.count_refused(failure)


def after(steps: int, measures: tuple[StepMeasure, ...]) -> tuple[StepMeasure, ...]:
    """Count what steps of a stage did behind so many of the job that did nothing."""
    return (*[StepMeasure(0, 0, 0, 0.0, {})] * steps, *measures) if measures else ()


def reasons(bad: Iterable[BadRow]) -> tuple[Reason, ...]:
    """Group bad rows by step and error, without what differs from row to row; the rarest beyond 20 are one group."""
    found: dict[tuple[str, str], Reason] = {}
    for row in bad:
        key = row.step, masked(row.error[:_REASON_LENGTH])
        before = found.get(key)
        example = before.example if before else f"{row.error}\n{row.traceback}".strip()[:_EXAMPLE_LENGTH]
        found[key] = Reason(*key, (before.rows if before else 0) + 1, example)
    groups = sorted(found.values(), key=lambda reason: -reason.rows)
    rest = groups[_MOST_REASONS:]
    other = [Reason("", OTHER_REASONS, sum(reason.rows for reason in rest), rest[0].example)] if rest else []
    return (*groups[:_MOST_REASONS], *other)


def _some(rows: Rows, at: int, *, count: int = 1) -> Rows:
    return Rows(rows.table[at : at + count], rows.numbers[at : at + count])


def _ends(rows: Rows) -> tuple[int, int]:
    """Name the first and the last row, which tell a batch or a half of one from any other."""
    return (int(rows.numbers[0]), int(rows.numbers[-1])) if len(rows.numbers) else (-1, -1)


def halves(rows: Rows) -> tuple[Rows, Rows]:
    """Cut rows into two."""
    middle = len(rows.numbers) // 2
    return (
        Rows(rows.table.slice(0, middle), rows.numbers[:middle]),
        Rows(rows.table.slice(middle), rows.numbers[middle:]),
    )
