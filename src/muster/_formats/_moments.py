"""Datetimes and time spans as text: how fine pandas shows a column of them depends on all of its values.

A column of midnights is written as days; one half second in it, and all of its values get three digits. So each batch
tells which *form* it needs (:func:`form_of`), and the finest of these is what pandas would take for the whole. Forms,
each finer than the one before: ``D`` for days, ``s ms us ns`` for 0, 3, 6 or 9 digits of a second, and ``alone`` for
each value by itself, as pandas writes them in a column that holds other things, too.
"""

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from .frames import pads_years, shows_alike

if TYPE_CHECKING:
    import pandas as pd

_PER_SECOND: Final = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_DAY: Final = 86_400
_YEAR_0, _YEAR_1000, _YEAR_10000 = -62_167_219_200, -30_610_224_000, 253_402_300_800
"""The seconds at which these years begin: Arrow and pandas write the years between them alike."""


def form_of(column: pa.ChunkedArray) -> str | None:
    """Name the coarsest form that shows all of a column, which pandas would take; ``None`` if it holds no moments."""
    kind = column.type
    if not (pa.types.is_duration(kind) or pa.types.is_timestamp(kind)):
        return None
    ticks, per_second = _ticks(column), _PER_SECOND[kind.unit]
    is_zoned = pa.types.is_timestamp(kind) and kind.tz is not None  # where midnight is depends on who looks
    if not is_zoned and not (ticks % (per_second * _DAY)).any():
        return "D"
    if (is_zoned or pa.types.is_duration(kind)) and not shows_alike():
        return "alone"
    for form in ("s", "ms", "us"):
        if per_second <= _PER_SECOND[form] or not (ticks % (per_second // _PER_SECOND[form])).any():
            return _of_span(form) if pa.types.is_duration(kind) else form
    return "ns"


def of_pandas(series: "pd.Series[Any]") -> pa.Array | None:
    """Convert a column of pandas' own datetimes or time spans; ``None`` for Arrow's, and for a zone that Arrow lacks.

    Arrow finds zones by name, and may know another one by that name: both must give the same time of day.
    """
    import pandas as pd

    if isinstance(series.dtype, np.dtype):
        return pa.array(series, from_pandas=True)
    if not isinstance(series.dtype, pd.DatetimeTZDtype):
        return None
    try:
        array = pa.array(series, from_pandas=True)
        local = pc.local_timestamp(array)
    except (pa.ArrowException, ValueError):
        return None
    return array if local.equals(pa.array(series.dt.tz_localize(None), from_pandas=True)) else None


def as_text(column: pa.ChunkedArray, form: str) -> pa.ChunkedArray | pa.Array:
    """Write a column in a form that is as fine as it needs or finer."""
    if form == "alone":
        return _by_value(column)
    if pa.types.is_duration(column.type):
        return _spans(column, _of_span(form))
    return _datetimes(column, form) if column.type.tz is None else _in_zone(column, form)


def _datetimes(column: pa.ChunkedArray, form: str) -> pa.ChunkedArray | pa.Array:
    earliest = _YEAR_0 if pads_years() else _YEAR_1000
    lowest, highest = (bound * _PER_SECOND[column.type.unit] for bound in (earliest, _YEAR_10000))
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


def _in_zone(column: pa.ChunkedArray, form: str) -> pa.Array:
    local = pc.local_timestamp(column)
    offsets = pc.subtract(local.cast(pa.int64()), column.cast(pa.int64()))
    offsets = pc.divide(offsets, _PER_SECOND[column.type.unit]).combine_chunks().dictionary_encode()
    signs = pa.array([_offset(seconds) for seconds in offsets.dictionary.to_pylist()], pa.string())
    return pc.binary_join_element_wise(_datetimes(local, form), signs.take(offsets.indices), "")


def _offset(seconds: int) -> str:
    minutes, second = divmod(abs(seconds), 60)
    text = f"{'-' if seconds < 0 else '+'}{minutes // 60:02}:{minutes % 60:02}"
    return f"{text}:{second:02}" if second else text


def _in_other_years(column: pa.ChunkedArray, form: Any) -> pa.Array:  # noqa: ANN401 (one of five literals, to NumPy)
    values: np.ndarray = column.to_numpy()
    texts = np.datetime_as_string(values.astype(f"datetime64[{column.type.unit}]"), unit=form).tolist()
    shown = pa.array([None if text == "NaT" else text.replace("T", " ") for text in texts], pa.string())
    return shown if pads_years() else pc.replace_substring_regex(shown, "^(-?)0+([0-9])", r"\1\2")
