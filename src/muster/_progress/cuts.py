"""Tasks made of parts, and cut into smaller ones: pure."""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from itertools import groupby, pairwise
from typing import Final, NamedTuple

from muster._model import Part, Task

_SHARES: Final = 16
"""Two cuts find one file among 256."""


def task_of(parts: Sequence[Part], first: int, last: int, *, rows: tuple[int, int] | None = None) -> Task:
    """Make a task of the parts from ``first`` to ``last``, or of some of their rows, which are then of one file."""
    start, end = parts[first], parts[last - 1]
    if start.file != end.file:
        return together(_by_file(parts, first, last))
    stop_row = end.row + end.rows
    lo, hi = rows or (start.row, stop_row)
    return Task(
        number=0,
        first=first,
        last=last,
        file=start.file,
        start=start.start,
        stop=end.stop,
        row=start.row,
        rows=stop_row - start.row,
        lo=lo,
        hi=hi,
        local_copy=start.local_copy,
        condemned=start.fault,
    )


class Remainder(NamedTuple):
    """What is left of an input of which some rows are done: tasks of parts that are done in part."""

    touched: AbstractSet[int]
    """The parts that are done, all of them or in part."""
    tasks: Sequence[Task]


def uncovered(parts: Sequence[Part], done: Iterable[Task]) -> Remainder:
    """Find out what some tasks leave to be done of the parts that they are about."""
    whole: set[int] = set()
    covered: dict[int, list[tuple[int, int]]] = {}
    for task in done:
        if task.is_whole:
            whole.update(range(task.first, task.last))
            continue
        for index in range(task.first, task.last):
            part = parts[index]
            lo, hi = max(task.lo, part.row), min(task.hi, part.row + part.rows)
            if lo < hi:
                covered.setdefault(index, []).append((lo, hi))
    gaps = ((index, gap) for index, rows in covered.items() for gap in _gaps(parts[index], sorted(rows)))
    return Remainder(whole | covered.keys(), [task_of(parts, index, index + 1, rows=gap) for index, gap in gaps])


