"""The cells of a pandas column: those that Arrow holds by their dtype alone, and all others as Python values."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa

if TYPE_CHECKING:
    import pandas as pd

_NULLABLE: Final = frozenset(
    {"boolean", "Float32", "Float64", *(f"{sign}Int{bits}" for sign in ("", "U") for bits in (8, 16, 32, 64))}
)
LONGEST_NUMBER: Final = 8
"""Bytes of the longest number that Arrow knows; NumPy has ``longdouble``, too."""


def plain_array(series: "pd.Series[Any]") -> pa.Array | None:
    """Give a column of truths, numbers or text as Arrow holds it; ``None`` where its dtype does not promise these.

    An object column is one of text where each of its values is.
    """
    if isinstance(series.dtype, np.dtype):
        return _texts(series) if series.dtype == object else numbers_of(series.to_numpy())
    return one_chunk(pa.array(series, from_pandas=True)) if _is_plain(series.dtype) else None


def numbers_of(values: Any) -> pa.Array | None:  # noqa: ANN401 (an array of NumPy or pandas)
    """Give an array of NumPy's truths or numbers as Arrow holds it; ``None`` for any other."""
    if not isinstance(values, np.ndarray) or values.dtype.kind not in "biuf" or values.dtype.itemsize > LONGEST_NUMBER:
        return None
    try:
        return pa.array(values, from_pandas=True)
    except pa.ArrowNotImplementedError:  # in the byte order of another kind of machine
        return None


def one_chunk(array: pa.Array | pa.ChunkedArray) -> pa.Array:
    """Return a column as one array, whatever chunks it has."""
    return array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array


def _is_plain(dtype: Any) -> bool:  # noqa: ANN401 (a dtype of pandas, which have no type in common)
    import pandas as pd

    if isinstance(dtype, pd.ArrowDtype):
        kind, tests = dtype.pyarrow_dtype, (pa.types.is_integer, pa.types.is_boolean, pa.types.is_float64)
        return pa.types.is_string(kind) or pa.types.is_large_string(kind) or any(test(kind) for test in tests)
    return isinstance(dtype, pd.StringDtype) or str(dtype) in _NULLABLE


def _texts(series: "pd.Series[Any]") -> pa.Array | None:
    import pandas as pd

    values = series.to_numpy()
    kinds = set(map(type, values))
    if str not in kinds or not kinds <= {str, float, type(None), type(pd.NA), type(pd.NaT)}:
        return None
    try:
        return pa.array(values, pa.string(), from_pandas=True)
    except pa.ArrowTypeError:  # a number stands among the texts
        return None


def python_objects(series: "pd.Series[Any]") -> list[Any]:
    """Give the values as pandas hands them out one by one; ``None`` for missing ones."""
    values, missing = np.asarray(series.astype(object)), np.asarray(series.isna())
    return [None if gone else value for value, gone in zip(values, missing, strict=True)]


def by_category(series: "pd.Series[Any]", convert: Callable[["pd.Series[Any]"], pa.Array]) -> pa.DictionaryArray:
    """Convert a column's categories, which are fewer than its values, into a dictionary array."""
    import pandas as pd

    codes = series.cat.codes.to_numpy()
    categories = convert(pd.Series(series.cat.categories, dtype=series.cat.categories.dtype))
    return pa.DictionaryArray.from_arrays(pa.array(codes, mask=codes < 0), categories, ordered=series.cat.ordered)


def is_category(series: "pd.Series[Any]") -> bool:
    import pandas as pd

    return isinstance(series.dtype, pd.CategoricalDtype)
