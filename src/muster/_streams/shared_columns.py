"""The columns that all sources of a stream have: the same ones, in any order."""

import threading
from collections.abc import Sequence

from muster._formats.chosen import used_columns
from muster.errors import UsageError


class SharedColumns:
    """The names of the columns, known from the first that names them. Threads of all sources ask."""

    def __init__(self, usecols: Sequence[str | int] | None) -> None:
        """Know none yet; only those count that ``usecols`` chooses, where it does."""
        self._usecols = usecols
        self._lock = threading.Lock()
        self._of = ""
        self._names: Sequence[str] = ()

    def know(self, source: str, names: Sequence[str]) -> None:
        """Take names for those of the stream, where none are known yet."""
        with self._lock:
            if not self._names:
                self._of, self._names = source, names

    def check(self, source: str, names: Sequence[str]) -> None:
        """Raise ``UsageError`` where the columns of a source are not those of the others, with both."""
        own = used_columns(self._usecols, names) or names
        self.know(source, own)
        if sorted(own) != sorted(self._names):
            raise differing(source, own, self._of, self._names)


def differing(one: str, names: Sequence[str], other: str, others: Sequence[str]) -> UsageError:
    """Say that two sources have other columns."""
    return UsageError(
        f"the rows of {one} have the columns {_listed(names)}, and those of {other} have {_listed(others)}. Rows that"
        " are merged have the same columns, in any order. Have them come so, or name those of each with columns=, where"
        " it takes that."
    )


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names))
