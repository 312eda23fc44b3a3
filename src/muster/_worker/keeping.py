"""A step that keeps a state for each key, on the rows of one lane after another.

A call that raised may have changed states by half. So states go back to what they were before the call, and the row
that is to blame is found by halving. As nothing is copied while all is well, the calls before the first that raised are
made once more, to have the states as they were; from then on the states are copied before each call on that lane.
"""

import itertools
import time
from collections import deque
from collections.abc import Iterator
from typing import Final

import numpy as np

from muster._formats.blocks import Section
from muster._model import PLACES_TOGETHER, Briefing, Exchange, Fault, Outcome, Piece, Seconds, Task, WindowsSeen
from muster.errors import EngineError, UserCodeError

from .alike import fault_in_common
from .calling import Failure, MemoryBlame
from .calling_states import Given, StateCaller
from .failures import said, spread, traced
from .lane_rows import LaneBatch, LaneRows, lanes_of
from .lane_states import NewStates, StateCache, StoredLanes
from .rejected import Rejected, shown
from .results import Results
from .states import States, kept, restored
from .steps import BadRow, after
from .writing import Writer

_MOST_BYTES: Final = 32 << 20
"""How much of results is in memory before it is written."""

_TRIES: Final = 8
"""Rows tried by themselves, from all over the batch: whether all fail alike."""


class _AllAlikeError(Exception):
    """The step fails on all rows that were tried in the same way, and no row is known to be good."""

    def __init__(self, fault: Fault) -> None:
        """Say how."""
        super().__init__(fault.error)
        self.fault = fault


