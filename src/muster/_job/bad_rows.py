"""The rows that a run has rejected, as its rejects tell of them."""

import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from muster._urls.urls import get, is_remote

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
