"""Outcomes whose rows follow each other in the output, put together into one, and forgotten as one."""

from muster._model import Outcome, Piece, Task


def continues(before: Outcome, outcome: Outcome) -> bool:
    """Tell whether two outcomes, whose rows follow each other in the output, can be one."""
    one, other = before.task, outcome.task
    return (
        one.last == other.first
        and one.is_whole
        and other.is_whole
        and not (before.bad_rows or outcome.bad_rows)
        and (before.schema, before.written) == (outcome.schema, outcome.written)
    )


def stretch(before: Outcome, outcome: Outcome) -> Outcome:
    """Make one outcome of two; its piece has the name of the first."""
    one, other = before.task, outcome.task
    rows, stop = one.rows + other.rows, one.stop + other.stop - other.start
    piece = before.output or outcome.output
    if before.output and outcome.output:
        piece = Piece(
            before.output.name, before.output.bytes + outcome.output.bytes, 0, before.output.rows + outcome.output.rows
        )
    return Outcome(
        Task(0, one.first, other.last, one.file, one.start, stop, one.row, rows, one.row, one.row + rows),
        before.rows_in + outcome.rows_in,
        before.rows_out + outcome.rows_out,
        piece,
        schema=before.schema,
        written=before.written,
        seconds=before.seconds + outcome.seconds,
    )


def forget(kept: dict[tuple[int, int], Outcome], *, first: int, last: int, lo: int) -> None:
    """Take an outcome out, by its task; or all that a stretch was made of.

    ``kept`` is by the first part and the first row of each task.
    """
    outcome = kept.pop((first, lo), None)
    if outcome is not None and outcome.task.last < last:
        for key in [key for key in kept if first <= key[0] < last]:
            del kept[key]
