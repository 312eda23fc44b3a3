"""Call the user's functions on rows, one after another, and tell what came of it."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import pandas as pd

from muster._formats.frames import frame_of
from muster._formats.results import Reply
from muster._formats.rows import Rows, to_pandas, type_of
from muster._formats.tables import from_result, put_together
from muster._formats.unmade import Unmade, made, reply_in_time
from muster._journal.measures import StepSum
from muster._model import Briefing
from muster._process.limit import TimeLimit
from muster._user_code import loading
from muster._user_code.awaited import Yielded, drained
from muster.errors import DataError, UserCodeError

from .failures import check_frame, check_needs_no_terminal, said, traced


class Success(NamedTuple):
    """All steps could be called."""

    reply: Reply | Unmade
    counts: tuple[int, ...]
    """How many rows went into the first step, and came out of each."""


class Failure(NamedTuple):
    """A step raised."""

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


class Caller:
    """Calls the steps on rows of one file, and counts calls and seconds."""

    def __init__(self, briefing: Briefing, memory: MemoryBlame, *, file: int) -> None:
        """Count from nothing. Random numbers are derived from the number of the file, and of the rows in it."""
        self._briefing = briefing
        self._memory = memory
        self._file = file
        self.sums = [StepSum() for _ in briefing.steps]
        self.failed = 0.0
        """Seconds of the calls that raised."""

    @property
    def seconds(self) -> float:
        """Tell how long the user's functions took."""
        return sum(step.seconds for step in self.sums)

    def add(self, other: "Caller") -> None:
        """Take in what was called for another file."""
        for own, its in zip(self.sums, other.sums, strict=True):
            own.add(its)
        self.failed += other.failed

    def make(self, rows: Rows) -> Success | Failure:
        """Call the steps on these rows.

        Raises ``MemoryError`` where that may not be the fault of these rows, but of calls before.
        """
        before = self.seconds
        result = self._made(rows)
        if isinstance(result, Failure):
            self.failed += self.seconds - before
        return result

    def count(self, result: Success) -> None:
        """Count the rows that went into each step, and came out, where a result is to be kept."""
        for one, before, after in zip(self.sums, result.counts, result.counts[1:], strict=False):
            one.rows_in += before
            one.rows_out += after

    def count_refused(self, failure: Failure) -> None:
        """Count a row that came as far as the step that raised."""
        for target, one in zip(self._briefing.steps, self.sums, strict=True):
            one.rows_in += 1
            if target.name == failure.step:
                break
            one.rows_out += 1

    def cure(self, failure: Failure) -> str:
        """Say what would mend it, if anything is known to."""
        from .cures import cure_of

        briefing = self._briefing
        types = {column.name: type_of(column) for column in briefing.columns}
        is_csv = self._file < len(briefing.sources) and briefing.sources[self._file].format == "csv"
        reading = briefing.reading if is_csv else None
        function = self._function(failure)
        return cure_of(failure.error, given=failure.given, function=function, types=types, reading=reading)

    def trace(self, failure: Failure) -> str:
        """Show the traceback of the user's own frames."""
        return traced(failure.error, function=self._function(failure))

    def _function(self, failure: Failure) -> Callable[[Any], object]:
        return loading.load(next(target for target in self._briefing.steps if target.name == failure.step))

    def _made(self, rows: Rows) -> Success | Failure:
        """Make the calls on these rows."""
        step, counts, given = "", [len(rows.numbers)], None
        self._memory.calls += 1
        try:
            functions = self._begin(rows)
            frame: Any = rows.table
            for at, (target, function) in enumerate(zip(self._briefing.steps, functions, strict=True)):
                step = target.name
                given = self._as_kind(frame, loading.frame_for(target), rows, first=at == 0)
                with TimeLimit(self._briefing.timeout), Stopwatch(self.sums[at]):
                    frame = drained(function(given))
                yields_nothing = isinstance(frame, Yielded) and not frame
                frame = _one_of(frame) if isinstance(frame, Yielded) else frame
                check_frame(frame)
                counts.append(len(frame))
                if yields_nothing:  # there is nothing that the next step could be called with
                    break
            reply = reply_in_time(frame, use=self._briefing.format)
        except BaseException as error:
            if not rows_are_to_blame(error, step, self._memory):
                raise
            return Failure(step, error, given)
        self._memory.has_called = True
        return Success(reply, tuple(counts))

    def _begin(self, rows: Rows) -> list[Callable[[Any], object]]:
        """Load all steps, and have random numbers begin with those that belong to these rows."""
        functions = [loading.load(target) for target in self._briefing.steps]
        loading.sow(self._briefing.steps, self._file, int(rows.numbers[0]) if len(rows.numbers) else -1)
        return functions

    def _as_kind(self, frame: Any, kind: str, rows: Rows, *, first: bool) -> Any:  # noqa: ANN401 (frames of three kinds)
        if kind == "pandas" and first:
            if rows.among is not None:
                return rows.among.frame_of(rows)
            return to_pandas(frame, rows.numbers, self._briefing.columns, header=self._briefing.has_header)
        return as_kind(frame, kind)


