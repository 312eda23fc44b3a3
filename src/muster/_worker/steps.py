"""Call the user's functions on a batch, and find the rows that they cannot take."""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import pandas as pd

from muster._formats import _pandas, _rows
from muster._formats._results import Reply, reply_of
from muster._formats._tables import from_result, put_together
from muster._journal.measures import OTHER_REASONS, StepSum, bin_of
from muster._model import Briefing, Fault, Reason
from muster._process.limit import Limit
from muster._user_code import frames, loading
from muster._user_code.awaited import Yielded, drained
from muster.errors import DataError, UserCodeError

from .failures import (
    NoFrameError,
    check_frame,
    check_needs_no_terminal,
    is_of_one_value,
    masked,
    most_tries,
    said,
    sort_of,
    spread,
    traced,
)

_REASON_LENGTH: Final = 200
_EXAMPLE_LENGTH: Final = 2000
_MOST_REASONS: Final = 20
_FEWEST_TO_BLAME: Final = 2
"""One failing row of several is no evidence, unless the function returned no frame: no row can explain that."""

_PAIRS: Final = 4
"""How many neighbours are tried together, where a function may be written for single rows."""


class BadRow(NamedTuple):
    """Why a row is rejected: the step, the error, and the traceback where the user's function raised it."""

    step: str
    error: str
    traceback: str = ""


class _Success(NamedTuple):
    reply: Reply
    counts: tuple[int, ...]
    """How many rows went into the first step, and came out of each."""


class _Failure(NamedTuple):
    step: str
    error: BaseException
    given: Any = None
    """What the step was called with."""


@dataclass(slots=True)
class MemoryBlame:
    """Whether earlier calls in this process, not the rows, may be why memory runs out."""

    is_replaceable: bool = True
    """Whether a fresh process can take the place of this one."""
    has_called: bool = False
    """Whether a call has succeeded in this process."""
    calls: int = 0
    """How often this process has called the functions, one after another counted as one call."""

    @property
    def is_not_of_the_rows(self) -> bool:
        """Tell whether a fresh process should try before the rows are to blame."""
        return self.is_replaceable and self.has_called


