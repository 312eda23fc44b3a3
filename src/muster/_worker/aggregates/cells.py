"""Rows of keys by cells: what a task of the first stage keeps of them for aggregations of the user's own."""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa

from muster._formats.keyed import ROW
from muster._model import Task
from muster._worker.failures import sort_of

from .codes import Codes, codes_of, together
from .own import CELL, FEWEST, OwnCaller, OwnFailure
from .plan import MeasurePlan

IS: Final = "is"
PARTIALS, ROWS = 1, 2
"""What a row of a block is that has a column ``is``: what was made of some rows of a key, or one row."""

OFFSETS: Final = "offsets"
"""The column that says which rows of a cell partials were made of; so they can be named where the key is rejected."""

_MOST_ALIKE: Final = 8
"""After so many calls that fail alike, and none that does not, no more are made here: the next stage judges that."""


class CellRuns(NamedTuple):
    """Rows in the order of their keys, and of the input within each key: those of one key and cell are a run."""

    order: np.ndarray
    lo: np.ndarray
    hi: np.ndarray


def runs_of(codes: Codes, bases: np.ndarray, numbers: np.ndarray) -> CellRuns:
    """Put rows in order, whose files begin at ``bases``."""
    order = np.lexsort((numbers, bases, codes))
    if not len(order):
        return CellRuns(order, order, order)
    sorted_ = [each[order] for each in (codes, bases, numbers // CELL)]
    differs = np.any([np.diff(each) != 0 for each in sorted_], axis=0)
    lo = np.concatenate([[0], np.flatnonzero(differs) + 1])
    return CellRuns(order, lo, np.append(lo[1:], len(order)))


def begun(table: pa.Table, plan: MeasurePlan, places: Sequence[int], task: Task, caller: OwnCaller) -> list[pa.Table]:
    """Make partials of keys that have many rows in a cell; give these, and the rows of others.

    A task that is not about all rows of its parts has cost a worker. It sends all rows on, as the next stage finds out
    which key that was.
    """
    keys = [table.column(at) for at in places]
    numbers = table.column(ROW).to_numpy()
    codes, _ = together([codes_of(cells, column) for cells, column in zip(keys, plan.keys, strict=True)])
    runs = runs_of(codes, np.zeros(len(codes), np.int64), numbers)
    chosen = _large(numbers, runs, task) if task.is_whole else numbers[:0]
    made = _partials(table, plan, runs, chosen, caller)
    named = {str(at): cells for at, cells in enumerate(keys)}
    firsts = runs.order[runs.lo[[*made]]] if made else np.empty(0, np.int64)
    travels = np.ones(len(codes), bool)
    for run in made:
        travels[runs.order[runs.lo[run] : runs.hi[run]]] = False
    rest = np.flatnonzero(travels)
    return [
        _table(named, firsts, PARTIALS, _columns_of(made, numbers, runs), numbers),
        _table(named, rest, ROWS, values_of(table, plan, rest), numbers),
    ]


def values_of(table: pa.Table, plan: MeasurePlan, rows: np.ndarray) -> dict[str, Any]:
    """Take what aggregations need of some rows."""
    return {f"v:{place}": table.column(place).take(pa.array(rows)) for place in plan.needed}


def _table(keys: dict[str, Any], rows: np.ndarray, kind: int, own: dict[str, Any], numbers: np.ndarray) -> pa.Table:
    named = {name: cells.take(pa.array(rows)) for name, cells in keys.items()}
    return pa.table({**named, IS: pa.array(np.full(len(rows), kind, np.int8)), **own, ROW: numbers[rows]})


def _columns_of(made: dict[int, list[bytes]], numbers: np.ndarray, runs: CellRuns) -> dict[str, Any]:
    """Make the columns of partials, and of the rows that they were made of."""
    offsets = [(numbers[runs.order[runs.lo[run] : runs.hi[run]]] % CELL).astype(np.uint16) for run in made]
    width = len(next(iter(made.values()), ()))
    partials = {f"p:{at}": pa.array([own[at] for own in made.values()], pa.binary()) for at in range(width)}
    return {**partials, OFFSETS: pa.array(offsets, pa.list_(pa.uint16()))}


def _large(numbers: np.ndarray, runs: CellRuns, task: Task) -> np.ndarray:
    """Choose the runs that are a call of their own, and whose cell is all in the task."""
    cells = numbers[runs.order[runs.lo]] // CELL
    is_here = (cells * CELL >= task.lo) & ((cells + 1) * CELL <= task.hi)
    return np.flatnonzero(is_here & (runs.hi - runs.lo >= FEWEST))


def _partials(
    table: pa.Table, plan: MeasurePlan, runs: CellRuns, chosen: np.ndarray, caller: OwnCaller
) -> dict[int, list[bytes]]:
    """Make the partials of some runs. One that fails has none: the next stage has its rows."""
    if not len(chosen):
        return {}
    numbers = table.column(ROW).to_numpy()
    rows = np.concatenate([runs.order[runs.lo[run] : runs.hi[run]] for run in chosen])
    needed = {place: table.column(place).take(pa.array(rows)) for place in plan.needed}
    ends = np.cumsum(runs.hi[chosen] - runs.lo[chosen])
    cut = caller.rows_of(plan.frame_of_needed(needed, numbers[rows]), np.append(0, ends[:-1]), ends)
    made, sorts = dict[int, list[bytes]](), list[tuple[str, ...]]()
    for number, run in enumerate(chosen.tolist()):
        partials = caller.begin(cut, number)
        if not isinstance(partials, OwnFailure):
            made[run] = caller.pickled(partials)
            continue
        sorts.append(sort_of(partials.step, partials.error))
        if not made and len(sorts) >= _MOST_ALIKE and len(set(sorts)) == 1:
            return {}
    return made
