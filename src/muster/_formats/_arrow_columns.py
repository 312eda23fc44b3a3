"""Columns of pandas as columns of Arrow, for Parquet and for functions that ask for Arrow or Polars.

Arrow finds the type of a column of objects by looking at the first few of them, and converts what does not fit: a
datetime after a date loses its hours, a UUID after a number its meaning. So every value that it has made of objects is
compared with its original, and a column in which one differs is refused. The same moment in another zone is equal.
"""

import datetime as dt
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, NoReturn

import numpy as np
import pyarrow as pa

from muster.errors import DataError

from . import _hollow, _numbers
from .cells import by_category, is_category, one_chunk, plain_array, python_objects
from .holders import AS_PARQUET, HOLDERS

if TYPE_CHECKING:
    import pandas as pd

_LONGEST_SHOWN: Final = 60
"""Letters of a value that an error shows."""

_UNFIT: Final = (pa.ArrowException, TypeError, ValueError, OverflowError)
"""What Arrow raises for values that it cannot hold."""


def column_of(series: "pd.Series[Any]", name: str, *, holder: str) -> pa.Array:
    """Make an Arrow array that holds all that a column of pandas holds.

    ``holder`` is one of ``HOLDERS``, but no text. Raises ``DataError`` where it cannot hold a value.
    """
    array = plain_array(series)
    if array is not None:
        return array
    if is_category(series):
        return _categories(series, name, holder)
    array = (_objects if series.dtype == object else _typed)(series, name, holder)
    array = _hollow.filled(array) if holder in AS_PARQUET else array
    if not can_hold(array.type, holder):
        _refuse(name, holder, _farthest(series))
    return array


def _categories(series: "pd.Series[Any]", name: str, holder: str) -> pa.Array:
    array = by_category(series, lambda categories: column_of(categories, name, holder=holder))
    kind = array.type.value_type
    if pa.types.is_nested(kind) or isinstance(kind, pa.BaseExtensionType):
        _refuse(name, holder, list(series.cat.categories[:1]))
    return array.dictionary_decode() if holder in AS_PARQUET else array


def _typed(series: "pd.Series[Any]", name: str, holder: str) -> pa.Array:
    import pandas as pd

    dtype: Any = series.dtype
    if isinstance(dtype, pd.SparseDtype):
        return column_of(pd.Series(np.asarray(series)), name, holder=holder)
    if isinstance(dtype, np.dtype) and not dtype.isnative:
        return column_of(series.astype(dtype.newbyteorder("=")), name, holder=holder)
    try:
        array = one_chunk(pa.array(series, from_pandas=True))
        if pa.types.is_dictionary(array.type) and holder in AS_PARQUET:
            array = array.dictionary_decode()
        if pa.types.is_timestamp(array.type) and array.type.unit == "s" and holder in AS_PARQUET:
            array = array.cast(pa.timestamp("ms", array.type.tz))  # Parquet knows no coarser ones
    except _UNFIT:
        _refuse(name, holder, _farthest(series))
    return array


def _farthest(series: "pd.Series[Any]") -> list[Any]:
    """Find a value to show in an error: the largest, or the first where values have no size, or the type itself."""
    values = [value for value in python_objects(series) if value is not None]
    try:
        return [max(values, key=abs)]
    except (TypeError, ValueError):
        return values[:1] or [series.dtype]


def _objects(series: "pd.Series[Any]", name: str, holder: str) -> pa.Array:
    values = python_objects(series)
    array = _surviving(values)
    if array is None:
        _refuse(name, holder, _culprits([value for value in values if value is not None]))
    return array


def _surviving(values: Sequence[Any]) -> pa.Array | None:
    """Make an array of objects; ``None`` if every array would change one of them."""
    try:
        array = _inferred(values)
        copies = array.to_pylist()
    except _UNFIT:
        return None
    return array if all(map(_survives, values, copies)) else None


