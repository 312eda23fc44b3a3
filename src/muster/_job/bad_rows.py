"""The rows that a run has rejected, as its rejects tell of them."""

import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from muster._urls.urls import get, is_remote
from muster.errors import MusterError

if TYPE_CHECKING:
    import pandas as pd

COLUMNS: Final = {
    "file": "str",
    "row": "int64",
    "byte_offset": "Int64",
    "raw": "str",
    "step": "str",
    "error": "str",
    "traceback": "str",
}
"""What is told of each row, and the type of that in a frame; rows of Parquet have no byte offset."""


def first(path: str, count: int) -> list[dict[str, Any]]:
    """Read some rows from a file of this computer; none where it lies elsewhere, or cannot be read."""
    if is_remote(path):
        return []
    try:
        return list(islice(_rows(path), count))
    except (OSError, ValueError):
        return []


def to_mend(path: str, count: int, *, again: str) -> str:
    """Say what to do about the bad rows of an output; ``again`` retries those that the function can do once mended."""
    unread = min(_unread(path), count)
    if not unread:
        return f"Mend the function, then {again}"
    those = ("They", "them") if count > 1 else ("It", "it")
    if unread == count:
        return (
            f"{those[0]} could not be read, which no retry changes: mend {those[1]} in the input, or say how to read"
            f" {those[1]}, and run the whole again. More: muster help bad-rows"
        )
    return (
        f"{unread:,} of them could not be read: mend {'these' if unread > 1 else 'this one'} in the input"
        f" (muster help bad-rows). For the other {count - unread:,} mend the function, then {again}"
    )


def _unread(path: str) -> int:
    """Count the rows that could not be read; none where the file cannot be read itself."""
    try:
        if is_remote(path):
            return sum(map(is_unread, get(path).splitlines()))
        with Path(path).open("rb") as lines:
            return sum(map(is_unread, lines))
    except (OSError, MusterError):
        return 0


def is_unread(line: bytes) -> bool:
    """Tell by a line's end, where no text of a cell can stand; a step of the user's own may be called so, too."""
    return b', "step": "read", "error": "' in line and line.rstrip().endswith(b', "traceback": ""}')


def frame(path: str | None) -> "pd.DataFrame":
    """Read all rows into a DataFrame. Raises ``OSError``, and ``MusterError`` for a store that does not answer."""
    import pandas as pd

    rows = [] if path is None else list(_rows(path))
    return pd.DataFrame({name: pd.Series([row[name] for row in rows], dtype=kind) for name, kind in COLUMNS.items()})


def _rows(path: str) -> Iterator[dict[str, Any]]:
    if is_remote(path):
        yield from map(json.loads, get(path).splitlines())
        return
    with Path(path).open(encoding="utf-8") as lines:
        yield from map(json.loads, lines)