def as_kind(frame: Any, kind: str) -> Any:  # noqa: ANN401 (frames of three kinds)
    """Make the kind of frame that a step takes of what the one before gave."""
    if kind == "pandas" and isinstance(frame, pd.DataFrame):
        return frame
    table = from_result(frame, use="polars" if kind == "polars" else "pyarrow")
    if kind == "polars":
        import polars as pl

        return pl.from_arrow(table)
    return table if kind == "pyarrow" else frame_of(table)


def rows_are_to_blame(error: BaseException, step: str, memory: MemoryBlame) -> bool:
    """Tell whether what a call raised is to be blamed on its rows. Raises ``UserCodeError`` for want of a terminal."""
    if isinstance(error, MemoryError):
        return not memory.is_not_of_the_rows
    is_of_a_column = isinstance(error, UserCodeError | DataError)
    if is_of_a_column or is_from_outside(error, memory):
        return False
    check_needs_no_terminal(step, error)
    return True


def is_from_outside(error: BaseException, memory: MemoryBlame) -> bool:
    """Tell whether it is whoever stops the run that raises, not the function; in a worker, muster alone does so."""
    is_of_muster = type(error).__module__.startswith("muster.") and not isinstance(error, Exception)
    return is_of_muster or (isinstance(error, KeyboardInterrupt) and not memory.is_replaceable)


def given_back(result: Any) -> Any:  # noqa: ANN401 (frames of three kinds)
    """Take what a function returned, or all that it yields, as one frame. Raises ``NoFrameError`` where it is none."""
    if type(result) is pd.DataFrame:  # at once: of a group of few rows, each question about it is felt
        return result
    frame = drained(result)
    frame = _one_of(frame) if isinstance(frame, Yielded) else frame
    check_frame(frame)
    return frame


def once(briefing: Briefing, rows: Rows, *, file: int) -> Reply:
    """Call the steps on some rows, once. Raises ``UserCodeError`` where they fail."""
    return called(briefing, rows, file=file)[0]


def called(briefing: Briefing, rows: Rows, *, file: int) -> tuple[Reply, float]:
    """Call the steps on some rows, once, and tell how many seconds they took. Raises ``UserCodeError`` likewise."""
    caller = Caller(briefing, MemoryBlame(is_replaceable=False), file=file)
    result = caller.make(rows)
    if isinstance(result, Failure):
        error, cure, trace = said(result.error), caller.cure(result), caller.trace(result)
        raise UserCodeError.on_a_batch(result.step, rows=len(rows.numbers), error=error, cure=cure, details=trace)
    reply = result.reply
    return made([reply]) if isinstance(reply, Unmade) else reply, caller.seconds


class Stopwatch:
    """Count a call, and how long it took."""

    def __init__(self, step: StepSum) -> None:
        """Count it for a step."""
        self._step = step

    def __enter__(self) -> None:
        """Start."""
        self._began = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        """Stop, also where the call raised."""
        self._step.count_call(time.perf_counter() - self._began)


def _one_of(frames: Yielded) -> Any:  # noqa: ANN401 (a frame)
    """Make one frame of what was yielded: without columns where that was nothing."""
    for frame in frames:
        check_frame(frame, verb="yielded")
    return put_together(frames) if frames else pd.DataFrame()
