"""Outcomes that are kept, and how those whose rows follow each other in the output are joined into one."""

from bisect import bisect_left
from collections.abc import Iterable
from typing import Self

from muster._model import Outcome, Piece, Task

Key = tuple[int, int]
"""The first part and the first row of a task."""


class JoinedOutcome:
    """What became of tasks that follow each other: sums, as one outcome for each task would fill the memory.

    An outcome of all is made when it is asked for, not for each task that is added; what they took was told before.
    """

    def __init__(self, outcome: Outcome) -> None:
        """Begin with an outcome."""
        self._first = outcome
        self._whole: Outcome | None = outcome
        self._last, self._stop, self._rows = outcome.task.last, outcome.task.stop, outcome.task.rows
        self._rows_in, self._rows_out = outcome.rows_in, outcome.rows_out
        self._output = outcome.output
        self._joins = outcome.task.is_whole and not outcome.bad_rows

    def continues(self, outcome: Outcome) -> bool:
        """Tell whether an outcome, whose rows follow in the output, can be one with this."""
        first, task = self._first, outcome.task
        return (
            self._joins
            and self._last == task.first
            and task.is_whole
            and not outcome.bad_rows
            and first.schema == outcome.schema
            and first.written == outcome.written
        )

    def add(self, outcome: Outcome) -> str:
        """Take in an outcome; return the name of its piece where that is a part of this one's piece from now on."""
        task = outcome.task
        self._whole = None
        self._last = task.last
        self._stop += task.stop - task.start
        self._rows += task.rows
        self._rows_in += outcome.rows_in
        self._rows_out += outcome.rows_out
        before, piece = self._output, outcome.output
        if before is None or piece is None:
            self._output = before or piece
            return ""
        self._output = Piece(before.name, before.bytes + piece.bytes, 0, before.rows + piece.rows)
        return piece.name

    @property
    def outcome(self) -> Outcome:
        """Make one outcome of all; its piece has the name of the first."""
        if self._whole is None:
            self._whole = self._together()
        return self._whole

    def _together(self) -> Outcome:
        first, one = self._first, self._first.task
        task = Task(
            number=0,
            first=one.first,
            last=self._last,
            file=one.file,
            start=one.start,
            stop=self._stop,
            row=one.row,
            rows=self._rows,
            lo=one.row,
            hi=one.row + self._rows,
        )
        return Outcome(
            task,
            self._rows_in,
            self._rows_out,
            self._output,
            schema=first.schema,
            written=first.written,
        )


class KeptOutcomes(dict[Key, Outcome]):
    """Outcomes by their tasks, each by itself: also those that were joined into one, which are forgotten together."""

    def __init__(self, outcomes: Iterable[Outcome] = ()) -> None:
        """Begin with some outcomes."""
        super().__init__()
        self._in_order: list[Key] | None = None
        """The keys, once they were sorted, with those that were forgotten since."""
        self.keep(outcomes)

    def keep(self, outcomes: Iterable[Outcome]) -> Self:
        """Know of outcomes."""
        self._in_order = None
        for outcome in outcomes:
            self[outcome.task.first, outcome.task.lo] = outcome
        return self

    def forget(self, *, first: int, last: int, lo: int) -> None:
        """Take an outcome out, by its task; or all that were joined into the one of that task.

        What was kept is sorted once for all that is forgotten without anything being kept in between: that may be as
        many outcomes as are kept.
        """
        outcome = self.pop((first, lo), None)
        if outcome is None or outcome.task.last >= last:
            return
        if self._in_order is None:
            self._in_order = sorted(self)
        keys = self._in_order
        for at in range(bisect_left(keys, (first, 0)), bisect_left(keys, (last, 0))):
            self.pop(keys[at], None)
