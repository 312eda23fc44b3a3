"""Keys that the user's functions make of rows. A step before the exchange adds them as columns, for rows to go by."""

import uuid
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from muster._user_code import frames
from muster._user_code.awaited import drained
from muster._words import plural
from muster.errors import UserCodeError

if TYPE_CHECKING:
    import pandas as pd


class KeyColumns:
    """Adds a column for each function: the key that it gives each row. It is called as the functions are."""

    def __init__(self, functions: Mapping[str, Callable[[Any], object]]) -> None:
        """Take the functions, by the columns of their keys."""
        self.functions = {**functions}
        self.__name__ = self.__qualname__ = ", ".join(column.removesuffix("()") for column in functions)

    def __call__(self, df: "pd.DataFrame") -> "pd.DataFrame":
        """Add the columns. Raises ``UserCodeError`` where a function does not give a key for each row."""
        for column in self.functions:
            if column in df.columns:
                raise UserCodeError(
                    f"There is a column {column!r} already, which is what muster calls the keys of the function"
                    f" {column.removesuffix('()')!r}. Give the function, or the column, another name."
                )
        return df.assign(**{column: _keys(function, df, column) for column, function in self.functions.items()})


def _keys(function: Callable[[Any], object], df: "pd.DataFrame", column: str) -> "pd.Series[Any]":
    """Call a function on some rows. Raises ``UserCodeError`` where what it gives is no key for each of them."""
    import pandas as pd

    from .calling import as_kind

    kind = frames.wants(function)
    # a frame of its own, so that a column that the function adds is none of the rows
    keys: Any = drained(function(df.copy(deep=False) if kind == "pandas" else as_kind(df, kind)))
    name = column.removesuffix("()")
    if not _is_one_column(keys):
        raise UserCodeError(
            f"{name!r} gave {_kind_of(keys)} as the keys of {plural(len(df), 'row')}. A function that rows are put"
            " together by gives one key for each row it gets: a Series, such as df['name'].str[0], or an array. Keys of"
            " several columns are made by a list of functions."
        )
    if len(keys) != len(df):
        raise UserCodeError(
            f"{name!r} gave {plural(len(keys), 'key')} for {plural(len(df), 'row')}. A function that rows are put"
            " together by gives one key for each row it gets, in their order; a row that has none gets None."
        )
    if not isinstance(keys, pd.Series):
        keys = pd.Series(keys.to_pandas() if hasattr(keys, "to_pandas") else keys).set_axis(df.index)
    series: pd.Series[Any] = keys
    if (given := _no_keys(series)) is not None:
        raise UserCodeError(
            f"{name!r} gave keys of the type {given}, which rows are not put together by. Have it give others, for"
            " example text: return keys.astype(str)."
        )
    if not series.index.equals(df.index):
        raise UserCodeError(
            f"{name!r} gave keys with another index than that of the rows, so it is not known which key is whose. Leave"
            " the index as it is (no reset_index, no sort_values), or give an array in the order of the rows, such as"
            " keys.to_numpy()."
        )
    return series


def _no_keys(keys: "pd.Series[Any]") -> object:
    """Name the type of what is given as keys if rows are not put together by it; ``None`` where they are."""
    import pandas as pd

    dtype: Any = keys.cat.categories.dtype if isinstance(keys.dtype, pd.CategoricalDtype) else keys.dtype
    if isinstance(dtype, pd.PeriodDtype | pd.IntervalDtype) or dtype.kind == "c":
        return dtype
    value = next(iter(keys.dropna().head(1)), None) if pd.api.types.is_object_dtype(dtype) else None
    return type(value).__name__ if isinstance(value, list | tuple | dict | set | complex | uuid.UUID) else None


def _is_one_column(keys: Any) -> bool:  # noqa: ANN401 (whatever a function may give)
    """Tell whether it may be a key for each row: a Series, an array or a list, of whatever library."""
    import pandas as pd

    if isinstance(keys, str | bytes | dict | set | frozenset) or hasattr(keys, "columns"):
        return False
    return pd.api.types.is_list_like(keys) and hasattr(keys, "__len__") and getattr(keys, "ndim", 1) == 1


def _kind_of(keys: Any) -> str:  # noqa: ANN401 (likewise)
    kind = type(keys).__name__
    return f"an array of {keys.ndim} dimensions" if getattr(keys, "ndim", 1) > 1 and kind == "ndarray" else kind