def _inferred(values: Sequence[Any]) -> pa.Array:
    if (numbers := _numbers.of_several_types(values)) is not None:
        return numbers
    try:
        return pa.array(values, from_pandas=True)
    except OverflowError:  # Arrow itself looks for 64 bits with a sign only
        return pa.array(values, pa.uint64(), from_pandas=True)


def _culprits(values: Sequence[Any]) -> Sequence[Any]:
    """Find a value that Arrow cannot hold, or else two that it cannot hold together."""
    alone = next((value for value in values if _surviving([value]) is None), None)
    if alone is not None:
        return [alone]
    last = bisect_left(range(len(values) - 1), 1, key=lambda at: _surviving(values[: at + 1]) is None)
    rivals = (value for value in values[:last] if _surviving([value, values[last]]) is None)
    return [next(rivals, values[0]), values[last]]


def _survives(value: Any, copy: Any) -> bool:  # noqa: ANN401, PLR0911 (any value; each kind of value is a case)
    """Tell whether what Arrow gives back is the value that it was given."""
    if isinstance(value, Mapping):  # a key that only other rows have is missing here
        return isinstance(copy, dict) and all(_survives(value.get(key), copy[key]) for key in copy)
    if isinstance(value, list | tuple | set | frozenset | np.ndarray):
        return isinstance(copy, list) and len(value) == len(copy) and all(map(_survives, value, copy))
    if _is_missing(value):
        return _is_missing(copy)
    if isinstance(value, np.datetime64 | np.timedelta64 | dt.date | dt.timedelta):
        return _is_same_moment(value, copy)
    if isinstance(value, bool | np.bool_) != isinstance(copy, bool):
        return False
    if isinstance(value, np.integer):  # NumPy would compare floats
        value = int(value)
    if isinstance(value, memoryview):
        value = bytes(value)
    try:
        return bool(value == copy)
    except (TypeError, ValueError):
        return False


def _is_missing(value: object) -> bool:
    import pandas as pd

    return bool(pd.api.types.is_scalar(value) and pd.isna(value))  # type: ignore[call-overload]


def _is_same_moment(value: Any, copy: Any) -> bool:  # noqa: ANN401 (moments of NumPy, pandas or Python)
    import pandas as pd

    if isinstance(value, np.timedelta64 | dt.timedelta):
        return isinstance(copy, dt.timedelta) and bool(pd.Timedelta(value) == pd.Timedelta(copy))
    if isinstance(value, np.datetime64):
        value = pd.Timestamp(value)
    if not isinstance(value, dt.datetime) or not isinstance(copy, dt.datetime):
        return type(value) is type(copy) and bool(value == copy)
    return bool(value == copy)


@lru_cache(maxsize=256)
def can_hold(kind: pa.DataType, holder: str) -> bool:
    """Tell whether there can be columns of a type of Arrow."""
    if holder == "polars":
        return not isinstance(kind, pa.BaseExtensionType)
    if holder == "pyarrow":
        return True
    import pyarrow.parquet as pq

    try:
        pq.write_table(pa.schema([("", kind)]).empty_table(), pa.BufferOutputStream())
    except pa.ArrowException:
        return False
    return True


def _refuse(name: str, holder: str, values: Sequence[Any]) -> NoReturn:
    shown = " and ".join(f"{_shown(value)} ({type(value).__name__})" for value in values) or "values"
    why = "cannot hold in one column" if len(values) > 1 else "cannot hold"
    cure = f"a type that it can hold, for example text: df[{name!r}] = df[{name!r}].astype(str)"
    if all(isinstance(value, dt.datetime | np.datetime64) for value in values):
        cure = f"datetimes of one kind: df[{name!r}] = pd.to_datetime(df[{name!r}]), with utc=True for several zones"
        why = "cannot hold in one column of objects"
    raise DataError(
        f"Column {name!r} of the function's result holds {shown}, which {HOLDERS[holder].name} {why}. Make it {cure}."
    )


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}…"
