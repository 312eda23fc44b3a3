"""Call a function on rows whole, in halves and in small batches, in a worker, and tell which columns differ."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

import pyarrow as pa

from muster._formats.results import Reply
from muster._formats.rows import Rows
from muster._model import Briefing, Task
from muster.errors import DataError, UserCodeError

from .alone import in_small_batches
from .calling import called, once
from .reading import reader_of
from .steps import halves

_OTHER_NUMBERS: Final = 1 << 20
"""No file has this number. Random numbers are derived from file and row, so the second call draws others."""

_SECONDS: Final = 10.0
"""How long the small batches, and as many between them, may take about, where the time does not go with the rows."""

_FEWEST: Final = 4
"""Small batches that are compared, however long a call takes."""

_MOST: Final = 40
"""How many small batches there are."""

_TOLERANCE: Final = 1e-9
"""Relative: sums that are added in another order differ in the last digits."""

_OF_FEWER_DIGITS: Final = 1e-5
"""Of floats of 32 or 16 bits, and of numbers in text."""

_FLOAT: Final = re.compile(r"[-+]?\d*\.\d+(?:[eE][-+]?\d+)?")


@dataclass(frozen=True, slots=True)
class Compared:
    """What came of calls on the same rows: whole, in halves, and with small batches among them."""

    rows: int
    rows_whole: int = 0
    rows_halves: int = 0
    rows_small: int = 0
    """How many rows came back of the small batches, and of what lies between them."""
    batches: int = 0
    """How many of the batches were small."""
    largest: int = 0
    """How many rows the largest of them had."""
    differ: tuple[str, ...] = ()
    """Columns that differ when the rows come in other batches."""
    nearly: tuple[str, ...] = ()
    """Columns that differ in the last digits of numbers alone, as sums of floats do."""
    random: tuple[str, ...] = ()
    """Columns that differ between two calls on the same rows, as random ones do: no verdict on these."""
    bad_rows: int = 0
    """How many more rows there were, which could not be read."""
    index: str = ""
    """The names of an index of the result, which is not written."""
    fails: str = ""
    """How a call on fewer of the rows failed, where one did."""
    misfits: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """Columns whose types turned out too narrow: then nothing was called."""


@dataclass(frozen=True, slots=True)
class Compare:
    """Ask a worker to compare, on the rows of a task."""

    briefing: Briefing
    task: Task

    def answer(self) -> Compared:
        """Make the calls. Raises ``UserCodeError`` where one on the whole fails."""
        rows = reader_of(self.briefing, self.task).read()
        if rows.misfits:
            return Compared(0, misfits=rows.misfits)
        whole, again = self._call(rows), self._call(rows, file=self.task.file + _OTHER_NUMBERS)
        found = Compared(
            len(rows.numbers), whole.rows, whole.rows, whole.rows, bad_rows=len(rows.bad), index=whole.index
        )
        if not len(rows.numbers):  # none could be read, which is no fault of the function's
            return found
        try:
            both = [self._call(half) for half in halves(rows)]
            pieces, small = in_small_batches(rows, most=self._most(rows))
            among = [self._call(piece) for piece in pieces]
        except (UserCodeError, DataError) as error:
            return replace(found, fails=str(error).partition("\n")[0])
        found = replace(found, batches=len(small), largest=max(len(batch.numbers) for batch in small))
        if again.rows != whole.rows:  # rows are chosen by chance
            return replace(found, random=tuple(whole.table.column_names))
        random, in_halves, in_small = _differing(whole, again), _differing(whole, *both), _differing(whole, *among)
        told = [name for name in in_halves | in_small if name not in random]
        much = tuple(name for name in told if in_halves.get(name) or in_small.get(name))
        return replace(
            found,
            rows_halves=sum(half.rows for half in both),
            rows_small=sum(piece.rows for piece in among),
            differ=much,
            nearly=tuple(name for name in told if name not in much),
            random=tuple(random),
        )

    def _most(self, rows: Rows) -> int:
        """Tell how many small batches there is time for, from what a call on one row takes."""
        one = Rows(rows.table.slice(0, 1), rows.numbers[:1])
        _, seconds = called(self.briefing, one, file=self.task.file)
        if _fitting(seconds) < _MOST:  # it may have been held up, once
            seconds = min(seconds, called(self.briefing, one, file=self.task.file)[1])
        return _fitting(seconds)

    def _call(self, rows: Rows, *, file: int | None = None) -> Reply:
        return once(self.briefing, rows, file=self.task.file if file is None else file)


def _differing(whole: Reply, *parts: Reply) -> dict[str, bool]:
    """Name the columns that are not the same in a table as in parts of it, put together; and whether by much."""
    shown = [part for part in parts if part.table.num_columns or part.rows]
    names = dict.fromkeys([*whole.table.column_names, *(name for part in shown for name in part.table.column_names)])
    found = {}
    for name in names:
        cells, others = _cells(name, whole), [cell for part in shown for cell in _cells(name, part)]
        if not _is_same(cells, others):
            found[name] = not _is_near(cells, others, tolerance=_tolerance(name, whole))
    return found


def _cells(name: str, reply: Reply) -> list[Any]:
    """List a column's cells; where there is no such column, they are missing."""
    at = reply.table.schema.get_field_index(name)
    return reply.table.column(at).to_pylist() if at >= 0 else [None] * reply.rows


def _is_same(cells: list[Any], others: list[Any]) -> bool:
    return len(cells) == len(others) and all(
        one is other or one == other or repr(one) == repr(other) for one, other in zip(cells, others, strict=True)
    )


def _tolerance(name: str, reply: Reply) -> float:
    """Tell by which share of them numbers of a column may differ: a few of the last digits that its type has."""
    at = reply.table.schema.get_field_index(name)
    kind = reply.table.schema.field(at).type if at >= 0 else pa.null()
    return _TOLERANCE if kind == pa.float64() else _OF_FEWER_DIGITS


def _is_near(cells: list[Any], others: list[Any], *, tolerance: float) -> bool:
    return len(cells) == len(others) and all(
        one is other or one == other or repr(one) == repr(other) or _are_near(one, other, tolerance)
        for one, other in zip(cells, others, strict=True)
    )


def _are_near(one: object, other: object, tolerance: float) -> bool:
    """Compare two numbers, or texts that are alike but for the numbers with a point in them, such as lists."""
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=tolerance, abs_tol=tolerance / 1000)
    if not (isinstance(one, str) and isinstance(other, str)):
        return False
    numbers, theirs = _FLOAT.findall(one), _FLOAT.findall(other)
    return _FLOAT.sub("", one) == _FLOAT.sub("", other) and all(
        math.isclose(float(a), float(b), rel_tol=tolerance, abs_tol=tolerance / 1000)
        for a, b in zip(numbers, theirs, strict=True)
    )


def _fitting(seconds: float) -> int:
    return int(min(max(_SECONDS / 2 / max(seconds, 1e-9), _FEWEST), _MOST))
