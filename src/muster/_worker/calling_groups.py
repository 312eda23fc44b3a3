"""Call the user's function on one group after another. For small groups, what a call costs besides is what counts."""

from collections.abc import Callable
from typing import Any, Final

import pandas as pd

from muster._formats._results import Reply
from muster._formats._tables import from_result
from muster._formats._unmade import Unmade, reply_in_time
from muster._journal.measures import StepSum
from muster._model import Briefing, StepMeasure
from muster._process.limit import Limit
from muster._user_code import frames, loading
from muster._user_code.signature import takes_key
from muster.errors import DataError, UserCodeError

from .calling import Failure, MemoryBlame, Stopwatch, given_back, is_from_outside
from .failures import check_needs_no_terminal

_WARNS_OF_CHANGES: Final = hasattr(pd.DataFrame, "_is_copy")
"""pandas 2.2 does, where a function changes what is a slice of another frame."""


class GroupCaller:
    """Calls the function of a group's step, and counts calls and seconds."""

    def __init__(self, briefing: Briefing, memory: MemoryBlame) -> None:
        """Count from nothing; the function is loaded at the first call."""
        self._briefing = briefing
        self._memory = memory
        self._target = briefing.steps[0]
        self._sum = StepSum()
        self._function: Callable[..., object] | None = None
        self._kind = "pandas"
        self._takes_key = False
        self.failed = 0.0
        """Seconds of the calls that raised."""

    @property
    def seconds(self) -> float:
        """Tell how long the function took."""
        return self._sum.seconds

    @property
    def measures(self) -> tuple[StepMeasure, ...]:
        """Tell what the step did, if it was called at all."""
        one = self._sum
        if not one.batches:
            return ()
        return (StepMeasure(one.rows_in, one.rows_out, one.batches, one.seconds, dict(one.bins)),)

    def on_group(self, frame: pd.DataFrame, lo: int, hi: int, key: object, *, place: int) -> Reply | Unmade | Failure:
        """Call the function on the rows of a frame from ``lo`` to ``hi``; ``place`` is that of the group in the input.

        Raises ``MemoryError`` where that may not be the fault of these rows, but of calls before.
        """
        self._memory.calls += 1
        before = self.seconds
        try:
            reply = self._called(frame, lo, hi, key, place)
        except (UserCodeError, DataError):  # a whole column is at fault, so no row is
            raise
        except MemoryError as error:
            if self._memory.is_not_of_the_rows:
                raise
            return self._failure(error, before)
        except BaseException as error:
            if is_from_outside(error, self._memory):
                raise
            check_needs_no_terminal(self._target.name, error)
            return self._failure(error, before)
        self._memory.has_called = True
        self._sum.rows_in += hi - lo
        self._sum.rows_out += reply.rows
        return reply

    def _called(self, frame: pd.DataFrame, lo: int, hi: int, key: object, place: int) -> Reply | Unmade:
        function = self._function or self._loaded()
        loading.sow_group(self._briefing.steps, place)
        given: Any = frame.iloc[lo:hi]
        if self._kind != "pandas":
            given = _of_kind(given, self._kind)
        elif _WARNS_OF_CHANGES:
            given._is_copy = None  # noqa: SLF001 (the rows are nobody else's)
        with Limit(self._briefing.timeout), Stopwatch(self._sum):
            result = given_back(function(given, key) if self._takes_key else function(given))
        return reply_in_time(result, use=self._briefing.format)

    def _loaded(self) -> Callable[..., object]:
        with Limit(self._briefing.timeout):
            function = loading.load(self._target)
        self._kind, self._takes_key = frames.wants(function), takes_key(function)
        self._function = function
        return function

    def _failure(self, error: BaseException, before: float) -> Failure:
        self.failed += self.seconds - before
        return Failure(self._target.name, error)


def _of_kind(frame: pd.DataFrame, kind: str) -> Any:  # noqa: ANN401 (frames of two kinds)
    table = from_result(frame, use=kind)
    if kind == "polars":
        import polars as pl

        return pl.from_arrow(table)
    return table
