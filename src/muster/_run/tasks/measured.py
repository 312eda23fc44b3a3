"""Whether there are the columns that a grouping names: of its key, of its measures, and of the times of windows."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from muster._formats.lanes import already_there, check_columns, check_key
from muster._model import Column, Grouping, Measure, Window
from muster.errors import UsageError

if TYPE_CHECKING:
    from muster._formats.inputs import Inputs  # workers that answer the questions here do without all that it loads


class CheckMeasures(NamedTuple):
    """Ask whether columns have the measures that are wanted of them."""

    measures: tuple[Measure, ...]
    columns: tuple[Column, ...]
    agreed: bytes

    def answer(self) -> None:
        """Raise ``DataError`` where a column has not."""
        from muster._worker.aggregates.kinds import check, schema_of

        check(self.measures, self.columns, schema_of(self.agreed))


class CheckMeasuresSoFar(NamedTuple):
    """Ask the same of columns of which more rows are to come: what has held nothing yet may hold anything."""

    measures: tuple[Measure, ...]
    columns: tuple[Column, ...]
    agreed: bytes
    """Arrow's schema of the rows, where steps have made them."""

    def answer(self) -> None:
        """Raise ``DataError`` where a column that holds something has not."""
        from muster._worker.aggregates.kinds import check, has_type

        empty = {column.name for column in self.columns if not has_type(column, self.agreed)}
        check([one for one in self.measures if not empty & {*one.columns}], self.columns, self.agreed)


class CheckTimes(NamedTuple):
    """Ask whether a column holds times."""

    name: str
    columns: tuple[Column, ...]
    agreed: bytes

    def answer(self) -> None:
        """Raise ``UsageError`` where it holds something else."""
        from muster._worker.aggregates.kinds import schema_of, table_of
        from muster._worker.windows.times import check_kind

        column = next(one for one in self.columns if one.name == self.name)
        check_kind(self.name, table_of([column], schema_of(self.agreed)).schema.field(0).type)


def check_grouping(grouping: Grouping, names: Sequence[str], *, step: str = "") -> None:
    """Raise ``UsageError`` where there is no such column, or several. A ``step`` may have made them."""
    check_key(grouping.columns, names, step=step)
    for measure in grouping.measures:
        check_columns(measure.columns, names, what=f"to work {measure.output!r} out of", step=step)


def check_measures(grouping: Grouping, inputs: "Inputs", ask: Callable[[Sequence[Any]], list[Any]]) -> None:
    """Raise ``DataError`` where a column has no such measure."""
    if grouping.measures and any(part.rows for part in inputs.surveyed):  # else nobody knows what columns hold
        ask([CheckMeasures(grouping.measures, inputs.columns, inputs.agreed)])


def check_window(grouping: Grouping, inputs: "Inputs", ask: Callable[[Sequence[Any]], list[Any]]) -> None:
    """Raise ``UsageError`` where rows of the input cannot be cut into windows, or grouped by what they have besides."""
    if (window := grouping.window) is None:
        return
    _check_names(grouping, window, [column.name for column in inputs.columns])
    check_measures(_of_rows(grouping, window), inputs, ask)
    if window.time and any(part.rows for part in inputs.surveyed):
        ask([CheckTimes(window.time, inputs.columns, inputs.agreed)])


def check_windows_of(
    grouping: Grouping, window: Window, columns: tuple[Column, ...], agreed: bytes, *, step: str = ""
) -> list[CheckMeasuresSoFar]:
    """Raise ``UsageError`` where rows with these columns cannot be cut into windows, or grouped; give what to ask."""
    _check_names(grouping, window, [column.name for column in columns], step=step)
    measures = _of_rows(grouping, window).measures
    return [CheckMeasuresSoFar(measures, columns, agreed)] if measures else []


def _check_names(grouping: Grouping, window: Window, names: Sequence[str], *, step: str = "") -> None:
    """Raise ``UsageError`` where a column is missing, or is there already."""
    if window.time:
        check_columns([window.time], names, what="to take the times of rows from", step=step)
    for name in window.columns:
        if name in names:
            raise UsageError(already_there(name))
    check_grouping(grouping, [*names, *window.columns], step=step)


def _of_rows(grouping: Grouping, window: Window) -> Grouping:
    """Leave out the measures of what windows add."""
    measures = (one for one in grouping.measures if not {*window.columns} & {*one.columns})
    return grouping._replace(measures=tuple(measures))


def key_of(names: Sequence[str], columns: Sequence[Column]) -> tuple[Column, ...]:
    """Find the columns of a key; an input without a header has none."""
    return tuple(one for name in names for one in columns if one.name == name)
