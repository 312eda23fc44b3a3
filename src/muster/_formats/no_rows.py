"""What came to a stream in the place of a row and is none: a record of CSV that says so, and has too many cells.

So it is kept, counted and rejected as any record that has too many, and its reason is its own.
"""

import re
from typing import Final, NamedTuple

_MARK: Final = "no row: "
_FIRST_CELL: Final = re.compile(rf'"{_MARK}((?:[^"]|"")*)"|{_MARK}([^,]*)')


class NoRow(NamedTuple):
    """What came, where, and why it is no row."""

    why: str
    place: str
    came: str

    def cells(self, columns: int) -> list[str]:
        """Write it as a record among those that have so many cells."""
        cells = [_MARK + self.why, self.place, self.came]
        return cells + [""] * (columns + 1 - len(cells))


def why_of(record: str) -> str:
    """Read from a record with too many cells why it is no row; empty where that is all that is wrong with it."""
    found = _FIRST_CELL.match(record)
    return (found[1] or found[2] or "").replace('""', '"') if found else ""
