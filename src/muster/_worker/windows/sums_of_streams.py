"""Sums and the like of the windows of a stream: what they are worked out of waits until a window closes, not its rows.

What is kept of some rows of a window is a stretch: a row for each key. Where one comes that is not much smaller than
the last one before it, both become one. So a window has few, and together they have at most twice as many rows as the
window has keys; and each row of them is written anew a few times, not with each epoch.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa

from muster._formats.agreed import AS_IS
from muster._formats.between import check_same_keys
from muster._formats.keyed import ROW, places_of
from muster._formats.rows import to_pandas
from muster._model import WINDOW_END, WINDOW_START, Column, Grouping, Measure
from muster._worker.aggregates import kinds
from muster._worker.aggregates.codes import Codes, codes_of, together
from muster._worker.aggregates.plan import MeasurePlan
from muster._worker.aggregates.step import agg
from muster._worker.aggregating import reduced
from muster.errors import DataError

from .gates import GateRows, RowTypes, due, keys_of
from .of_streams import StreamWindows
from .times import check_has_none

_WINDOW: Final = (Column(WINDOW_START, fixed=AS_IS), Column(WINDOW_END, fixed=AS_IS))

_MUCH_LARGER: Final = 2
"""How many times as many rows a stretch has, at least, that stays apart from what comes behind it."""


class Partials(NamedTuple):
    """What is kept of some rows of a window."""

    table: pa.Table
    """A row for each key: the key, what is kept of its rows, and the place of the first of them."""
    columns: tuple[Column, ...]
    """Those that the rows had: of the key, of what sums are made of, and of the window."""
    agreed: bytes
    """Arrow's schema of them."""
    last: int
    """The place of the last row of the epoch: later rows may have other types, which are those of all until then."""


class SummedWindows(StreamWindows):
    """Windows of one length, of whose rows only sums and the like are wanted."""

    def __init__(  # noqa: PLR0913 (each is given by its name)
        self,
        *,
        key: Sequence[str],
        made: Sequence[str],
        measures: Sequence[Measure],
        time: str,
        size: int,
        every: int,
        late: str,
    ) -> None:
        """Know the columns of the key, of which functions have ``made`` some, and what is worked out."""
        super().__init__(time=time, size=size, every=every, late=late)
        columns = (*key, WINDOW_START, WINDOW_END)
        self._by = Grouping(columns, dropna=False, measures=tuple(measures), made=tuple(made))
        asked = [name for one in measures for name in one.columns if name not in {WINDOW_START, WINDOW_END}]
        self._needed = tuple(dict.fromkeys((*key, *asked)))

    def __call__(self, df: pd.DataFrame, states: Any) -> pd.DataFrame:  # noqa: ANN401 (states by key)
        """Say what the output looks like: it is called with no rows alone."""
        by = self._by
        return agg(key=by.columns, measures=by.measures, named=by.named)(super().__call__(df, states))

    def keep(self, rows: GateRows, states: Any) -> bool:  # noqa: ANN401 (likewise)
        """Keep what sums are made of; rows that come too late are counted."""
        check_has_none(pd.DataFrame(columns=[one.name for one in rows.columns]), (WINDOW_START, WINDOW_END))
        ticks = self._times(self._timed(rows), self._time, self._size, self._every)
        taken, starts = self._in_windows(rows.places, ticks)
        if not len(taken):
            return True
        needed, size = places_of(self._needed, rows.columns), ticks.length(self._size)
        window = [pa.array(ticks.times(own, pd.RangeIndex(len(own)))) for own in (starts, starts + size)]
        cells = [*rows.table.select(needed).take(pa.array(taken)).columns, *window, pa.array(rows.places[taken])]
        columns = (*(rows.columns[place] for place in needed), *_WINDOW)
        table = pa.table(cells, names=[*map(str, range(len(columns))), ROW])
        agreed = _schema_of(columns[: len(needed)], rows.agreed, window[0].type)
        kept = reduced(table, _plan_of(self._by, columns, agreed), places_of(self._by.columns, columns))
        begins = kept.column(str(len(self._by.columns) - len(_WINDOW))).cast(pa.int64()).to_numpy()
        waiting = _by_ends(states)
        for start in np.unique(begins).tolist():
            own, end = kept.filter(pa.array(begins == start)), ticks.microseconds(start + size)
            self._add(Partials(own, columns, agreed, int(rows.places[-1])), end, waiting[end], states)
        return True

    def _timed(self, rows: GateRows) -> pd.DataFrame:
        """Make a frame of the column that has the times; of all columns, where it is not there, so that one is told."""
        all_of_them = [*range(len(rows.columns))]
        places = [at for at in all_of_them if rows.columns[at].name == self._time] or all_of_them
        columns = tuple(rows.columns[at] for at in places)
        return to_pandas(rows.table.select(places), rows.places, columns, header=True)

    def _add(self, stretch: Partials, end: int, waiting: list[Any], states: Any) -> None:  # noqa: ANN401 (likewise)
        """Keep a stretch behind those of the window that are ``waiting``, or as one with the last of them.

        A task that has rows of some keys alone leaves them as they are: another has the rest.
        """
        parts, key, count = [stretch], (end, stretch.table.column(ROW)[0].as_py()), len(stretch.table)
        while self.has_all_keys and waiting:
            before = dict.__getitem__(states, waiting[-1])
            if len(before.table) >= _MUCH_LARGER * count:
                break
            key = waiting.pop()
            parts.insert(0, states.pop(key))
            count += len(before.table)
        states[key] = self._whole(parts) if parts[1:] else stretch

    def _whole(self, parts: Sequence[Partials]) -> Partials:
        """Make one stretch of several, which come in the order of the input."""
        newest = max(parts, key=lambda one: one.last)
        plan, table, codes, firsts = self._together(parts, newest)
        keys = {str(at): table.column(str(at)).take(firsts) for at in range(len(plan.keys))}
        kept = plan.put_together(table, codes, len(firsts))
        return newest._replace(table=pa.table({**keys, **kept, ROW: table.column(ROW).take(firsts)}))

    def _together(self, parts: Sequence[Partials], newest: Partials) -> tuple[MeasurePlan, pa.Table, Codes, pa.Array]:
        """Put stretches behind each other; tell the number of each row's key, and the first row of each key."""
        plan = _plan_of(self._by, newest.columns, newest.agreed)
        key = {str(at): column.name for at, column in enumerate(plan.keys)}
        table = pa.concat_tables([_as_in(newest, one, key) for one in parts], promote_options="permissive")
        columns = [codes_of(table.column(str(at)), column) for at, column in enumerate(plan.keys)]
        codes, firsts = together(columns)
        return plan, table, codes, pa.array(firsts)

    def closed(self, states: Any, now: RowTypes) -> pd.DataFrame | None:  # noqa: ANN401 (likewise)
        """Give the rows of the output of windows that are closed now, each labelled by the place of its first row."""
        keys = due(states, self.clock.watermark) if self.clock.closes else []
        if not keys:
            return None
        parts = [states.pop(key) for key in keys]
        newest = max(parts, key=lambda one: one.last)
        try:
            return self._worked_out(parts, newest)
        except DataError:  # a sum is too large for its type, which may be another one by now
            if not {*self._needed} <= {column.name for column in now.columns}:
                raise
            return self._worked_out(parts, self._none(now, newest))

    def _none(self, now: RowTypes, newest: Partials) -> Partials:
        """Make a stretch without rows that has the types of ``now``; of the window it has those of another stretch."""
        columns = (*(now.columns[place] for place in places_of(self._needed, now.columns)), *_WINDOW)
        window = newest.table.column(str(len(self._by.columns) - 1)).type
        agreed = _schema_of(columns[: -len(_WINDOW)], now.agreed, window)
        rows = kinds.table_of(columns, agreed).append_column(ROW, pa.array([], pa.int64()))
        kept = reduced(rows, _plan_of(self._by, columns, agreed), places_of(self._by.columns, columns))
        return Partials(kept, columns, agreed, newest.last)

    def _worked_out(self, parts: Sequence[Partials], newest: Partials) -> pd.DataFrame:
        """Work out the rows of the output. Raises ``DataError`` where a sum does not fit the types of ``newest``."""
        plan, table, codes, firsts = self._together(parts, newest)
        cells = [table.column(str(at)).take(firsts) for at in range(len(plan.keys))]
        made = plan.frame(kinds.frame_of(plan.keys, plan.agreed, cells), plan.together(table, codes, len(firsts)), {})
        return made.set_axis(pd.Index(table.column(ROW).take(firsts).to_numpy()))


