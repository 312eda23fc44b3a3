"""What a format's reader gives for a task, and the frame that the user's function gets from it."""

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from muster._model import Column

from ._json import as_json
from ._kinds import settle

if TYPE_CHECKING:
    from collections.abc import Callable

    import pandas as pd


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

    def between(self, lo: int, hi: int) -> "Rows":
        """Keep the rows of the file from ``lo`` to ``hi``."""
        first, last = np.searchsorted(self.numbers, [lo, hi]).tolist()
        bad = {row: error for row, error in self.bad.items() if lo <= row < hi}
        return Rows(self.table.slice(first, last - first), self.numbers[first:last], bad, self.misfits)


def type_of(column: Column) -> str:
    """Name a column's type: what the user fixed, else what its kinds settle to."""
    return column.fixed or settle(column.kinds)


def to_pandas(table: pa.Table, numbers: np.ndarray, columns: tuple[Column, ...], *, header: bool) -> "pd.DataFrame":
    """Make the frame that ``pandas.read_csv`` would have made of these rows, labelled by their row in the file."""
    import pandas as pd  # noqa: PLC0415 (a function that asks for Arrow or Polars does not pay for pandas)

    frame: Any = table.to_pandas(use_threads=False, date_as_object=True)
    for column in columns:
        name, type_name = column.name, type_of(column)
        if type_name == "bool?":
            objects = frame[name].astype(object)
            frame[name] = objects if column.fixed else objects.where(objects.notna(), np.nan)
        elif type_name in {"bigint", "object"}:
            parse: Callable[[str], object] = int if type_name == "bigint" else json.loads
            values = [np.nan if text is None else parse(text) for text in table[name].to_pylist()]
            frame[name] = pd.Series(values, frame.index, object)
    if len(numbers) and numbers[-1] - numbers[0] == len(numbers) - 1:
        frame.index = pd.RangeIndex(int(numbers[0]), int(numbers[-1]) + 1)
    else:
        frame.index = pd.Index(numbers)
    if not header:
        folders = {column.name for column in columns if column.fixed == "folder"}
        labels = [name if name in folders else int(name) for name in frame.columns]
        frame.columns = pd.Index(labels) if labels != list(range(len(labels))) else pd.RangeIndex(len(labels))
    return cast("pd.DataFrame", frame)


IS_JSON: Final = {"muster": "json"}
"""Field metadata of a text column whose cells are JSON already."""


def from_result(result: object, *, nested: str) -> pa.Table:
    """Make an Arrow table of what a function returned: a pandas or Polars frame, or an Arrow table.

    Lists and dicts in a column become what ``nested`` says: ``arrow`` (typed), ``json`` or ``text``. Raises
    ``TypeError`` when the result is none of these.
    """
    import pandas as pd  # noqa: PLC0415 (loaded already wherever a frame can have come from)

    if isinstance(result, pd.DataFrame):
        result = _from_pandas(result, nested)
    elif type(result).__module__.partition(".")[0] == "polars" and hasattr(result, "to_arrow"):
        result = result.to_arrow()
    if not isinstance(result, pa.Table):
        raise TypeError(f"the function returned {type(result).__name__}, not a DataFrame")
    return result


def _from_pandas(frame: "pd.DataFrame", nested: str) -> pa.Table:
    fields, arrays = [], []
    for name, series in frame.items():
        array, metadata = _array(series, nested)
        fields.append(pa.field(str(name), array.type, metadata=metadata))
        arrays.append(array)
    return pa.table(arrays, schema=pa.schema(fields))


def _array(series: "pd.Series[Any]", nested: str) -> tuple[pa.Array, dict[str, str] | None]:
    values = None
    if series.dtype == object and nested != "arrow":
        values = [None if missing else value for value, missing in zip(series, series.isna(), strict=True)]
    if values and nested == "json" and not all(isinstance(value, str | None) for value in values):
        return pa.array([None if value is None else as_json(value) for value in values], pa.string()), IS_JSON
    if values and any(isinstance(value, list | dict | tuple | set | np.ndarray) for value in values):
        return pa.array([None if value is None else str(value) for value in values], pa.string()), None
    try:
        array = pa.array(series, from_pandas=True)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, OverflowError):
        array = _as_text(series)
    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks()
    if nested == "text" and not _is_written_alike(array.type, series):
        array = _as_text(series)
    return (pc.dictionary_decode(array) if pa.types.is_dictionary(array.type) else array), None


def _as_text(series: "pd.Series[Any]") -> pa.Array:
    """Make text of Python objects, as pandas' ``to_csv`` does."""
    texts = [None if missing else str(value) for value, missing in zip(series, series.isna(), strict=True)]
    return pa.array(texts, pa.string())


def _is_written_alike(kind: pa.DataType, series: "pd.Series[Any]") -> bool:
    """Tell whether Arrow's values are written as pandas would have written these.

    Arrow makes ``1`` and ``2.5`` in one column of objects ``1.0`` and ``2.5``, and knows its own kinds of time.
    """
    if pa.types.is_floating(kind) or pa.types.is_timestamp(kind) or pa.types.is_duration(kind):
        return series.dtype != object
    return not (pa.types.is_decimal(kind) or isinstance(kind, pa.BaseExtensionType))