def _gaps(part: Part, covered: list[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    reached = part.row
    for lo, hi in [*covered, (part.row + part.rows, 0)]:
        if lo > reached:
            yield reached, lo
        reached = hi


def _by_file(parts: Sequence[Part], first: int, last: int) -> list[Task]:
    """Make a task for each file of these parts."""
    places = (list(own) for _, own in groupby(range(first, last), key=lambda at: parts[at].file))
    return [task_of(parts, own[0], own[-1] + 1) for own in places]


def together(members: Sequence[Task]) -> Task:
    """Make one task of several, each of all rows of some parts, which follow each other; it has the first's number."""
    first, last = members[0], members[-1]
    if len(members) == 1:
        return first
    rows, size = sum(member.rows for member in members), sum(member.stop - member.start for member in members)
    return first._replace(
        last=last.last,
        stop=first.start + size,
        rows=rows,
        hi=first.row + rows,
        local_copy=None,
        members=tuple(members),
    )


def shares(task: Task) -> list[Task]:
    """Cut a task of several files into some of fewer files each: so few cuts find the file that ends workers.

    Each may take a time limit to fail, so that halves would be slow; and single files are slow where all are well.
    """
    size = -(-len(task.members) // _SHARES)
    return [together(task.members[at : at + size]) for at in range(0, len(task.members), size)]


def narrowed(parts: Sequence[Part], task: Task) -> Task:
    """Make a task of the same rows, and of the parts alone that hold them."""
    if task.last - task.first > 1 and parts[task.first].file != parts[task.last - 1].file:  # all rows of several files
        return task_of(parts, task.first, task.last)
    rows = [part.row for part in parts[task.first : task.last]]
    first = task.first + max(bisect_right(rows, task.lo) - 1, 0)
    last = task.last if task.reaches_end else task.first + bisect_right(rows, task.hi - 1)
    return task_of(parts, first, last, rows=(task.lo, task.hi))


def condemned(task: Task, reason: str, *, deaths: int) -> Task:
    """Make the task that rejects a row that kills workers."""
    return task._replace(condemned=f"{reason} ({deaths} times)")


def halves(parts: Sequence[Part], task: Task, *, batch_rows: int | None) -> list[Task]:
    """Cut a task into two, between parts or else between batches or rows; a single row gives none."""
    if task.last - task.first > 1:
        middle = (task.first + task.last) // 2
        return [task_of(parts, task.first, middle), task_of(parts, middle, task.last)]
    rows = task.hi - task.lo
    middle = task.lo + rows // 2
    if batch_rows and rows > batch_rows:
        middle = max(middle - middle % batch_rows, task.lo - task.lo % batch_rows + batch_rows)
    return [] if rows <= 1 else _cut(parts, task, [(task.lo, middle), (middle, task.hi)])


def calls_of(task: Task, batch_rows: int | None) -> int:
    """Tell how many batches a task has, each of which is a call."""
    if not batch_rows or task.lo == task.hi:
        return 1
    return (task.hi - 1) // batch_rows - task.lo // batch_rows + 1


def first_calls(parts: Sequence[Part], task: Task, *, batch_rows: int | None, most: int | None) -> list[Task]:
    """Cut so many batches off a task, where it has more; then give those and the rest, in order."""
    if most is None or not batch_rows or calls_of(task, batch_rows) <= most:
        return [task]
    border = (task.lo // batch_rows + most) * batch_rows
    at = max((at for at in range(task.first + 1, task.last) if parts[at].row <= border), default=task.last)
    if at < task.last:
        return [task_of(parts, task.first, at), task_of(parts, at, task.last)]
    one = task if task.last - task.first == 1 else task_of(parts, task.first, task.first + 1)
    others = [] if one.last == task.last else [task_of(parts, one.last, task.last)]
    return [*_cut(parts, one, [(one.lo, border), (border, one.hi)]), *others]


def in_pieces(parts: Sequence[Part], task: Task, count: int) -> list[Task]:
    """Cut a task into so many of about as many rows each, in order; no more than it has rows."""
    rows = task.hi - task.lo
    borders = [task.lo + rows * at // min(count, rows) for at in range(min(count, rows) + 1)]
    return _cut(parts, task, pairwise(borders))


def last_row(parts: Sequence[Part], task: Task) -> tuple[list[Task], list[Task]]:
    """Take the last row out of a task of one part; give that, and what is left."""
    return _taken_out(parts, task, [task.hi - 1])


def some_rows(parts: Sequence[Part], task: Task) -> tuple[list[Task], list[Task]]:
    """Take three rows out of a task, each by itself, from its ends and its middle; give them, and what is left."""
    if task.last - task.first == 1:
        return _taken_out(parts, task, _ends_and_middle(task.lo, task.hi))
    places = _ends_and_middle(task.first, task.last)
    rows, left = [], [task_of(parts, *one) for one in _between(task.first, places, task.last)]
    for at, index in enumerate(places):
        part = task_of(parts, index, index + 1)
        single, others = _taken_out(parts, part, [part.hi - 1 if at else part.lo])
        rows += single
        left += others
    return rows, left


def _taken_out(parts: Sequence[Part], task: Task, rows: Sequence[int]) -> tuple[list[Task], list[Task]]:
    single = _cut(parts, task, ((row, row + 1) for row in rows))
    return single, _cut(parts, task, _between(task.lo, rows, task.hi))


def _cut(parts: Sequence[Part], task: Task, stretches: Iterable[tuple[int, int]]) -> list[Task]:
    return [task_of(parts, task.first, task.last, rows=rows) for rows in stretches]


def _ends_and_middle(first: int, end: int) -> list[int]:
    return sorted({first, (first + end) // 2, end - 1})


def _between(first: int, places: Sequence[int], end: int) -> list[tuple[int, int]]:
    """List the stretches that are left when some places are taken out."""
    return [(one + 1, other) for one, other in pairwise([first - 1, *places, end]) if one + 1 < other]
