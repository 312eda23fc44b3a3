"""The hash of a key, which says its lane: equal keys have the same, of whatever width and type they are.

Keys are equal as Python and pandas take them for equal. ``1``, ``1.0``, ``True`` and ``Decimal(1)`` are, also ``0.0``
and ``-0.0``. Text is equal where its code points are. Moments are equal where they are the same instant, in whatever
zone and as fine as they may be. All missing values are one key: ``None``, ``NaN``, ``NaT`` and ``pd.NA``. A number is
hashed as an integer if it is one that has a place in 64 bits, else as the float that is next to it. What is equal in
one process is so in all: nothing depends on how Python hashes in this process.
"""

import json
import math
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from muster.errors import DataError

_MISSING: Final = np.uint64(0xA0761D6478BD642F)
_BEGIN: Final = np.uint64(0x9E3779B97F4A7C15)
_FACTORS: Final = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))
_LANE_SHIFT: Final = np.uint64(56)
_NANOSECONDS: Final = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}
_DAY: Final = 86_400

_Hashes = np.ndarray[Any, np.dtype[np.uint64]]


def hashes(columns: Iterable[tuple[pa.ChunkedArray, str]], names: Sequence[str] = ()) -> _Hashes:
    """Hash the key of each row; each of its columns comes with its type, as ``_rows.type_of`` names it.

    Raises ``DataError``, which says the column's name, where its values are no keys.
    """
    whole: _Hashes | None = None
    for at, (cells, type_name) in enumerate(columns):
        try:
            own = _of_column(cells, type_name)
        except _NoKeysError as error:
            raise _are_no_keys(error.args[0], *names[at : at + 1]) from None
        whole = own if whole is None else _mixed(whole * _FACTORS[0] + own)
    if whole is None:
        raise ValueError("a key without a column")
    return _mixed(whole + _BEGIN)


class _NoKeysError(Exception):
    """Values of this type of Arrow cannot be compared as keys."""


def _are_no_keys(kind: pa.DataType, name: str = "column") -> DataError:
    type_name = kind.extension_name if isinstance(kind, pa.BaseExtensionType) else kind
    return DataError(
        f"Rows cannot be grouped by {name!r}, a column of the type {type_name}: its values cannot be compared as keys."
        f" Make a key of it in a step before, such as .map_batches(lambda df: df.assign(key=df[{name!r}].astype(str)))."
    )


def lanes(hashed: _Hashes) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Say the lane of each hash."""
    return (hashed >> _LANE_SHIFT).astype(np.uint8)


def missing(columns: Iterable[pa.ChunkedArray]) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Say of each row whether a column of its key has no value."""
    masks = [pc.is_null(cells, nan_is_null=True).to_numpy() for cells in columns]
    whole: np.ndarray[Any, np.dtype[np.bool_]] = np.logical_or.reduce(masks)
    return whole


def _of_column(cells: pa.ChunkedArray, type_name: str) -> _Hashes:
    whole = cells.combine_chunks()
    if isinstance(whole, pa.ChunkedArray):  # of more text than one array holds
        return np.concatenate([_of_array(chunk, type_name) for chunk in whole.chunks])
    return _of_array(whole, type_name)


def _of_array(cells: pa.Array, type_name: str) -> _Hashes:
    kind = cells.type
    if pa.types.is_null(kind):
        return np.full(len(cells), _MISSING)
    if pa.types.is_dictionary(kind):
        return _taken(_of_array(cells.dictionary, type_name), cells.indices)
    if type_name in _PARSED:
        parse = _PARSED[type_name]
        return _by_value(cells, lambda text: _of_object(parse(text)))
    for is_of_these, hashed in _OF_TYPES:
        if is_of_these(kind):
            return hashed(cells)
    raise _NoKeysError(kind)


_PARSED: Final[dict[str, Callable[[str], object]]] = {"bigint": int, "object": json.loads}
"""Types whose cells are text here, and other values in the frame that the function gets."""


def _taken(own: _Hashes, places: pa.Array) -> _Hashes:
    """Give each row the hash of the value that it has, by its place; some have none."""
    filled = np.append(own, _MISSING)
    taken: _Hashes = filled[pc.fill_null(places.cast(pa.int64()), len(own)).to_numpy(zero_copy_only=False)]
    return taken


def _of_texts(cells: pa.Array) -> _Hashes:
    import pandas as pd

    encoded = cells.dictionary_encode()
    values = encoded.dictionary.to_numpy(zero_copy_only=False).astype(object)
    own = pd.util.hash_array(values, categorize=False) if len(values) else np.empty(0, np.uint64)
    return _taken(own, encoded.indices)


def _by_value(cells: pa.Array, hashed: Callable[[Any], int] | None = None) -> _Hashes:
    """Hash each value that there is once, in Python: for types that are rare in keys."""
    encoded = cells.dictionary_encode()
    return _taken(
        np.array([(hashed or _of_object)(value) for value in encoded.dictionary.to_pylist()], np.uint64),
        encoded.indices,
    )


