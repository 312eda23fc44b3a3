"""Call a step with rows and the states of their keys, and find where in the output each row belongs that it gives."""

import time
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import pandas as pd

from muster._formats.keyed import without_made
from muster._formats.results import Reply
from muster._formats.rows import to_pandas
from muster._formats.unmade import Unmade, reply_in_time
from muster._model import NO_FILE, Briefing, Exchange
from muster._process.limit import TimeLimit
from muster._user_code import arguments, frames, loading
from muster._words import plural
from muster.errors import DataError, UserCodeError

from .calling import Failure, MemoryBlame, Stopwatch, as_kind, given_back, is_from_outside, rows_are_to_blame
from .calling_one import OneStepCaller
from .failures import said, traced
from .lane_rows import LaneBatch
from .states import States
from .windows.gates import Gate, GateRows, RowTypes

if TYPE_CHECKING:
    from collections.abc import Callable

_LAST: Final = 1 << 60
"""The place from which on rows stand that ``at_end`` gives: behind all others, lane by lane."""

_LANE_BITS: Final = 48
"""How many rows at the end of a lane have places of their own, in bits."""


_NONE: Final = np.empty(0, np.int64)


class Given(NamedTuple):
    """What a call gave, and the place of each row."""

    reply: Reply | Unmade
    places: np.ndarray
    late: np.ndarray = _NONE
    """The places of rows that came too late for their window, and are to be set aside."""