@dataclass(slots=True)
class Steps:
    """The steps of a stage, called on one batch after another; ``bad`` collects the rows that they raised on."""

    briefing: Briefing
    bad_rows_left: int
    memory: MemoryBlame
    file: int
    bad: dict[int, BadRow] = field(default_factory=dict)
    _tried: dict[tuple[int, int], _Success | _Failure] = field(default_factory=dict)
    """Results of calls made to look for a fault, by first and last row: no call is made twice."""
    sums: list[StepSum] = field(init=False)
    sorting: float = 0.0
    """Seconds that went into finding bad rows, without the function's calls."""
    failed: float = 0.0
    """Seconds of the function's calls that raised."""
    index: str = ""
    """The names of an index of the results, which is not written."""

    def __post_init__(self) -> None:
        """Count from nothing."""
        self.sums = [StepSum() for _ in self.briefing.steps]

    @property
    def seconds(self) -> float:
        """Tell how long the user's functions took."""
        return sum(step.seconds for step in self.sums)

    @property
    def exhausted(self) -> bool:
        """Tell whether more rows were bad than the run allows."""
        return len(self.bad) > self.bad_rows_left

    def add(self, other: "Steps") -> None:
        """Take in what was done for another file without a bad row."""
        for own, its in zip(self.sums, other.sums, strict=True):
            own.add(its)
        self.sorting += other.sorting
        self.failed += other.failed
        self.index = self.index or other.index

    def fault(self, rows: _rows.Rows, batch: _rows.Rows) -> Fault | None:
        """Tell how the function fails, if it fails alike on a batch and on single rows from all over the task."""
        failure = self._tried[_ends(batch)] = self._attempt(batch)
        if not isinstance(failure, _Failure):
            return None
        error, sort = failure.error, sort_of(failure.step, failure.error)
        places = spread(len(rows.numbers), most=most_tries(error, bad_rows_left=self.bad_rows_left))
        fewest = 1 if isinstance(error, NoFrameError) else _FEWEST_TO_BLAME
        is_of_batches = False
        if not all(self._fails_so(_some(rows, at), sort) for at in places):
            is_of_batches = is_of_one_value(error) and self._takes_single_rows_only(rows, sort)
            if not is_of_batches:
                return None
        cure, trace = self._cure(failure), traced(error, function=self._function(failure))
        return Fault(failure.step, sort, said(error), trace, cure, len(places), fewest, is_of_batches)

    def _takes_single_rows_only(self, rows: _rows.Rows, sort: tuple[str, ...]) -> bool:
        """Tell whether rows that fail by twos, from all over, are good one by one: then none of them is to blame."""
        pairs = [at for at in spread(len(rows.numbers) - 1, most=_PAIRS) if at >= 0]
        return bool(pairs) and all(
            self._fails_so(_some(rows, at, count=2), sort)
            and not any(isinstance(self._try(_some(rows, one)), _Failure) for one in (at, at + 1))
            for at in pairs
        )

    def _fails_so(self, row: _rows.Rows, sort: tuple[str, ...]) -> bool:
        """Tell whether a row by itself fails like that; what comes of it is remembered."""
        result = self._try(row)
        return isinstance(result, _Failure) and sort_of(result.step, result.error) == sort

    def _try(self, rows: _rows.Rows) -> _Success | _Failure:
        result = self._tried[_ends(rows)] = self._attempt(rows)
        return result

    def _function(self, failure: _Failure) -> Callable[[Any], object]:
        return loading.load(next(target for target in self.briefing.steps if target.name == failure.step))

    def _cure(self, failure: _Failure) -> str:
        from .cures import cure_of

        types = {column.name: _rows.type_of(column) for column in self.briefing.columns}
        reading = self.briefing.reading if self.briefing.sources[self.file].format == "csv" else None
        return cure_of(
            failure.error, given=failure.given, function=self._function(failure), types=types, reading=reading
        )

    def results(self, rows: _rows.Rows) -> Iterator[Reply]:
        """Yield the results of a batch's good rows, in order: one reply where no row is bad.

        Raises ``MemoryError`` where that may not be the fault of these rows, but of calls before.
        """
        result = self._attempt(rows)
        if not isinstance(result, _Failure):
            yield self._counted(result)
            return
        began = time.perf_counter() - self.seconds
        yield from self._sift(rows, result)
        self.sorting += time.perf_counter() - self.seconds - began

    def _sift(self, rows: _rows.Rows, failure: _Failure | None) -> Iterator[Reply]:
        """Halve until the bad rows stand alone; ``failure`` is that of all these rows, where it is known.

        Where one half succeeds, the other must hold the culprit, so it is halved without a call: one bad row among n
        costs about 2 log2(n) calls at most, on n rows in all.
        """
        if failure is None:
            result = self._attempt(rows)
            if not isinstance(result, _Failure):
                yield self._counted(result)
                return
            failure = result
        if len(rows.numbers) <= 1:
            if len(rows.numbers):
                self._reject(int(rows.numbers[0]), failure)
            return
        left, right = halves(rows)
        result = self._attempt(left)
        if not isinstance(result, _Failure):
            yield self._counted(result)
            yield from self._sift(right, failure if len(right.numbers) > 1 else None)
            return
        yield from self._sift(left, result)
        if not self.exhausted:
            yield from self._sift(right, None)

    def _counted(self, result: _Success) -> Reply:
        for one, before, after in zip(self.sums, result.counts, result.counts[1:], strict=False):
            one.rows_in += before
            one.rows_out += after
        self.index = self.index or result.reply.index
        return result.reply

    def _attempt(self, rows: _rows.Rows) -> _Success | _Failure:
        if (known := self._tried.pop(_ends(rows), None)) is not None:
            return known
        before = self.seconds
        result = self._made(rows)
        if isinstance(result, _Failure):
            self.failed += self.seconds - before
        return result

    def _made(self, rows: _rows.Rows) -> _Success | _Failure:
        """Make the calls on these rows."""
        step, counts, given = "", [len(rows.numbers)], None
        self.memory.calls += 1
        try:
            self._begin(rows)
            frame: Any = rows.table
            for at, target in enumerate(self.briefing.steps):
                step = target.name
                with Limit(self.briefing.timeout):
                    function = loading.load(target)
                given = self._as_kind(frame, frames.wants(function), rows, first=at == 0)
                with Limit(self.briefing.timeout), _Stopwatch(self.sums[at]):
                    frame = drained(function(given))
                yields_nothing = isinstance(frame, Yielded) and not frame
                frame = _one_of(frame) if isinstance(frame, Yielded) else frame
                check_frame(frame)
                counts.append(len(frame))
                if yields_nothing:  # there is nothing that the next step could be called with
                    break
            reply = reply_of(frame, use=self.briefing.format)
        except (UserCodeError, DataError):  # a whole column is at fault, so no row is
            raise
        except MemoryError as error:
            if self.memory.is_not_of_the_rows:
                raise
            return _Failure(step, error, given)
        except BaseException as error:
            if self._is_from_outside(error):
                raise
            check_needs_no_terminal(step, error)
            return _Failure(step, error, given)
        self.memory.has_called = True
        return _Success(reply, tuple(counts))

    def _is_from_outside(self, error: BaseException) -> bool:
        """Tell whether it is whoever stops the run that raises, not the function; in a worker, muster alone does so."""
        is_of_muster = type(error).__module__.startswith("muster.") and not isinstance(error, Exception)
        return is_of_muster or (isinstance(error, KeyboardInterrupt) and not self.memory.is_replaceable)

    def _begin(self, rows: _rows.Rows) -> None:
        """Load all steps, and have random numbers begin with those that belong to these rows."""
        for target in self.briefing.steps:
            with Limit(self.briefing.timeout):
                loading.load(target)
        loading.sow(self.briefing.steps, self.file, int(rows.numbers[0]) if len(rows.numbers) else -1)

    def _as_kind(self, frame: Any, kind: str, rows: _rows.Rows, *, first: bool) -> Any:  # noqa: ANN401 (frames of three kinds)
        if kind == "pandas" and first:
            header = not self.briefing.dialect.is_numbered
            if rows.among is not None:
                return rows.among.frame_of(rows)
            return _rows.to_pandas(frame, rows.numbers, self.briefing.columns, header=header)
        if kind == "pandas" and isinstance(frame, pd.DataFrame):
            return frame
        table = from_result(frame, use="polars" if kind == "polars" else "pyarrow")
        if kind == "polars":
            import polars as pl

            return pl.from_arrow(table)
        return table if kind == "pyarrow" else _pandas.frame_of(table)

    def _reject(self, row: int, failure: _Failure) -> None:
        error = failure.error
        text = said(error)
        self.bad[row] = BadRow(failure.step, text, traced(error))
        for target, one in zip(self.briefing.steps, self.sums, strict=True):  # it came as far as the step that raised
            one.rows_in += 1
            if target.name == failure.step:
                break
            one.rows_out += 1


