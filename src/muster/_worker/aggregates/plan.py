"""Which columns travel for the measures of a job, and the frame that these come to at last."""

from collections.abc import Mapping
from functools import cached_property, lru_cache
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa

from muster._formats.cells import one_chunk
from muster._formats.keyed import places_of
from muster._model import Briefing, Column, Exchange, Grouping, Measure
from muster.errors import DataError

from . import kinds, partials
from .codes import Codes
from .outputs import OUTPUTS, Kept, Overflow, needs
from .step import agg

_SORTS: Final[Mapping[str, partials.Partial]] = {
    one.name: one
    for one in (
        *(partials.Size(), partials.Count(), partials.Truths(), partials.Sum(), partials.Squares()),
        *(partials.DecimalSum(), partials.First(), partials.Last(), partials.Least(), partials.Greatest()),
        partials.Distinct(),
    )
}


def plan_of(briefing: Briefing, exchange: Exchange) -> "MeasurePlan":
    """Make the plan of a stage. Raises ``DataError`` where a column does not have a measure."""
    return _plan(exchange.grouping, briefing.columns, exchange.agreed or kinds.schema_of(briefing.agreed))


@lru_cache(maxsize=2)  # all tasks of a run have one, and to ask pandas for types takes as long as thousands of rows
def _plan(grouping: Grouping, columns: tuple[Column, ...], agreed: bytes) -> "MeasurePlan":
    return MeasurePlan(grouping, columns, agreed)