class StateCaller(OneStepCaller):
    """Calls a step that keeps states, and counts calls and seconds."""

    def __init__(self, briefing: Briefing, exchange: Exchange, memory: MemoryBlame) -> None:
        """Load the step and what makes its states. Raises as ``load`` does."""
        super().__init__(briefing, memory)
        self._grouping = exchange.grouping
        self._agreed = exchange.agreed
        self._has_key = bool(exchange.grouping.columns)
        self._function: Callable[..., object] = loading.load(self._target)
        self.make_state: Callable[[], Any] = arguments.state_of(self._target)
        self._kind = frames.wants(self._function)
        self.gate = self._function if isinstance(self._function, Gate) else None
        """The step, where it keeps the windows of a stream."""

    def call(self, batch: LaneBatch, states: States) -> Given | Failure:
        """Call the step on some rows.

        Raises ``MemoryError`` where that may not be the fault of these rows, but of calls before; ``UserCodeError``
        where it is not known where in the output a row belongs.
        """
        self._memory.calls += 1
        before = self.seconds
        try:
            result, reply = self._called(batch, states)
        except BaseException as error:
            if not rows_are_to_blame(error, self.step, self._memory):
                raise
            return self._failure(error, before, batch)
        self._memory.has_called = True
        if self.gate is not None:  # what it gives may be rows of epochs before
            return Given(reply, _labels(result), self.gate.take_late())
        return Given(reply, self._places(result, batch))

    def count(self, batch: LaneBatch, given: Given) -> None:
        """Count rows that are done."""
        self._sum.rows_in += len(batch)
        self._sum.rows_out += given.reply.rows

    def _called(self, batch: LaneBatch, states: States) -> tuple[Any, Reply | Unmade]:
        briefing = self._briefing
        loading.sow(briefing.steps, NO_FILE, int(batch.places[0]))
        if self.gate is not None:
            rows = GateRows(batch.table, briefing.columns, self._agreed, batch.places)
            with TimeLimit(briefing.timeout), Stopwatch(self._sum):
                is_kept = self.gate.keep(rows, states)
            if is_kept:
                return pd.DataFrame(), reply_in_time(pd.DataFrame(), use=briefing.format)
        frame = self._frame(batch)
        with TimeLimit(briefing.timeout), Stopwatch(self._sum):
            result = given_back(self._function(as_kind(frame, self._kind), states))
        if self._has_key and isinstance(result, pd.DataFrame):
            result = _in_order(result)
        return result, reply_in_time(result, use=briefing.format)

    def _frame(self, batch: LaneBatch) -> pd.DataFrame:
        """Make the frame that the step gets."""
        briefing = self._briefing
        table, columns = without_made(batch.table, briefing.columns, self._grouping)
        return to_pandas(table, batch.places, columns, header=briefing.has_header)

    def cure(self, failure: Failure) -> str:
        """Say what would mend a failure on some rows, if anything is known to."""
        return super().cure(failure._replace(given=self._frame(failure.given)))

    def _places(self, result: Any, batch: LaneBatch) -> np.ndarray:  # noqa: ANN401 (a frame of three kinds)
        """Say where each row belongs: where its index says, or else behind all rows before it."""
        if not self._has_key:
            return np.arange(len(result))
        if not len(result):
            return np.empty(0, np.int64)
        if not isinstance(result, pd.DataFrame):
            if len(result) == len(batch):
                return batch.places
            raise self._lost(
                f"{plural(len(result), 'row')} of {len(batch)}, and a {type(result).__name__} has no index"
            )
        labels = result.index.to_numpy()
        if labels.dtype.kind not in "iu":
            raise self._lost(f"an index of the type {result.index.dtype}")
        at = np.minimum(np.searchsorted(batch.places, labels), len(batch) - 1)
        strange = batch.places[at] != labels
        if strange.any():
            raise self._lost(f"the index {labels[int(np.argmax(strange))]}, which is none of the rows that it got")
        return labels.astype(np.int64)

    def closed(self, states: States) -> Given | None:
        """Give the rows of windows that are closed now, if the step keeps some."""
        now = RowTypes(self._briefing.columns, self._agreed)
        rows = self.gate.closed(states, now) if self.gate is not None else None
        if rows is None:
            return None
        rows = _in_order(rows)
        self._sum.rows_out += len(rows)
        return Given(reply_in_time(rows, use=self._briefing.format), _labels(rows))

    def _lost(self, what: str) -> UserCodeError:
        return UserCodeError(
            f"{self.step!r} gave {what}. Rows of the output stand where the index says, the number of a row that the"
            " step was called with, so it is not known where these belong. Give each row such an index, for example"
            " that of the last row of its key (no reset_index, no ignore_index); or give what belongs behind all rows"
            " in at_end(states)."
        )

    @property
    def _at_end(self) -> "Callable[[States], object] | None":
        return getattr(getattr(self._function, "func", self._function), "at_end", None)

    @property
    def has_at_end(self) -> bool:
        """Tell whether the step has something to do at the end of a lane."""
        return self._at_end is not None

    def at_end(self, states: States, lane: int) -> Given | None:
        """Call the step's ``at_end``, if it has one. Raises ``UserCodeError`` where it fails: no row is to blame."""
        if (at_end := self._at_end) is None:
            return None
        began = time.perf_counter()
        try:
            with TimeLimit(self._briefing.timeout):
                result = given_back(at_end(states))
            reply = reply_in_time(result, use=self._briefing.format)
        except (UserCodeError, DataError, MemoryError):
            raise
        except BaseException as error:
            if is_from_outside(error, self._memory):
                raise
            raise UserCodeError(
                f"at_end of {self.step!r} raised {said(error)}. It gets the states of all keys of a lane, so no row can"
                " be set aside. Mend it, then type the same command again.",
                traced(error),
            ) from error
        self._sum.seconds += time.perf_counter() - began
        self._sum.rows_out += reply.rows
        return Given(reply, _LAST + (lane << _LANE_BITS) + np.arange(reply.rows))


def _labels(result: pd.DataFrame) -> np.ndarray:
    """Give the labels of rows, which are their places."""
    return result.index.to_numpy().astype(np.int64)


def _in_order(result: pd.DataFrame) -> pd.DataFrame:
    """Put rows in the order of their index; those of one index stay in the order in which they were given."""
    if result.index.dtype.kind not in "iu" or result.index.is_monotonic_increasing:
        return result
    return result.iloc[np.argsort(result.index.to_numpy(), kind="stable")]
