"""How much input there is, as far as it is known, and how many of its rows may be bad. Pure."""

from collections.abc import Iterable

from muster._model import Part

from .allowance import Allowance


class Extent:
    """The rows that are known so far; they become more until it is complete."""

    def __init__(self, allowance: Allowance) -> None:
        """Begin without rows."""
        self._allowance = allowance
        self.rows = 0
        self.is_complete = False
        self.allowed = 0
        """How many may be bad; kept, as it is asked several times for every task there is."""
        self._allow()

    def add(self, parts: Iterable[Part]) -> None:
        """Know of more of the input."""
        self.rows += sum(part.rows for part in parts)
        self._allow()

    def complete(self) -> None:
        """Know that no more will come: a share is one of all rows from now on, which may be fewer bad rows."""
        self.is_complete = True
        self._allow()

    def _allow(self) -> None:
        self.allowed = self._allowance.rows(self.rows, is_all=self.is_complete)
