"""What a format's reader gives for a task, and the frame that the user's function gets from it."""

import json
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

import numpy as np
import pyarrow as pa

from muster._model import Column

from ._nested import has_gaps, values
from .frames import frame_of, with_nan, with_offset
from .kinds import settled_type

if TYPE_CHECKING:
    from collections.abc import Callable

    import pandas as pd

_TEXTS: Final = frozenset({"str", "folder"})
"""Types of text whose missing cells are NaN, as ``pandas.read_csv`` has them."""


@dataclass(slots=True)
class Rows:
    """The rows of a task that could be read, and what is to be said of the others.

    ``table`` holds the good rows; ``numbers`` the data row of the file that each of them is. ``bad`` maps the number
    of a row that could not be read to the reason. ``misfits`` maps a column whose inferred type turned out too narrow
    to the kinds that were seen; then the table must not be used.
    """

    table: pa.Table
    numbers: np.ndarray
    bad: dict[int, str] = field(default_factory=dict)
    misfits: dict[str, frozenset[str]] = field(default_factory=dict)
    among: "Among | None" = None
    """Rows of several files that these are among."""

    def between(self, lo: int, hi: int) -> "Rows":
        """Keep the rows of the file from ``lo`` to ``hi``."""
        first, last = np.searchsorted(self.numbers, [lo, hi]).tolist()
        bad = {row: error for row, error in self.bad.items() if lo <= row < hi}
        among = self.among and self.among.from_row(first)
        return Rows(self.table.slice(first, last - first), self.numbers[first:last], bad, self.misfits, among)


class Frame:
    """One frame of the rows of several small files: making a frame costs more than the few rows of one file."""

    def __init__(self, table: pa.Table, columns: tuple[Column, ...], *, header: bool) -> None:
        self._make = partial(to_pandas, table, np.arange(len(table)), columns, header=header)

    @cached_property
    def whole(self) -> "pd.DataFrame":
        """Make the frame, when it is first needed."""
        return self._make()


class Among(NamedTuple):
    """Where the rows of one file begin in a frame of several."""

    frame: Frame
    at: int

    def from_row(self, first: int) -> "Among":
        return Among(self.frame, self.at + first)

    def frame_of(self, rows: Rows) -> "pd.DataFrame":
        """Take so many rows from here on, which the user's function may change; their labels are their own."""
        own = self.frame.whole.iloc[self.at : self.at + len(rows.numbers)].copy()
        own.index = _labels_of(rows.numbers)
        return own


def type_of(column: Column) -> str:
    """Name a column's type: what the user fixed, else what its kinds settle to."""
    return column.fixed or settled_type(column.kinds)


def _labels_of(numbers: np.ndarray) -> Any:  # noqa: ANN401 (an index of pandas)
    import pandas as pd

    if len(numbers) and numbers[-1] - numbers[0] == len(numbers) - 1:
        return pd.RangeIndex(int(numbers[0]), int(numbers[-1]) + 1)
    return pd.Index(numbers)


def to_pandas(table: pa.Table, numbers: np.ndarray, columns: tuple[Column, ...], *, header: bool) -> "pd.DataFrame":
    """Make the frame that ``pandas.read_csv`` would have made of these rows, labelled by their row in the file."""
    import pandas as pd

    frame: Any = frame_of(table)
    for at, cells in enumerate(table.columns):
        if pa.types.is_nested(cells.type) and has_gaps(cells):
            frame.isetitem(at, pd.Series(values(cells), frame.index, object))
    for at, column in enumerate(columns):  # by place: pandas may have made other labels of the names
        type_name = type_of(column)
        if type_name == "bool?":
            objects = frame.iloc[:, at].astype(object)
            frame.isetitem(at, objects if column.fixed else objects.where(objects.notna(), np.nan))
        elif type_name in {"bigint", "object"}:
            parse: Callable[[str], object] = int if type_name == "bigint" else json.loads
            parsed = [np.nan if text is None else parse(text) for text in table.column(at).to_pylist()]
            frame.isetitem(at, pd.Series(parsed, frame.index, object))
        elif type_name in _TEXTS and table.column(at).null_count:
            frame.isetitem(at, with_nan(frame.iloc[:, at]))
        elif pa.types.is_timestamp(table.column(at).type) and table.column(at).type.tz and column.dates:
            frame.isetitem(at, with_offset(frame.iloc[:, at]))
    frame.index = _labels_of(numbers)
    if not header:
        folders = {column.name for column in columns if column.fixed == "folder"}
        labels = [name if name in folders else int(name) for name in frame.columns]
        frame.columns = pd.Index(labels) if labels != list(range(len(labels))) else pd.RangeIndex(len(labels))
    return cast("pd.DataFrame", frame)
