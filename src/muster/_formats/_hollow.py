"""Empty dicts on their way to Parquet, which has no type for them: a stand-in child takes the place of their keys.

Other batches may show which keys the dicts of a column have. So a piece may hold what the output itself cannot.
"""

from collections.abc import Callable, Sequence
from typing import Final

import pyarrow as pa

_STAND_IN: Final = pa.field("\0", pa.null())

Fields = Sequence[pa.Field]


def filled(array: pa.Array) -> pa.Array:
    """Give every struct without a child, however deep, the stand-in."""
    kind = _filled(array.type)
    return array if kind == array.type else array.cast(kind)


def emptied(kind: pa.DataType) -> pa.DataType | None:
    """Remove the stand-ins from a type; ``None`` where a struct would have no child."""
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
