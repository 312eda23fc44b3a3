"""Find one Arrow type that holds numbers of several types, in one batch or in many; or refuse them."""

from collections.abc import Sequence
from decimal import Decimal
from functools import reduce
from typing import Any, Final

import numpy as np
import pyarrow as pa

_DIGITS: Final = 19
"""Digits of a signed 64-bit integer. Every integer gets so many, so that the type does not depend on the batch."""

_UNSIGNED_DIGITS: Final = 20
"""Of 2**64 - 1."""

_MOST_SHORT_DIGITS: Final = 38
"""Of Arrow's ``decimal128``."""

_MOST_DIGITS: Final = 76
"""Of Arrow's ``decimal256``."""

_NUMBERS: Final = (int, float, np.integer, np.floating, Decimal)
_UNSIGNED: Final = 2**63
"""The first number that needs an unsigned integer."""


def is_number(kind: pa.DataType) -> bool:
    """Tell whether a type is one of integers or floats; decimals, which are exact, are not counted."""
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


def wider(one: pa.DataType, other: pa.DataType) -> pa.DataType | None:
    """Promote as pandas does, except that 64-bit integers of both signs keep their digits, and so do decimals.

    ``None`` where one of both is no number, or no type holds both.
    """
    for kind, integer in ((one, other), (other, one)):
        if pa.types.is_decimal(kind) and pa.types.is_integer(integer):
            return _decimal(kind, integer)
    if not (is_number(one) and is_number(other)):
        return None
    if pa.types.is_floating(one) or pa.types.is_floating(other):
        both = {one, other}
        if both <= {pa.float16(), pa.float32(), pa.int8(), pa.uint8(), pa.int16(), pa.uint16()}:
            return pa.float32()
        return pa.float64()
    return _wider_integer(one, other)


def _wider_integer(one: pa.DataType, other: pa.DataType) -> pa.DataType:
    if pa.types.is_signed_integer(one) == pa.types.is_signed_integer(other):
        return max(one, other, key=lambda kind: kind.bit_width)
    signed, unsigned = (one, other) if pa.types.is_signed_integer(one) else (other, one)
    bits = max(signed.bit_width, 2 * unsigned.bit_width)
    return {16: pa.int16(), 32: pa.int32(), 64: pa.int64()}.get(bits, pa.uint64())


def _decimal(kind: pa.DataType, integer: pa.DataType) -> pa.DataType | None:
    whole = max(kind.precision - kind.scale, _UNSIGNED_DIGITS if integer == pa.uint64() else _DIGITS)
    digits = whole + max(kind.scale, 0)
    if digits > _MOST_DIGITS:
        return None
    make = pa.decimal128 if digits <= _MOST_SHORT_DIGITS else pa.decimal256
    return make(digits, max(kind.scale, 0))


def of_several_types(values: Sequence[Any]) -> pa.Array | None:
    """Make an array of numbers of several types; ``None`` of one type, and of any other objects.

    Arrow itself mixes only some of them, and that depends on their order and on its version. An integer may become the
    nearest float: the caller compares. Raises what Arrow raises.
    """
    types = set(map(type, values)) - {type(None)}
    if len(types) < 2 or not all(map(_is_of_number, types)):  # noqa: PLR2004 (two)
        return None
    kinds = [_kind(type_, [value for value in values if type(value) is type_]) for type_ in types]
    kind = reduce(lambda type_, other: type_ and wider(type_, other), sorted(kinds, key=pa.types.is_decimal))
    return None if kind is None else pa.array([_as(kind, value) for value in values], kind)


def _is_of_number(type_: type) -> bool:
    return issubclass(type_, _NUMBERS) and not issubclass(type_, bool)


def _kind(type_: type, values: Sequence[Any]) -> pa.DataType:
    """Tell which type of Arrow holds numbers of one type of Python."""
    if issubclass(type_, np.number):
        return pa.from_numpy_dtype(np.dtype(type_))
    if issubclass(type_, Decimal):
        return pa.array(values).type
    if issubclass(type_, float):
        return pa.float64()
    kind = pa.uint64() if max(values) >= _UNSIGNED else pa.int64()
    return pa.array(values, kind).type  # which raises OverflowError where it holds not all of them


def _as(kind: pa.DataType, value: Any) -> Any:  # noqa: ANN401 (a number of any type, or nothing)
    if value is None:
        return None
    if pa.types.is_decimal(kind):
        return value if isinstance(value, Decimal) else Decimal(int(value))
    return float(value) if pa.types.is_floating(kind) else int(value)


def is_exact(integers: pa.ChunkedArray, kind: pa.DataType) -> bool:
    """Tell whether a type of floats holds each of some integers with all its digits."""
    floats = integers.cast(kind, safe=False)
    return all(integer == number for integer, number in zip(integers.to_pylist(), floats.to_pylist(), strict=True))