def _of_numbers(cells: pa.Array) -> _Hashes:
    is_missing = pc.is_null(cells, nan_is_null=True).to_numpy(zero_copy_only=False)
    values = cells.fill_null(0).to_numpy(zero_copy_only=False)
    bits = _bits_of_floats(values.astype(np.float64)) if values.dtype.kind == "f" else _bits_of_integers(values)
    return np.where(is_missing, _MISSING, _mixed(bits))


def _bits_of_integers(values: np.ndarray) -> _Hashes:
    return values.astype(np.uint64 if values.dtype.kind == "u" else np.int64).view(np.uint64)


def _bits_of_floats(values: np.ndarray) -> _Hashes:
    """Give integers the bits that they have as such, and other floats their own."""
    is_whole = np.floor(values) == values
    is_signed = is_whole & (values >= -(2.0**63)) & (values < 2.0**63)
    is_unsigned = is_whole & (values >= 2.0**63) & (values < 2.0**64)
    bits = values.view(np.uint64).copy()
    bits[is_signed] = values[is_signed].astype(np.int64).view(np.uint64)
    bits[is_unsigned] = values[is_unsigned].astype(np.uint64)
    return bits


def _of_moments(cells: pa.Array) -> _Hashes:
    """Hash seconds, and what is left of a second: so it does not matter how fine a column is."""
    kind, is_missing = cells.type, cells.is_null().to_numpy(zero_copy_only=False)
    if pa.types.is_interval(kind):
        return _by_value(cells, lambda value: _of_object(tuple(value)))
    if pa.types.is_date32(kind):
        seconds = cells.cast(pa.int32()).fill_null(0).to_numpy(zero_copy_only=False).astype(np.int64) * _DAY
        rest = np.zeros(len(cells), np.int64)
    else:
        nanoseconds = _NANOSECONDS["ms" if pa.types.is_date64(kind) else kind.unit]
        whole = pa.int32() if pa.types.is_time32(kind) else pa.int64()
        values = cells.cast(whole).fill_null(0).to_numpy(zero_copy_only=False).astype(np.int64)
        a_second = 10**9 // nanoseconds
        seconds, rest = values // a_second, values % a_second * nanoseconds
    hashed = _mixed(_mixed(seconds.view(np.uint64)) + rest.view(np.uint64))
    return np.where(is_missing, _MISSING, hashed)


def _of_object(value: object) -> int:
    """Hash one value, as the others are hashed by the column."""
    if value is None or value != value:  # noqa: PLR0124 (NaN)
        return int(_MISSING)
    if isinstance(value, bool | int | float | Decimal):
        return int(_mixed(np.array([_bits_of(value)], np.uint64))[0])
    if isinstance(value, str):
        return int(_of_texts(pa.array([value], pa.string()))[0])
    if isinstance(value, bytes):
        import pandas as pd

        return int(pd.util.hash_array(np.array([value.hex()], object), categorize=False)[0])
    if isinstance(value, tuple):
        return int(_of_parts([_of_object(one) for one in value]))
    raise DataError(
        f"Rows cannot be grouped by {value!r}: a {type(value).__name__} is no key, as it cannot be hashed. Group by"
        " another column."
    )


def _of_parts(own: Sequence[int]) -> np.uint64:
    whole = np.array([len(own)], np.uint64)
    for one in own:
        whole = _mixed(whole * _FACTORS[0] + np.array([one], np.uint64))
    return np.uint64(whole[0])


def _bits_of(value: float | Decimal) -> int:
    if math.isfinite(value) and value == int(value) and -(2**63) <= value < 2**64:
        return int(value) % 2**64
    try:
        return int(np.array([float(value)]).view(np.uint64)[0])
    except OverflowError:  # an integer that no float holds
        return int(value) % (2**61 - 1)


def _mixed(bits: _Hashes) -> _Hashes:
    """Spread the bits of numbers that are alike over all 64: the last step of SplitMix64."""
    bits = (bits ^ (bits >> np.uint64(30))) * _FACTORS[0]
    bits = (bits ^ (bits >> np.uint64(27))) * _FACTORS[1]
    return bits ^ (bits >> np.uint64(31))


_is = pa.types
_OF_TYPES: Final[Sequence[tuple[Callable[[pa.DataType], bool], Callable[[pa.Array], _Hashes]]]] = (
    (_is.is_boolean, lambda cells: _of_numbers(cells.cast(pa.uint8()))),
    *((one, _of_numbers) for one in (_is.is_integer, _is.is_floating)),
    *((one, _of_texts) for one in (_is.is_string, _is.is_large_string, _is.is_string_view)),
    (_is.is_temporal, _of_moments),
    *((one, _by_value) for one in (_is.is_decimal, _is.is_binary, _is.is_large_binary, _is.is_fixed_size_binary)),
)
