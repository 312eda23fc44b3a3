"""Whether there are the columns that a grouping names: those of its key, and those that measures are worked out of."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from muster._formats.inputs import Inputs
from muster._formats.lanes import check_columns, check_key
from muster._model import Column, Grouping, Measure


class CheckMeasures(NamedTuple):
    """Ask whether columns have the measures that are wanted of them."""

    measures: tuple[Measure, ...]
    columns: tuple[Column, ...]
    agreed: bytes

    def answer(self) -> None:
        """Raise ``DataError`` where a column has not."""
        from muster._worker.aggregates.kinds import check, schema_of

        check(self.measures, self.columns, schema_of(self.agreed))


def check_grouping(grouping: Grouping, names: Sequence[str], *, step: str = "") -> None:
    """Raise ``UsageError`` where there is no such column, or several. A ``step`` may have made them."""
    check_key(grouping.columns, names, step=step)
    for measure in grouping.measures:
        check_columns(measure.columns, names, what=f"to work {measure.output!r} out of", step=step)


def check_measures(grouping: Grouping, inputs: Inputs, ask: Callable[[Sequence[Any]], list[Any]]) -> None:
    """Raise ``DataError`` where a column has no such measure."""
    if grouping.measures and any(part.rows for part in inputs.surveyed):  # else nobody knows what columns hold
        ask([CheckMeasures(grouping.measures, inputs.columns, inputs.agreed)])


def key_of(names: Sequence[str], columns: Sequence[Column]) -> tuple[Column, ...]:
    """Find the columns of a key."""
    return tuple(next(one for one in columns if one.name == name) for name in names)
