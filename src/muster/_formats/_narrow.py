"""Undo the widening of a column: give it back the type that it had in its own piece of the output."""

from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

_EXACT: Final = {"double": 1 << 53, "float": 1 << 24, "halffloat": 1 << 11}
"""Up to which size each type of decimals holds all integers."""


def restored(column: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray | pa.Array | None:
    """Give a column the narrower type that it had; ``None`` where that may not give the values that it had."""
    if column.type == kind:
        return column
    if column.null_count == len(column):
        return pa.nulls(len(column), kind)
    if pa.types.is_integer(kind) and pa.types.is_floating(column.type) and not _is_small(column):
        return None
    try:
        narrow = column.cast(kind)
        return narrow if narrow.cast(column.type).equals(column) else None
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return None


def _is_small(column: pa.ChunkedArray) -> bool:
    largest = pc.max(pc.abs(column)).as_py()
    return largest is not None and largest <= _EXACT[str(column.type)]
