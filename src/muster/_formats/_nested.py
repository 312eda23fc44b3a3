"""Make Python values of nested columns, each by itself: an integer stays one whatever stands in the rows beside it."""

from typing import Any

import pyarrow as pa


def has_gaps(cells: pa.Array | pa.ChunkedArray) -> bool:
    """Tell whether an integer or a boolean is missing within these lists or structs.

    Then pandas would make floats, or objects, of all of them in the same batch.
    """
    kind = cells.type
    if isinstance(cells, pa.ChunkedArray):
        return any(has_gaps(chunk) for chunk in cells.chunks)
    if isinstance(kind, pa.BaseExtensionType):
        return has_gaps(cells.storage)
    if pa.types.is_struct(kind):
        return any(map(has_gaps, cells.flatten()))
    if pa.types.is_map(kind):
        return has_gaps(cells.keys) or has_gaps(cells.items)
    if pa.types.is_nested(kind):
        return has_gaps(cells.flatten())
    return bool(cells.null_count) and (pa.types.is_integer(kind) or pa.types.is_boolean(kind))


def values(cells: pa.ChunkedArray) -> list[Any]:
    """List the values as pandas would convert each alone, but with ``None`` for an integer that is missing."""
    if len(cells) > 1 and has_gaps(cells):
        middle = len(cells) // 2
        return values(cells[:middle]) + values(cells[middle:])
    return list(cells.to_pandas(integer_object_nulls=True))
