"""Which rows have the same value: each row gets the number of its value, as pandas tells values apart."""

from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa

from muster._formats.cells import one_chunk
from muster._formats.rows import to_pandas, type_of
from muster._model import Column
from muster.errors import DataError

Codes = np.ndarray[Any, np.dtype[np.int64]]

_MOST: Final = 1 << 62
"""Codes of several columns are multiplied: they must not leave 64 bits."""

_CLOSE: Final = 4
"""How many times as many numbers as there are rows may be left out, at most, where numbers are places in an array."""
_is = pa.types
_EQUAL_AS_THEY_LIE: Final[Sequence[Callable[[pa.DataType], bool]]] = (
    *(_is.is_boolean, _is.is_integer, _is.is_temporal, _is.is_decimal),
    *(_is.is_string, _is.is_large_string, _is.is_binary, _is.is_large_binary, _is.is_fixed_size_binary),
)
"""Types whose values are equal to pandas where Arrow has the same bytes for them."""


def codes_of(cells: pa.ChunkedArray, column: Column) -> Codes:
    """Give each value of a column a number; all that are missing have one number, too."""
    whole = one_chunk(cells)
    kind = whole.type
    if pa.types.is_floating(kind):  # where 0.0 is -0.0, and NaN is one value
        return _factorized(_floats(whole))
    if type_of(column) not in {"bigint", "object"}:
        if pa.types.is_dictionary(kind):
            return np.asarray(whole.indices.cast(pa.int64()).fill_null(len(whole.dictionary)))
        if pa.types.is_integer(kind) and not whole.null_count:
            return _of_integers(np.asarray(whole))
        if any(holds(kind) for holds in _EQUAL_AS_THEY_LIE):
            encoded = whole.dictionary_encode(null_encoding="encode")
            return np.asarray(encoded.indices).astype(np.int64)
    frame = to_pandas(pa.table([whole], names=[column.name]), np.arange(len(whole)), (column,), header=True)
    values = frame.iloc[:, 0]
    try:
        return _factorized(values)
    except TypeError as error:
        raise _unhashable(column.name, values) from error


def _unhashable(name: str, values: Iterable[object]) -> DataError:
    value = next((one for one in values if not isinstance(one, Hashable)), None)
    return DataError(
        f"The column {name!r} holds {value!r}, and a {type(value).__name__} cannot be hashed: so it is no key, and no"
        f" 'nunique' counts it. Make text of it in a step before: .map_batches(lambda df: df.assign(key=df[{name!r}]"
        ".astype(str)))."
    )


def _factorized(values: Any) -> Codes:  # noqa: ANN401 (an array, or a column of pandas)
    codes: Codes = pd.factorize(values, use_na_sentinel=False)[0]
    return codes


def _of_integers(values: np.ndarray) -> Codes:
    """Take how far integers are above the least, where they lie close together: that is faster than to hash them."""
    if not len(values):
        return np.empty(0, np.int64)
    least, greatest = values.min(), values.max()
    if int(greatest) - int(least) < _CLOSE * len(values):
        own = values if values.dtype.kind == "u" else values.astype(np.int64, copy=False)
        above: Codes = (own - own.dtype.type(least)).astype(np.int64, copy=False)
        return above
    return _factorized(values)


def _floats(cells: pa.Array) -> np.ndarray:
    numbers: np.ndarray = cells.to_numpy(zero_copy_only=False).astype(np.float64, copy=False)
    return numbers


def together(columns: Sequence[Codes]) -> tuple[Codes, Codes]:
    """Give rows that have the same values in all columns a number, by their first appearance.

    Also tell the first row of each number.
    """
    codes = columns[0]
    for other in columns[1:]:
        size = int(other.max(initial=0)) + 1
        if int(codes.max(initial=0)) + 1 > _MOST // size:
            codes = pd.factorize(codes)[0]
        codes = codes * size + other
    if int(codes.max(initial=0)) >= _CLOSE * len(codes):
        codes = pd.factorize(codes)[0]
    firsts = firsts_of(codes, int(codes.max(initial=-1)) + 1)
    there = np.flatnonzero(firsts >= 0)
    order = there[np.argsort(firsts[there])]
    numbers = np.empty(len(firsts), np.int64)
    numbers[order] = np.arange(len(order))
    return numbers[codes], firsts[order]


def firsts_of(codes: Codes, groups: int, rows: np.ndarray | None = None) -> Codes:
    """Tell the first row of each group; of some rows alone, where they are given. -1 where there is none."""
    firsts = np.full(groups, -1)
    own, numbers = (codes, np.arange(len(codes))) if rows is None else (codes[rows], rows)
    firsts[own[::-1]] = numbers[::-1]  # the one that is written last stays
    return firsts


def lasts_of(codes: Codes, groups: int, rows: np.ndarray) -> Codes:
    """Tell the last row of each group, of some rows alone. -1 where there is none."""
    lasts = np.full(groups, -1)
    lasts[codes[rows]] = rows
    return lasts
