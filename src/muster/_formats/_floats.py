"""Numbers as text: floats in the shortest digits that are read as the same number, as Python and pandas write them."""

from collections.abc import Mapping
from itertools import groupby
from typing import Final

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

_PLAIN: Final = {
    np.dtype(np.float32): (np.nextafter(np.float32(1e-4), np.float32(1)), np.float32(1e6)),  # the nearest is less
    np.dtype(np.float64): (1e-4, 1e16),
}
"""From the first number to below the second pandas writes no exponents, which it writes otherwise than JSON does.

Each is of the type of the column: NumPy 1 would compare another as if it were.
"""

_AT_ONCE: Final = 1 << 13
"""So many numbers stay in the processor's cache; a few hundred take less time than the calls that they need."""


def as_text(values: np.ndarray) -> pa.Array:
    """Write floats; null where they are NaN."""
    if values.dtype not in _PLAIN:
        return _as_numpy_writes(values)
    size, (least, most) = np.abs(values), _PLAIN[values.dtype]
    differs = ~((size >= least) & (size < most)) & (values != 0)
    text = by_json(values)
    return pc.replace_with_mask(text, pa.array(differs), _as_numpy_writes(values[differs])) if differs.any() else text


def texts_of(columns: Mapping[int, np.ndarray], *, rows: int) -> dict[int, pa.Array]:
    """Write columns of numbers by their places, each of so many rows: short ones of one type together."""
    texts, at_once = dict[int, pa.Array](), max(_AT_ONCE // max(rows, 1), 1)
    for dtype, group in groupby(sorted(columns, key=lambda at: columns[at].dtype.str), lambda at: columns[at].dtype):
        alike, write = list(group), as_text if dtype.kind == "f" else by_json
        for some in (alike[at : at + at_once] for at in range(0, len(alike), at_once)):
            text = write(np.concatenate([columns[at] for at in some]) if len(some) > 1 else columns[some[0]])
            texts |= {place: text.slice(at * rows, rows) for at, place in enumerate(some)}
    return texts


def by_json(values: np.ndarray) -> pa.Array:
    """Write numbers by way of a JSON list, whose commas then tell where each of them ends."""
    json = orjson.dumps(np.ascontiguousarray(values), option=orjson.OPT_SERIALIZE_NUMPY)
    text = json.translate(None, b"[,]")
    commas = np.flatnonzero(np.frombuffer(json, np.uint8) == ord(","))
    offsets = np.empty(len(values) + 1, np.int64)
    offsets[:1], offsets[1:-1], offsets[-1] = 0, commas - np.arange(1, len(commas) + 1), len(text)
    return pa.LargeStringArray.from_buffers(len(values), pa.py_buffer(offsets), pa.py_buffer(text))


def _as_numpy_writes(values: np.ndarray) -> pa.Array:
    """Write floats one by one: what is missing, infinite, or has an exponent."""
    missing = np.isnan(values)
    return pa.array(np.where(missing, "", values.astype(str)).tolist(), pa.large_string(), mask=missing)
