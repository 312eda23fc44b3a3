"""The times of rows, as whole numbers that windows are worked out of."""

import datetime as dt
import shlex
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa

from muster._formats.lanes import already_there
from muster._words.near import nearest
from muster.errors import DataError, UsageError

_PER_SECOND: Final = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
"""The units of pandas' times, from the coarsest on."""
_MICROSECONDS: Final = 10**6
"""In a second."""

_is = pa.types


class Ticks(NamedTuple):
    """Times as whole numbers of a unit since 1970, in UTC where they have a zone."""

    numbers: np.ndarray
    unit: str
    zone: Any = None

    def length(self, span: int) -> int:
        """Give a length of time, in microseconds, in the unit, which is fine enough for it."""
        return span * _PER_SECOND[self.unit] // _MICROSECONDS

    def microseconds(self, numbers: Any, *, up: bool = False) -> Any:  # noqa: ANN401 (a number, or an array of them)
        """Give numbers in microseconds: the whole one before each, or the one behind it."""
        per_second = _PER_SECOND[self.unit]
        if per_second <= _MICROSECONDS:
            return numbers * (_MICROSECONDS // per_second)
        finer = per_second // _MICROSECONDS
        return -(-numbers // finer) if up else numbers // finer

    def times(self, numbers: np.ndarray, index: "pd.Index[Any]") -> "pd.Series[Any]":
        """Make times of numbers, of the same zone."""
        times: pd.Series[Any] = pd.Series(numbers.astype(np.int64).view(f"datetime64[{self.unit}]"), index=index)
        return times if self.zone is None else times.dt.tz_localize("UTC").dt.tz_convert(self.zone)


def ticks_of(df: pd.DataFrame, name: str, *spans: int) -> Ticks:
    """Give the times of rows, in a unit that is fine enough for some lengths of time, in microseconds.

    Raises ``DataError`` where the column holds no times, and ``ValueError`` where the time of a row is missing: that
    row is a bad one.
    """
    times = _times_in(df, name)
    if times.isna().any():
        raise ValueError(f"the row has no time: {name!r} is missing")
    units = [*_PER_SECOND]
    coarsest = next(unit for unit in units if all(span * _PER_SECOND[unit] % _MICROSECONDS == 0 for span in spans))
    unit = max(times.dt.unit, coarsest, key=units.index)
    times = times.dt.as_unit(unit)
    zone = times.dt.tz
    plain = times if zone is None else times.dt.tz_convert("UTC").dt.tz_localize(None)
    return Ticks(plain.to_numpy().astype(f"datetime64[{unit}]").view(np.int64), unit, zone)


def ticks_of_arrival(now: int, count: int) -> Ticks:
    """Give all rows the time at which they have come, in microseconds."""
    return Ticks(np.full(count, now, np.int64), "us", "UTC")


def check_has_none(df: pd.DataFrame, names: Sequence[str]) -> None:
    """Raise ``DataError`` where rows have a column that is to be made."""
    for name in names:
        if name in df.columns:
            raise DataError(already_there(name))


def check_kind(name: str, kind: pa.DataType) -> None:
    """Raise ``UsageError`` where values of a type are no times."""
    if not (_is.is_timestamp(kind) or _is.is_date(kind) or _is.is_null(kind)):
        raise UsageError(_no_times(name, _called(kind)))


def column_of(df: pd.DataFrame, name: str) -> "pd.Series[Any]":
    """Give the column of a name, which is a number where the input has no header. Raises ``DataError``."""
    places = [at for at, label in enumerate(df.columns) if str(label) == name]
    if len(places) == 1:
        return df.iloc[:, places[0]]
    if places:
        raise DataError(f"Several columns are called {name!r}, so it is not known which of them is meant.")
    names = [str(label) for label in df.columns]
    meant = f" Did you mean {near!r}?" if (near := nearest(name, names)) else ""
    raise DataError(f"There is no column {name!r} for window.{meant} The columns are: {', '.join(names)}.")


def _times_in(df: pd.DataFrame, name: str) -> "pd.Series[Any]":
    """Give a column as times of NumPy's. Raises ``DataError`` where it holds something else."""
    cells = column_of(df, name)
    dtype: Any = cells.dtype
    if isinstance(dtype, pd.DatetimeTZDtype) or dtype.kind == "M":
        if not isinstance(dtype, pd.ArrowDtype):
            return cells
        cells = cells.astype(object)
    known = cells.dropna()
    if not len(known) and (not len(cells) or dtype.kind in "Of"):
        return pd.Series(pd.NaT, index=cells.index, dtype="datetime64[us]")
    if pd.api.types.is_numeric_dtype(dtype):
        raise DataError(_no_times(name, "booleans" if dtype.kind == "b" else "numbers"))
    values = known.tolist()
    if not all(isinstance(value, dt.date) for value in values):
        others = {type(value).__name__ for value in values if not isinstance(value, dt.date)}
        raise DataError(_no_times(name, "text" if others == {"str"} else f"{' and '.join(sorted(others))} objects"))
    zones = sorted({str(getattr(value, "tzinfo", None)) for value in values})
    if len(zones) > 1:
        raise DataError(
            f"The column {name!r} holds times of several zones: {', '.join(zones)}. Windows are of one clock. Have a"
            f" step before make them times of one zone: pd.to_datetime(df[{name!r}], utc=True)."
        )
    return pd.Series(pd.to_datetime(cells.where(cells.notna(), None)), index=cells.index)


def _called(kind: pa.DataType) -> str:
    if _is.is_string(kind) or _is.is_large_string(kind):
        return "text"
    if _is.is_boolean(kind):
        return "booleans"
    return "numbers" if _is.is_integer(kind) or _is.is_floating(kind) or _is.is_decimal(kind) else str(kind)


def _no_times(name: str, what: str) -> str:
    """Say that a column holds something else than times, and how to come by them."""
    cure = f"Have a step before make times of them: pd.to_datetime(df[{name!r}])."
    if what == "numbers":
        cure = f"Have a step before make times of them: pd.to_datetime(df[{name!r}], unit='s')."
    if what == "text":
        typed = shlex.quote(name)
        cure = (
            f"Have them read as times, of CSV with --parse-dates {typed}; or, where a cell is none, which leaves all of"
            f" them text, with --dtype {typed}=datetime alone, which rejects its row. Or have a step before make times"
            f" of them: pd.to_datetime(df[{name!r}])."
        )
    return f"The column {name!r} holds {what}, and window goes by the time of each row. {cure}"