class MeasurePlan:
    """The measures of a job, and the columns that they are worked out of."""

    def __init__(self, grouping: Grouping, columns: tuple[Column, ...], agreed: bytes) -> None:
        """Find the columns. Raises ``DataError`` where a column does not have a measure."""
        kinds.check(grouping.measures, columns, agreed)
        self._measures = tuple(one for one in grouping.measures if one.how)
        self._outputs = [one.output for one in grouping.measures]
        self._grouping = grouping
        self._columns = columns
        self.agreed = agreed
        self._places = {name: at for at, name in reversed([*enumerate(one.name for one in columns)])}
        self.own = tuple(one for one in grouping.measures if not one.how)
        """The aggregations of the user's own."""

    @property
    def keys(self) -> tuple[Column, ...]:
        """List the columns of the key, which stand before all others where rows travel."""
        return tuple(self._columns[at] for at in places_of(self._grouping.columns, self._columns))

    @property
    def has_ready(self) -> bool:
        """Tell whether anything is worked out in columns."""
        return bool(self._measures)

    @cached_property
    def needed(self) -> dict[int, Column]:
        """Name the columns that the user's own aggregations get, by their places, in their order."""
        places = sorted({self._places[name] for one in self.own for name in one.columns})
        return {place: self._columns[place] for place in places}

    @cached_property
    def _kept(self) -> list[tuple[str, int]]:
        """List what is kept: of which sort, and of which column; -1 for whole rows."""
        found = set[tuple[str, int]]()
        for measure in self._measures:
            sorts = needs(measure.how, self._kind(measure))
            found |= {(sort, -1 if sort == partials.Size.name else self._place(measure)) for sort in sorts}
        return sorted(found)

    def _place(self, measure: Measure) -> int:
        return self._places[measure.columns[0]] if measure.columns else -1

    def _kind(self, measure: Measure) -> pa.DataType:
        place = self._place(measure)
        return self._kinds[place] if place >= 0 else pa.null()

    @cached_property
    def _kinds(self) -> list[pa.DataType]:
        return [*kinds.table_of(self._columns, self.agreed).schema.types]

    def kept_of(self, table: pa.Table, codes: Codes, groups: int) -> Mapping[int, Kept]:
        """Make what is kept of rows that did not travel in parts, as steps have made them."""
        cells = {place: self._cells(table, place) for place in {place for _, place in self._kept}}
        kept: dict[int, dict[str, Any]] = {place: {} for place in cells}
        for sort, place in self._kept:
            kept[place][sort] = _SORTS[sort].of_rows(cells[place], codes, groups)
        return kept

    def of_rows(self, table: pa.Table, codes: Codes, groups: int) -> dict[str, pa.Array]:
        """Make what is kept of rows, under names that say what it is."""
        return _named(self.kept_of(table, codes, groups))

    def _cells(self, table: pa.Table, place: int) -> partials.Cells:
        if place < 0:
            return partials.Cells(pa.nulls(len(table)), Column(""))
        column = self._columns[place]
        kind, cells = self._kinds[place], one_chunk(table.column(place))
        return partials.Cells(cells if cells.type == kind else cells.cast(kind), column)

    def frame_of_needed(self, cells: Mapping[int, pa.ChunkedArray], numbers: np.ndarray) -> pd.DataFrame:
        """Make the frame that the user's own aggregations get, whose index is the ``numbers`` of its rows."""
        arrays = [
            one_chunk(own if own.type == (kind := self._kinds[at]) else own.cast(kind)) for at, own in cells.items()
        ]
        frame = kinds.frame_of([self._columns[at] for at in cells], self.agreed, arrays)
        frame.index = pd.Index(numbers)
        return frame

    def together(self, table: pa.Table, codes: Codes, groups: int) -> Mapping[int, Kept]:
        """Put together what was kept of some rows and of others, by columns."""
        named: dict[tuple[str, int], dict[str, pa.Array]] = {one: {} for one in self._kept}
        for name in table.column_names:
            if name.count(":") == _COLONS:
                sort, place, own = name.split(":")
                named[sort, int(place)][own] = one_chunk(table.column(name))
        kept: dict[int, dict[str, Any]] = {}
        for (sort, place), columns in named.items():
            column = self._columns[place] if place >= 0 else Column("")
            kept.setdefault(place, {})[sort] = _SORTS[sort].together(columns, column, codes, groups)
        return kept

    def put_together(self, table: pa.Table, codes: Codes, groups: int) -> dict[str, pa.Array]:
        """Put together likewise, under the same names."""
        return _named(self.together(table, codes, groups))

    def frame(self, keys: pd.DataFrame, kept: Mapping[int, Kept], own: Mapping[str, "pd.Series[Any]"]) -> pd.DataFrame:
        """Make the frame that pandas gives, with the keys before all others; ``own`` is of the user's aggregations."""
        outputs = [self._values(measure, keys, kept) for measure in self._measures]
        those = [at for at, values in enumerate(outputs) if isinstance(values, pa.Array)]
        columns = [self._columns[self._place(self._measures[at])] for at in those]
        frame = kinds.frame_of(columns, self.agreed, [outputs[at] for at in those])
        series = {at: frame.iloc[:, place] for place, at in enumerate(those)}
        for at, (measure, values, dtype) in enumerate(zip(self._measures, outputs, self._dtypes, strict=True)):
            found = series.get(at)
            column = pd.Series(values) if found is None else found
            if measure.how not in _CHOOSING:
                column = column.astype(_wide(dtype, measure.how))
            series[at] = column
        ready = {one.output: series[at] for at, one in enumerate(self._measures)}
        made = pd.DataFrame({name: {**ready, **own}[name] for name in self._outputs}, index=keys.index)
        return pd.concat([keys.set_axis([*self._grouping.named], axis=1), made], axis=1)

    def _values(self, measure: Measure, keys: pd.DataFrame, kept: Mapping[int, Kept]) -> Any:  # noqa: ANN401 (an array)
        place = -1 if measure.how == partials.Size.name else self._place(measure)
        try:
            return OUTPUTS[measure.how](kept[place], self._kind(measure))
        except Overflow as error:
            raise _too_large(measure, keys, error.group) from error

    @cached_property
    def _dtypes(self) -> list[Any]:
        """Say which types pandas gives the measures."""
        return [*self.empty().dtypes.iloc[len(self._grouping.columns) :]]

    def empty(self) -> pd.DataFrame:
        """Make the frame of no rows, as pandas does, without the user's own aggregations."""
        names = [*dict.fromkeys((*self._grouping.columns, *(one.columns[0] for one in self._measures if one.columns)))]
        frame = kinds.frame_of([self._columns[self._places[name]] for name in names], self.agreed)
        return agg(key=self._grouping.columns, measures=self._measures)(frame)


def _named(kept: Mapping[int, Kept]) -> dict[str, pa.Array]:
    return {
        f"{sort}:{place}:{name}": column
        for place, own in kept.items()
        for sort, columns in own.items()
        for name, column in columns.items()
    }


_COLONS: Final = 2
_CHOOSING: Final = frozenset({"min", "max", "first", "last"})


def _wide(dtype: Any, how: str) -> Any:  # noqa: ANN401 (NumPy's or pandas')
    """Widen small types: what pandas gives of 16-bit floats, and as sums of small integers, depends on the values."""
    kind = getattr(dtype, "kind", "")
    if dtype == np.float16:
        return np.dtype(np.float64)
    if kind not in "iu" or how != "sum":
        return dtype
    if isinstance(dtype, np.dtype):
        return np.dtype(np.int64 if kind == "i" else np.uint64)
    return "Int64" if kind == "i" else "UInt64"


def _too_large(measure: Measure, keys: pd.DataFrame, group: int) -> DataError:
    key = ", ".join(map(repr, keys.iloc[group].tolist()))
    name = measure.columns[0]
    return DataError(
        f"{measure.output}=({name!r}, 'sum'): the sum of the group {key} does not fit into 64 bits. Read the column as"
        f" decimals: dtype={{{name!r}: 'float64'}}, in a stream with --accept-changes."
    )
