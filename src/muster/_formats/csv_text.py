"""Write rows as CSV or TSV text: RFC 4180, with the values that pandas would write."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from . import _floats, _moments, _quotes
from .cells import by_category, is_category, one_chunk, plain_array, python_objects
from .frames import shows_alike

if TYPE_CHECKING:
    import pandas as pd

_BATCH_ROWS: Final = 1 << 16
"""Rows that Arrow writes at once: as many as most tasks have, as each batch begins anew for every column."""

_FIRST_ROWS: Final = 64
"""Text that needs quotes shows it early in most columns: then the quick way is not tried in vain."""

_ARROWS_FLOATS: Final = frozenset({"halffloat[pyarrow]", "float[pyarrow]", "double[pyarrow]"})


def column_of(series: "pd.Series[Any]") -> pa.Array:
    """Make an Arrow array of a column of pandas that :func:`render` writes as pandas' ``to_csv`` would.

    Truths, numbers, text, datetimes and time spans stay what they are; all else is text already.
    """
    if is_category(series):
        categories = series.cat.categories.array
        is_span = categories.dtype.kind == "m"
        # Only the categories that occur decide how fine all are shown.
        if categories.dtype.kind == "M" or (is_span and shows_alike()):
            return column_of(type(series)(categories.take(series.cat.codes.to_numpy(), allow_fill=True)))
        return by_category(series, _as_text).dictionary_decode()
    array = _moments.of_pandas(series) if series.dtype.kind in "Mm" else plain_array(series)
    if array is None or (not isinstance(series.dtype, np.dtype) and _has_nan(array)):
        return _as_cast(series) if str(series.dtype) in _ARROWS_FLOATS else _as_text(series)
    return array


def _as_cast(series: "pd.Series[Any]") -> pa.Array:
    """Write Arrow's floats, which version 2.2 of pandas shows with fewer digits in a column than one by one."""
    shown = zip(series.array.astype(str).tolist(), series.isna().tolist(), strict=True)
    return pa.array([None if missing else str(text) for text, missing in shown], pa.string())


def _has_nan(array: pa.Array) -> bool:
    """Tell whether there is a NaN beside missing values: where a dtype has both, pandas writes ``nan`` for it."""
    return pa.types.is_floating(array.type) and pc.any(pc.is_nan(array)).as_py() is True


def _as_text(series: "pd.Series[Any]") -> pa.Array:
    texts = [
        str.__str__(value) if isinstance(value, str) else None if value is None else str(value)
        for value in python_objects(series)
    ]
    return pa.array(texts, pa.string())


def cells(series: "pd.Series[Any]") -> list[str]:
    """Return the text of each cell of a column, without quotes."""
    column = pa.chunked_array([column_of(series)])
    texts: list[str] = _all_rendered([column], {}, rows=len(column))[0].cast(pa.string()).fill_null("").to_pylist()
    return texts


def render(table: pa.Table, *, delimiter: str, forms: Mapping[str, str] = MappingProxyType({})) -> bytes | memoryview:
    """Write rows without a header, as pandas' ``to_csv(index=False)`` does: few quotes, ``1.0``, ``True``.

    ``forms`` says how fine datetimes and time spans are shown, by the name of the column; never coarser than these
    need (:func:`_moments.form_of`). A column that it does not name is shown as pandas would show this table alone.
    """
    if not table.num_columns or not len(table):
        return b""
    fine = {at: forms[name] for at, name in enumerate(table.column_names) if name in forms}
    columns = _all_rendered(table.columns, fine, rows=len(table))
    plain = pa.table(columns, names=[str(at) for at in range(len(columns))])
    if len(columns) > 1 and not _begins_with_quotes(table, delimiter):
        sink = pa.BufferOutputStream()
        options = pyarrow.csv.WriteOptions(
            include_header=False, delimiter=delimiter, quoting_style="none", batch_size=_BATCH_ROWS
        )
        try:
            pyarrow.csv.write_csv(plain, sink, options)
            return memoryview(sink.getvalue())
        except pa.ArrowInvalid:
            pass  # a cell needs quotes, which Arrow would then put around every cell
    return _quoted(plain, delimiter)


def _begins_with_quotes(table: pa.Table, delimiter: str) -> bool:
    """Tell whether one of the first rows needs quotes: then Arrow need not find out."""
    first = [_text_of(column.slice(0, _FIRST_ROWS)) for column in table.columns if _is_text(column.type)]
    return any(_quotes.needs_quotes(cells, delimiter) for cells in first)


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _all_rendered(
    columns: Sequence[pa.ChunkedArray], forms: Mapping[int, str], *, rows: int
) -> list[pa.Array | pa.ChunkedArray]:
    """Write the cells of columns, without quotes; ``forms`` are those of moments, by place."""
    numbers = {at: column.to_numpy() for at, column in enumerate(columns) if _is_of_numbers(column)}
    texts = _floats.texts_of(numbers, rows=rows)
    return [texts[at] if at in texts else _rendered(column, forms.get(at)) for at, column in enumerate(columns)]


def _is_of_numbers(column: pa.ChunkedArray) -> bool:
    """Tell whether NumPy holds the column: floats have NaN where one is missing, integers have nothing."""
    return bool(pa.types.is_floating(column.type) or (pa.types.is_integer(column.type) and not column.null_count))


def _rendered(column: pa.ChunkedArray, form: str | None) -> pa.ChunkedArray:
    kind = column.type
    if pa.types.is_boolean(kind):
        return pc.if_else(column, "True", "False")
    if pa.types.is_integer(kind) or _is_text(kind):
        return column
    if pa.types.is_timestamp(kind) or pa.types.is_duration(kind):
        return _moments.as_text(column, form or _moments.form_of(column) or "alone")
    if pa.types.is_date(kind) or pa.types.is_decimal(kind) or pa.types.is_null(kind):
        return column.cast(pa.string())
    return pa.chunked_array(
        [pa.array([None if value is None else str(value) for value in column.to_pylist()], pa.string())]
    )


def _quoted(table: pa.Table, delimiter: str) -> memoryview:
    """Write rows some of whose cells need quotes; a missing cell is empty."""
    columns = [_text_of(column) for column in table.columns]
    cells = [_quotes.with_quotes(column, delimiter, alone=len(columns) == 1) for column in columns]
    rows = pc.binary_join_element_wise(*cells, pa.scalar(delimiter, pa.large_string()))
    text, borders = _quotes.in_memory(rows)
    return memoryview(_quotes.joined(text, np.append(borders, borders[-1:]), b"\n"))


def _text_of(column: pa.ChunkedArray) -> pa.LargeStringArray:
    return one_chunk(pc.fill_null(column.cast(pa.large_string()), ""))
