"""Compress a file that is complete."""

import gzip
import os
import shutil
from pathlib import Path
from typing import IO, Any, Final

from muster._private.files import private

_AT_ONCE: Final = 1 << 20
"""Memory stays small, and a block is worth its calls."""

_LEVEL: Final = 6
"""What ``gzip`` takes by itself."""


def pack(plain: Path, packed: Path, codec: str) -> None:
    """Write what a file holds, compressed, to another, for this user alone. Raises ``OSError``."""
    with plain.open("rb") as file, open(packed, "wb", opener=_emptied) as below, _packing(below, codec) as stream:
        shutil.copyfileobj(file, stream, _AT_ONCE)


def _emptied(path: str, flags: int) -> int:
    return private(path, flags | os.O_TRUNC)


def _packing(file: IO[bytes], codec: str) -> Any:  # noqa: ANN401 (a stream of either library)
    if codec == "gzip":
        return gzip.GzipFile("", "wb", _LEVEL, file, mtime=0)
    import pyarrow as pa

    return pa.CompressedOutputStream(pa.PythonFile(file, mode="w"), codec)
