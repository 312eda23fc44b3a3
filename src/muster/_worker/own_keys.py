"""The user's own aggregations of the keys of one task: their values, and the keys that cannot be done."""

from collections.abc import Iterator
from functools import cached_property
from typing import Any, Final, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa

from muster._formats.results import Reply, reply_of
from muster._model import Briefing, Exchange, Fault, Outcome, Task

from .aggregates.own import OwnCaller, OwnFailure, alike, column_of
from .aggregates.plan import MeasurePlan
from .aggregates.putting import LaneParts, Putting
from .calling import MemoryBlame
from .failures import sort_of, traced
from .groups import Chunk
from .rejected import Rejected, shown
from .steps import FEWEST_TO_BLAME, BadRow, after

_TRIES: Final = 8
"""Keys tried by themselves, from all over: whether all fail alike."""


class TaskKeys(NamedTuple):
    """The keys of a task, numbered."""

    cells: list[pa.ChunkedArray]
    """The columns of the key, of all rows."""
    codes: np.ndarray
    """The number of each row's key."""
    firsts: np.ndarray
    """The first row of each key."""
    frame: pd.DataFrame
    """The keys."""


class OwnKeys:
    """Works out the user's own aggregations, key by key."""

    def __init__(
        self, briefing: Briefing, task: Task, exchange: Exchange, memory: MemoryBlame, plan: MeasurePlan
    ) -> None:
        """Load the aggregations. Raises as ``load`` does."""
        self._briefing = briefing
        self._task = task
        self._exchange = exchange
        self._plan = plan
        self._caller = OwnCaller(briefing, memory, plan.own)
        self._fault: Fault | None = None
        self._values: list[list[Any] | None] = []
        """Of each key; none of one that cannot be done."""
        self.bad = Rejected(exchange)

    @property
    def seconds(self) -> float:
        """Tell how long the functions took."""
        return self._caller.seconds

    @property
    def ends(self) -> bool:
        """Tell whether nothing of the task is to be kept."""
        return self._fault is not None or len(self.bad) > self._task.bad_rows_left

    def said_in(self, outcome: Outcome) -> Outcome:
        """Tell what came of the keys."""
        if self._fault is not None:
            return outcome._replace(fault=self._fault, bad_rows=outcome.rows_in)
        outcome = self.bad.counted_in(outcome)
        return outcome._replace(steps=after(self._exchange.before, self._caller.measures))

    def work_out(self, chunk: Chunk, keys: TaskKeys) -> None:
        """Work out all keys, in order, until more rows are bad than may be."""
        putting = Putting(self._kept(chunk, keys), self._plan, self._caller)
        count = len(keys.firsts)
        self._values = [None] * count
        tried = self._tried(putting, count)
        if self._fault is not None:
            return
        for key in range(count):
            why = BadRow(self._briefing.steps[0].name, self._task.condemned)
            if not self._task.condemned:
                value = tried.get(key) or putting.value(key)
                if not isinstance(value, OwnFailure):
                    self._values[key] = value
                    self._caller.sums.rows_out += 1
                    continue
                why = BadRow(value.step, value.said, traced(value.error))
            named = self._key(keys, key)
            rows = ((base, number, text or str(named)) for base, number, text in putting.shown(key))
            self.bad.add_group(rows, why._replace(key=shown(self._named(named))))
            if len(self.bad) > self._task.bad_rows_left:
                return

    def _tried(self, putting: Putting, count: int) -> dict[int, list[Any] | OwnFailure]:
        """Try keys from all over, if no row is known to be good; where all fail alike, the function is to blame."""
        if not self._task.is_doubted or self._task.condemned or not count:
            return {}
        values = dict[int, list[Any] | OwnFailure]()
        first: OwnFailure | None = None
        for key in sorted({(count - 1) * at // (_TRIES - 1) for at in range(_TRIES)}):
            values[key] = value = putting.value(key)
            first = first or (value if isinstance(value, OwnFailure) else None)
            if not (isinstance(value, OwnFailure) and first is not None and _sort(value) == _sort(first)):
                return values
        if first is not None:
            trace = traced(first.error)
            self._fault = Fault(
                step=first.step,
                sort=_sort(first),
                error=first.said,
                traceback=trace,
                cure="",
                rows=len(values),
                fewest=FEWEST_TO_BLAME,
            )
        return values

    def _kept(self, chunk: Chunk, keys: TaskKeys) -> LaneParts:
        """Say where the columns are that aggregations need: among those of whole rows, or of those that travel."""
        table, is_whole = chunk.table, bool(self._exchange.agreed)
        names = {place: table.column_names[place] if is_whole else f"v:{place}" for place in self._plan.needed}
        cells = {
            place: table.column(place if is_whole else name)
            for place, name in names.items()
            if is_whole or name in table.column_names
        }
        numbers = chunk.bases + chunk.numbers if is_whole else chunk.numbers
        return LaneParts(table, keys.codes, chunk.bases * (not is_whole), numbers, cells)

    def _key(self, keys: TaskKeys, key: int) -> dict[str, Any]:
        values = [cells[int(keys.firsts[key])].as_py() for cells in keys.cells]
        return dict(zip(self._exchange.grouping.named, values, strict=True))

    def _named(self, key: dict[str, Any]) -> object:
        return next(iter(key.values())) if self._exchange.grouping.is_scalar else [*key.values()]

    # The values as columns

    @cached_property
    def is_good(self) -> np.ndarray:
        """Mark the keys that are in the output."""
        return np.array([value is not None for value in self._values], bool)

    @property
    def columns(self) -> dict[str, "pd.Series[Any]"]:
        """Make columns of what may be of any type."""
        blank = np.empty(len(self._values), object)
        return {one.output: pd.Series(blank) for one in self._plan.own}

    def replies(self, frame: pd.DataFrame, order: np.ndarray, *, use: str) -> Iterator[tuple[Reply, np.ndarray]]:
        """Give the good keys with their values: those that look alike together, in their order."""
        good = order[self.is_good[order]]
        found = dict[Any, list[tuple[Reply, np.ndarray]]]()
        for those in alike([self._values[key] or [] for key in good]):
            keys = good[those]
            reply = reply_of(self._typed(frame.take(keys), keys), use=use)
            found.setdefault((reply.schema, reply.table.schema), []).append((reply, those))
        for each in found.values():
            together = np.concatenate([those for _, those in each])
            at = np.argsort(together)
            table = pa.concat_tables([reply.table for reply, _ in each]).take(pa.array(at))
            yield Reply(table, len(at), each[0][0].schema), good[together[at]]

    def _typed(self, frame: pd.DataFrame, keys: np.ndarray) -> pd.DataFrame:
        values = [self._values[key] or [] for key in keys]
        columns = {
            one.output: column_of([own[at] for own in values]).set_axis(frame.index)
            for at, one in enumerate(self._plan.own)
        }
        return frame.assign(**columns)


def _sort(failure: OwnFailure) -> tuple[str, ...]:
    return sort_of(failure.step, failure.error)