def once(briefing: Briefing, rows: _rows.Rows, *, file: int) -> Reply:
    """Call the steps on some rows, once. Raises ``UserCodeError`` where they fail."""
    return called(briefing, rows, file=file)[0]


def called(briefing: Briefing, rows: _rows.Rows, *, file: int) -> tuple[Reply, float]:
    """Call the steps on some rows, once, and tell how many seconds they took. Raises ``UserCodeError`` likewise."""
    steps = Steps(briefing, 0, MemoryBlame(is_replaceable=False), file)
    result = steps._attempt(rows)  # noqa: SLF001 (of this room)
    if isinstance(result, _Failure):
        cure = steps._cure(result)  # noqa: SLF001 (likewise)
        trace = traced(result.error, function=steps._function(result))  # noqa: SLF001 (likewise)
        raise UserCodeError.on_a_batch(
            result.step, rows=len(rows.numbers), error=said(result.error), cure=cure, details=trace
        )
    return result.reply, steps.seconds


class _Stopwatch:
    """Count a call, and how long it took."""

    def __init__(self, step: StepSum) -> None:
        """Count it for a step."""
        self._step = step

    def __enter__(self) -> None:
        """Start."""
        self._began = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        """Stop, also where the call raised."""
        seconds = time.perf_counter() - self._began
        self._step.batches += 1
        self._step.seconds += seconds
        self._step.bins[bin_of(seconds)] += 1


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


def _one_of(frames: Yielded) -> Any:  # noqa: ANN401 (a frame)
    """Make one frame of what was yielded: without columns where that was nothing."""
    for frame in frames:
        check_frame(frame, verb="yielded")
    return put_together(frames) if frames else pd.DataFrame()


def _some(rows: _rows.Rows, at: int, *, count: int = 1) -> _rows.Rows:
    return _rows.Rows(rows.table[at : at + count], rows.numbers[at : at + count])


def _ends(rows: _rows.Rows) -> tuple[int, int]:
    """Name the first and the last row, which tell a batch or a half of one from any other."""
    return (int(rows.numbers[0]), int(rows.numbers[-1])) if len(rows.numbers) else (-1, -1)


def halves(rows: _rows.Rows) -> tuple[_rows.Rows, _rows.Rows]:
    """Cut rows into two."""
    middle = len(rows.numbers) // 2
    return (
        _rows.Rows(rows.table.slice(0, middle), rows.numbers[:middle]),
        _rows.Rows(rows.table.slice(middle), rows.numbers[middle:]),
    )