def _as_in(newest: Partials, one: Partials, key: Mapping[str, str]) -> pa.Table:
    """Give values the types that they have in the newest stretch, as integers may have become floats since.

    Raises ``DataError`` where they would be other keys then.
    """
    kinds, table = newest.table.schema, one.table
    if table.schema.equals(kinds):
        return table
    for at, name in enumerate(table.column_names):
        cells = table.column(at)
        kind = kinds.field(name).type if name in kinds.names else cells.type
        value = kind.value_type if pa.types.is_list(kind) else kind
        if cells.type != kind and not pa.types.is_null(value):  # the newest has no value, so it has the type of others
            is_float = pa.types.is_floating(value)
            own = cells.cast(kind, safe=not is_float)  # pandas takes the nearest float, too
            if name in key:
                check_same_keys(cells, own, key[name])
            table = table.set_column(at, name, own)
    return table


@lru_cache(maxsize=8)  # a few schemas of a stream, as the columns of one may come to have other types
def _plan_of(by: Grouping, columns: tuple[Column, ...], agreed: bytes) -> MeasurePlan:
    return MeasurePlan(by, columns, agreed)


@lru_cache(maxsize=8)  # likewise
def _schema_of(columns: tuple[Column, ...], agreed: bytes, window: pa.DataType) -> bytes:
    """Write the schema of rows that are in windows."""
    schema = kinds.table_of(columns, agreed).schema
    for column in _WINDOW:
        schema = schema.append(pa.field(column.name, window))
    return bytes(schema.serialize().to_pybytes())


def _by_ends(states: Any) -> dict[int, list[Any]]:  # noqa: ANN401 (states by key)
    """List the keys of the stretches of each window, by when it ends, in the order of the input."""
    by_ends = defaultdict[int, list[Any]](list)
    for key in sorted(keys_of(states)):
        by_ends[key[0]].append(key)
    return by_ends


window = SummedWindows
"""What users call the step."""
