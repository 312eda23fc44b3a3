"""Datetimes and time spans as text: how fine pandas shows a column of them depends on all of its values.

A column of midnights is written as days, one with a single half second with three digits everywhere. So two batches
of one column agree on a *form* first: each batch tells what it needs by itself (:func:`form_of`), and
:func:`finest` of these is what pandas would take for the whole.
"""

from collections.abc import Iterable
from typing import Any, Final

import numpy as np
import pyarrow as pa

FORMS: Final = ("D", "s", "ms", "us", "ns", "alone")
"""How fine moments are shown, each finer than the one before: as days, or with 0, 3, 6 or 9 digits of a second.

``alone``: each value by itself, as pandas writes those of an object column. A column that holds datetimes in one
batch and something else in another is one.
"""

_PER_SECOND: Final = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_DAY: Final = 86_400
_FOUR_DIGITS: Final = (-62_167_219_200, 253_402_300_800)
"""The seconds at which the years 0 and 10000 begin: Arrow and pandas write the years between them alike."""


def form_of(column: pa.ChunkedArray) -> str | None:
    """Tell the coarsest form that shows all of a column, as pandas takes for it; ``None`` for one that has no form.

    Datetimes without a zone and time spans have one. Those in a zone are written each by itself.
    """
    kind = column.type
    if not (pa.types.is_duration(kind) or (pa.types.is_timestamp(kind) and kind.tz is None)):
        return None
    ticks, per_second = _ticks(column), _PER_SECOND[kind.unit]
    if not (ticks % (per_second * _DAY)).any():
        return "D"
    for form in ("s", "ms", "us"):
        if per_second <= _PER_SECOND[form] or not (ticks % (per_second // _PER_SECOND[form])).any():
            return _of_span(form) if pa.types.is_duration(kind) else form
    return "ns"


def finest(forms: Iterable[str]) -> str:
    """Name the form that shows what all of these show."""
    return max(forms, key=FORMS.index)


def as_text(column: pa.ChunkedArray, form: str | None) -> pa.ChunkedArray | pa.Array:
    """Write a column in a form that is as fine as it needs or finer; ``None`` for one that has no form."""
    if form is None or form == "alone":
        return _by_value(column)
    if pa.types.is_duration(column.type):
        return _spans(column, _of_span(form))
    lowest, highest = (bound * _PER_SECOND[column.type.unit] for bound in _FOUR_DIGITS)
    ticks = _ticks(column)
    if not len(ticks) or (lowest <= ticks.min() and ticks.max() < highest):
        try:
            shown = pa.date32() if form == "D" else pa.timestamp(form)
            return column.cast(shown).cast(pa.string())
        except pa.ArrowInvalid:
            pass  # it reaches beyond what Arrow can count in such small units
    return _in_other_years(column, form)


def _by_value(column: pa.ChunkedArray) -> pa.Array:
    """Write each value by itself, as pandas' ``str`` does."""
    series = column.to_pandas()
    texts = [None if missing else str(value) for value, missing in zip(series, series.isna(), strict=True)]
    return pa.array(texts, pa.string())


def _of_span(form: str) -> str:
    return "us" if form == "ms" else form  # spans have six digits where three would do


def _ticks(column: pa.ChunkedArray) -> np.ndarray:
    ticks: np.ndarray = column.drop_null().cast(pa.int64()).to_numpy()
    return ticks


def _spans(column: pa.ChunkedArray, form: str) -> pa.Array:
    per_second, digits = _PER_SECOND[column.type.unit], {"us": 6, "ns": 9}.get(form, 0)

    def span(ticks: int) -> str:
        days, rest = divmod(ticks, per_second * _DAY)
        if form == "D":
            return f"{days} days"
        seconds, fraction = divmod(rest, per_second)
        sign, (minutes, second) = "+" if days < 0 else "", divmod(seconds, 60)
        text = f"{days} days {sign}{minutes // 60:02}:{minutes % 60:02}:{second:02}"
        return f"{text}.{fraction * 10**digits // per_second:0{digits}}" if digits else text

    ticks = column.cast(pa.int64()).to_pylist()
    return pa.array([None if tick is None else span(tick) for tick in ticks], pa.string())


def _in_other_years(column: pa.ChunkedArray, form: Any) -> pa.Array:  # noqa: ANN401 (one of five literals, to NumPy)
    values: np.ndarray = column.to_numpy()
    texts = np.datetime_as_string(values.astype(f"datetime64[{column.type.unit}]"), unit=form).tolist()
    return pa.array([None if text == "NaT" else text.replace("T", " ") for text in texts], pa.string())
