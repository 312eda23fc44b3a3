"""Outcomes whose rows follow each other in the output, put together into one, and forgotten as one."""

from muster._model import Outcome, Piece, Task


class Stretch:
    """What became of tasks that follow each other: sums, as one outcome for each task would fill the memory.

    An outcome of all is made when it is asked for, not for each task that is added.
    """

    def __init__(self, outcome: Outcome) -> None:
        """Begin with an outcome."""
        self._first = outcome
        self._whole: Outcome | None = outcome
        self._last, self._stop, self._rows = outcome.task.last, outcome.task.stop, outcome.task.rows
        self._rows_in, self._rows_out = outcome.rows_in, outcome.rows_out
        self._output = outcome.output
        self._seconds = outcome.seconds
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
        self._seconds += outcome.seconds
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
        return Outcome(
            Task(0, one.first, self._last, one.file, one.start, self._stop, one.row, self._rows, one.row,
                 one.row + self._rows),
            self._rows_in,
            self._rows_out,
            self._output,
            schema=first.schema,
            written=first.written,
            seconds=self._seconds,
        )  # fmt: skip


def forget(kept: dict[tuple[int, int], Outcome], *, first: int, last: int, lo: int) -> None:
    """Take an outcome out, by its task; or all that a stretch was made of.

    ``kept`` is by the first part and the first row of each task.
    """
    outcome = kept.pop((first, lo), None)
    if outcome is not None and outcome.task.last < last:
        for key in [key for key in kept if first <= key[0] < last]:
            del kept[key]
