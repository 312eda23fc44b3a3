"""Call a function on a batch whole and in halves, in a worker, and tell which columns differ."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from muster._formats import _rows
from muster._formats._results import Reply
from muster._model import Briefing, Task
from muster._steps import halves, once
from muster._task import rows_of

_OTHER_NUMBERS: Final = 1 << 20
"""No file has this number. Random numbers are derived from file and row, so the second call draws others."""


@dataclass(frozen=True, slots=True)
class Compared:
    """What came of calls on the same rows, whole and in halves."""

    rows: int
    rows_whole: int = 0
    rows_halves: int = 0
    differ: tuple[str, ...] = ()
    """Columns that differ when the rows come in two batches."""
    random: tuple[str, ...] = ()
    """Columns that differ between two calls on the same rows, as random ones do: no verdict on these."""
    bad_rows: int = 0
    """How many more rows there were, which could not be read."""
    index: str = ""
    """The names of an index of the result, which is not written."""
    misfits: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """Columns whose types turned out too narrow: then nothing was called."""

    @property
    def is_row_wise(self) -> bool:
        """Tell whether it makes no difference where batches end, as far as these rows show."""
        return not self.differ and (self.rows_whole == self.rows_halves)


@dataclass(frozen=True, slots=True)
class Compare:
    """Ask a worker to compare, on the rows of a task."""

    briefing: Briefing
    task: Task

    def answer(self) -> Compared:
        """Make four calls. Raises ``UserCodeError`` where one of them fails."""
        rows = rows_of(self.briefing, self.task)
        if rows.misfits:
            return Compared(0, misfits=rows.misfits)
        whole, left, right = self._call(rows), *map(self._call, halves(rows))
        again = self._call(rows, file=self.task.file + _OTHER_NUMBERS)
        random = _differing(whole, again)
        differ = tuple(name for name in _differing(whole, left, right) if name not in random)
        count, parts = whole.rows, left.rows + right.rows
        if again.rows != count:  # rows are chosen by chance
            differ, parts, random = (), count, tuple(whole.table.column_names)
        return Compared(len(rows.numbers), count, parts, differ, random, len(rows.bad), whole.index)

    def _call(self, rows: _rows.Rows, *, file: int | None = None) -> Reply:
        return once(self.briefing, rows, file=self.task.file if file is None else file)


def _differing(whole: Reply, *parts: Reply) -> tuple[str, ...]:
    """Name the columns that are not the same in a table as in parts of it, put together."""
    shown = [part for part in parts if part.table.num_columns or part.rows]
    names = dict.fromkeys([*whole.table.column_names, *(name for part in shown for name in part.table.column_names)])
    return tuple(
        name for name in names if not _is_same(_cells(name, whole), [c for p in shown for c in _cells(name, p)])
    )


def _cells(name: str, reply: Reply) -> list[Any]:
    """List a column's cells; where there is no such column, they are missing."""
    at = reply.table.schema.get_field_index(name)
    return reply.table.column(at).to_pylist() if at >= 0 else [None] * reply.rows


def _is_same(cells: list[Any], others: list[Any]) -> bool:
    return len(cells) == len(others) and all(
        one is other or one == other or repr(one) == repr(other) for one, other in zip(cells, others, strict=True)
    )