class Keeping:
    """Calls a step that keeps states on the rows of one task."""

    def __init__(
        self, briefing: Briefing, task: Task, exchange: Exchange, *, memory: MemoryBlame, cache: StateCache
    ) -> None:
        """Take the task, and load the step; states of a stream may still be in the cache."""
        self._briefing = briefing
        self._task = task
        self._exchange = exchange
        self._caller = StateCaller(briefing, exchange, memory)
        self._lanes = self._states_of_lanes(exchange, cache)
        is_piece = task.without_end or not task.is_whole
        self._owes_end = self._lanes.ends and self._caller.has_at_end and is_piece
        """Whether the task is a piece of a lane that will be done once more as a whole, to come to its end."""
        self._bad = Rejected(exchange)
        self._results = self._none()
        self._rows_in = 0
        self._rows_out = 0
        self._index = ""
        self._late_rows = 0
        if self._caller.gate is not None and exchange.stored is not None:
            self._caller.gate.begin(exchange.stored.clock, has_all_keys=task.is_whole)
        if task.condemned or is_piece:
            self._check_rows_can_be_set_aside()

    def _check_rows_can_be_set_aside(self) -> None:
        """Raise ``UserCodeError`` where a lane must be done as a whole, or not at all."""
        step, stored = self._caller.step, self._exchange.stored
        if not self._exchange.grouping.columns:
            raise UserCodeError(
                f"{step!r} ended its worker again and again, and with one state for all rows none of them can be set"
                " aside. Does it crash, or need more memory than there is? Mend it, or use key_by, where rows of one"
                " key are set aside."
            )
        if self._task.without is not None:
            raise UserCodeError(
                f"{step!r} ended its worker again and again at the end of a lane: {self._task.condemned}. at_end gets"
                " the states of all keys of a lane at once, so no row can be set aside. Does it crash, or need more"
                " memory than there is? Mend it, then type the same command again."
            )
        if stored is not None and stored.clock.closes and not self._task.rows:
            raise EngineError(
                f"No worker survives closing windows: {self._task.condemned}. Is there memory left for the rows that"
                " wait in them? Try fewer workers, then type the same command again."
            )
        if stored is not None and stored.ends and self._caller.has_at_end:
            raise UserCodeError(
                f"{step!r} ended its worker again and again as the stream ended: its at_end did, or a row that at_end"
                " of a step before gave. It gets the states of all keys of a lane, so no row can be set aside. Does it"
                " crash, or need more memory than there is? Mend it, then type the same command again."
            )

    def _states_of_lanes(self, exchange: Exchange, cache: StateCache) -> NewStates:
        make, is_whole = self._caller.make_state, self._task.is_whole
        if exchange.stored is None or not exchange.stored.path:
            return NewStates(make)
        return StoredLanes(make, exchange.stored, cache, step=self._caller.step, is_whole=is_whole)

    def _none(self) -> Results:
        return Results(goes_on=self._exchange.goes_on, width=PLACES_TOGETHER)

    @property
    def _is_exhausted(self) -> bool:
        return len(self._bad) > self._task.bad_rows_left

    def outcomes(self) -> Iterator[Outcome]:
        """Go through the lanes of the task."""
        task, began = self._task, time.perf_counter()
        outcome = Outcome(task, task.hi - task.lo, 0)
        writer = Writer(self._briefing, task)
        try:
            block = self._written(writer)
        except _AllAlikeError as error:
            yield outcome._replace(fault=error.fault, bad_rows=outcome.rows_in, seconds=self._seconds(began))
            return
        self._check_has_done_all()
        outcome = self._bad.counted_in(outcome)._replace(index_names=self._index)
        outcome = outcome._replace(steps=after(self._exchange.before, self._caller.measures))
        if self._owes_end:
            outcome = outcome._replace(owes_end=True)
        elif not self._is_exhausted:
            rejects = writer.reject_all(self._bad.written) if self._bad.written else None
            output = block and block._replace(rows=self._rows_out)
            outcome = outcome._replace(rows_out=self._rows_out, output=output, rejects=rejects)
            if records := self._lanes.records:
                outcome = outcome._replace(states=writer.piece("states", records, len(records)))
            outcome = outcome._replace(windows=self._windows)
        yield outcome._replace(seconds=self._seconds(began))

    @property
    def _windows(self) -> WindowsSeen | None:
        """Tell what was seen of the windows of a stream."""
        gate, stored = self._caller.gate, self._exchange.stored
        return gate.seen(stored.stage, late_rows=self._late_rows) if gate is not None and stored is not None else None

    def _written(self, writer: Writer) -> Piece | None:
        """Write what comes of the lanes, unless it counts for nothing."""
        if self._owes_end:
            deque(self._sections(), maxlen=0)
            return None
        return writer.block(self._sections(), 0)

    def _check_has_done_all(self) -> None:
        """Raise ``EngineError`` rather than lose a row: a task of some keys has other rows than it is counted by."""
        expected = self._task.hi - self._task.lo
        if self._task.is_whole and not self._is_exhausted and self._rows_in != expected:
            raise EngineError(
                f"{self._rows_in} of {expected} rows of a lane came to {self._caller.step!r}. This is muster's fault;"
                " please report it, with the folder of the run. To start over, type the command again with --fresh."
            )

    def _seconds(self, began: float) -> Seconds:
        total, called = time.perf_counter() - began, self._caller.seconds
        return Seconds(total - called, called, total=total, failed=self._caller.failed)

    def _sections(self) -> Iterator[Section]:
        """Go through the lanes, and give what came of them now and then."""
        for share, rows in lanes_of(self._briefing, self._task, self._exchange):
            for given in self._given(rows, share.lane):
                self._results.add(given.reply, self._placed(given))
                if self._results.bytes > _MOST_BYTES:
                    yield from self._flushed()
            if self._is_exhausted:
                return
        yield from self._flushed()

    def _placed(self, given: Given) -> np.ndarray:
        """Say where rows belong: with one state for all rows, behind all that were given before."""
        if self._exchange.grouping.columns:
            return given.places
        emitted = self._rows_out + self._results.rows
        return np.arange(emitted, emitted + given.reply.rows)

    def _flushed(self) -> Iterator[Section]:
        self._rows_out += self._results.rows
        self._index = self._index or self._results.index
        yield from self._results.sections()
        self._results = self._none()

    def _given(self, rows: LaneRows, lane: int) -> Iterator[Given]:
        """Call the step on the rows of a lane, in order."""
        states, copy = self._lanes.begin(lane), None
        has_lost_all = self._reject_lethal(rows) > 0
        for at, batch in enumerate(rows.batches()):
            self._rows_in += len(batch)
            has_lost_all = False
            if self._task.condemned:
                self._reject(rows, batch, BadRow(self._caller.step, self._task.condemned))
                continue
            copy = None if copy is None else kept(states, step=self._caller.step)
            result = self._caller.call(batch, states)
            if isinstance(result, Failure):
                self._check_is_no_fault(lane, batch, result)
                copy = self._before(rows, at, self._lanes.anew(lane)) if copy is None else copy
                copy, given = self._sift(rows, batch, result, copy, like=states)
                states = restored(copy, states)
                yield from given
            else:
                yield self._counted(rows, batch, result)
            if self._is_exhausted:
                return
        if self._task.condemned or self._owes_end or has_lost_all:
            return  # a lane without a row has no end, as if its keys stood in no file
        if self._lanes.ends and (last := self._caller.at_end(states, lane)) is not None:
            yield last
        if (closed := self._caller.closed(states)) is not None:
            yield closed
        if self._caller.gate is not None:
            self._caller.gate.look(lane, states)
        self._lanes.end(lane, states)

    def _counted(self, rows: LaneRows, batch: LaneBatch, given: Given) -> Given:
        """Count rows that are done, and set those aside that came too late for their window."""
        self._caller.count(batch, given)
        if len(given.late):
            self._late_rows += len(given.late)
            if self._caller.gate is not None and self._caller.gate.late == "keep":
                late = batch.where(np.isin(batch.places, given.late))
                for file, number, text, key in rows.shown(late):
                    why = BadRow(self._caller.step, "late: its windows were closed", key=shown(key))
                    self._bad.add_late(file, number, text, why)
        return given

    def _reject_lethal(self, rows: LaneRows) -> int:
        """Reject the rows of keys that end workers, and count them."""
        count = 0
        for batch, why in rows.lethal():
            count += len(batch)
            self._reject(rows, batch, BadRow(self._caller.step, why))
        self._rows_in += count
        return count

    def _before(self, rows: LaneRows, at: int, states: States) -> bytes:
        """Make the calls before the one of this number once more, and write down the states as they are then."""
        for batch, _ in zip(rows.batches(), range(at), strict=False):
            result = self._caller.call(batch, states)
            if isinstance(result, Failure):
                raise UserCodeError(
                    f"{result.step!r} raised {said(result.error)} for rows that it could do before. A call was made"
                    " once more to have the states as they were. Have the step depend on its rows and states alone.",
                    traced(result.error),
                )
        return kept(states, step=self._caller.step)

    def _sift(
        self, rows: LaneRows, batch: LaneBatch, failure: Failure | None, copy: bytes, *, like: States
    ) -> tuple[bytes, list[Given]]:
        """Halve rows until those that fail stand alone; give the states behind them, and what the others gave.

        ``copy`` is the states before them; ``failure`` is that of all these rows, where it is known.
        """
        step = self._caller.step
        if failure is None:
            states = restored(copy, like)
            result = self._caller.call(batch, states)
            if not isinstance(result, Failure):
                return kept(states, step=step), [self._counted(rows, batch, result)]
            failure = result
        if len(batch) == 1:
            self._reject(rows, batch, BadRow(failure.step, said(failure.error), traced(failure.error)))
            return copy, []
        middle, bad = len(batch) // 2, len(self._bad)
        left, right = batch.between(0, middle), batch.between(middle, len(batch))
        copy, given = self._sift(rows, left, None, copy, like=like)
        if self._is_exhausted:
            return copy, given
        holds_culprit = len(self._bad) == bad and len(right) > 1  # as the left half has none
        copy, others = self._sift(rows, right, failure if holds_culprit else None, copy, like=like)
        return copy, [*given, *others]

    def _reject(self, rows: LaneRows, batch: LaneBatch, why: BadRow) -> None:
        for file, number, text, key in rows.shown(batch):
            named = why._replace(key=shown(key)) if self._exchange.grouping.columns else why
            self._bad.add_of(file, number, text, named)

    def _check_is_no_fault(self, lane: int, batch: LaneBatch, failure: Failure) -> None:
        """Raise where the step fails alike on all of the first rows, and none of the job is known to be good."""
        if not self._task.is_doubted or self._rows_in > len(batch):
            return
        tried = [batch.between(at, at + 1) for at in spread(len(batch), most=_TRIES)]
        results = (self._caller.call(one, self._lanes.anew(lane)) for one in tried)
        each, cure = itertools.chain([failure], results), self._caller.cure
        if (fault := fault_in_common(each, rows=len(tried), cure=cure)) is not None:
            raise _AllAlikeError(fault)
