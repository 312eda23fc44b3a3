"""Make the seed system's synthetic rows."""

import hashlib
import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from muster._output.named_file import appearing
from muster.errors import EngineError, UsageError

HEADER: Final = "ID,SKU,FLUX,MANUFACTURER_NAME,DESCRIPTION\n"
_LARGEST_SKU: Final = 100_000
"""As in the seed system's rows."""

_ROWS_A_WRITE: Final = 10_000
"""About a megabyte: memory stays small, and a write is worth its call."""


def generate(rows: int, output: str | os.PathLike[str]) -> None:
    """Write ``rows`` synthetic rows of about 130 bytes as CSV; the same rows every time.

    The columns are ``ID`` (0 to N-1), ``SKU`` (1 to 100000), ``FLUX`` (0 to 1), ``MANUFACTURER_NAME`` (the MD5 of the
    ID) and ``DESCRIPTION`` (that MD5 twice). Raises ``UsageError`` for a negative number, or a file that cannot be
    written, ``EngineError`` where there is no room for it.
    """
    if rows < 0:
        raise UsageError(f"{rows} rows cannot be made. Choose 0 or more.")
    try:
        _check_may_replace(output := os.fspath(output))
        with appearing(output) as file:
            try:
                file.write(HEADER)
                file.writelines(lines(rows))
                file.flush()
            except OSError as error:
                raise EngineError(
                    f"Cannot write {output!r}: {error.strerror}. Make room, or choose another place."
                ) from error
    except OSError as error:
        raise UsageError(f"Cannot write {output!r}: {error.strerror}. Choose another place.") from error


def _check_may_replace(output: str) -> None:
    path = Path(output)
    if not path.name or path.is_dir():
        raise UsageError(f"{output!r} is a folder. Name a file.")
    if path.is_file() and not _begins_as_made_here(path):
        raise UsageError(
            f"{output!r} is there, and does not begin as what muster generate writes, so it is not replaced."
            " Name another; or remove it first."
        )


def _begins_as_made_here(path: Path) -> bool:
    """Tell whether a file is empty, or has the header that is written here."""
    with path.open("rb") as file:
        return file.read(len(HEADER)) in {b"", HEADER.encode()}


def lines(rows: int) -> Iterator[str]:
    """Make rows, many lines at a time; the first of more rows are the same."""
    dice = random.Random(0)  # noqa: S311 (synthetic data, the same every time; no secret)
    for first in range(0, rows, _ROWS_A_WRITE):
        yield "".join(_line(row, dice) for row in range(first, min(first + _ROWS_A_WRITE, rows)))


def _line(row: int, dice: random.Random) -> str:
    digest = hashlib.md5(str(row).encode(), usedforsecurity=False).hexdigest()
    return f"{row},{dice.randint(1, _LARGEST_SKU)},{dice.random()},{digest},{digest}{digest}\n"
