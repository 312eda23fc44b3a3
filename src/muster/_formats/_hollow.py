"""Dicts without keys on their way to Parquet, which has no type for them: a child that stands in keeps their place.

Other batches may tell which keys the dicts of a column have. So a piece may hold what the output cannot.
"""

from collections.abc import Callable, Sequence
from typing import Final

import pyarrow as pa

_STAND_IN: Final = pa.field("\0", pa.null())

Fields = Sequence[pa.Field]


def filled(array: pa.Array) -> pa.Array:
    """Give structs without a child, however deep, one that stands in."""
    kind = _filled(array.type)
    return array if kind == array.type else array.cast(kind)


def emptied(kind: pa.DataType) -> pa.DataType | None:
    """Take a type without what stands in; ``None`` where nothing would be left in a struct."""
    rest = _changed(kind, lambda fields: [field for field in fields if field != _STAND_IN])
    return rest if _filled(rest) == rest else None


def _filled(kind: pa.DataType) -> pa.DataType:
    return _changed(kind, lambda fields: fields or [_STAND_IN])


def _changed(kind: pa.DataType, change: Callable[[Fields], Fields]) -> pa.DataType:
    if pa.types.is_struct(kind):
        return pa.struct(change([field.with_type(_changed(field.type, change)) for field in kind.fields]))
    if pa.types.is_list(kind):
        return pa.list_(kind.value_field.with_type(_changed(kind.value_type, change)))
    return kind
