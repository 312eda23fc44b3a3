"""What is worked out of each group from parts of it, and how a job says so."""

from typing import Any, NamedTuple


class Measure(NamedTuple):
    """One column of the output: what it is called, and what it is worked out of, and how."""

    output: str
    how: str
    """One of pandas' names; empty for an aggregation of the user's own."""
    columns: tuple[str, ...] = ()
    """What it is worked out of; none: whole rows."""
    is_frame: bool = False
    """An aggregation of the user's own gets a frame of these columns, and not the one column."""

    def said(self) -> list[Any]:
        """Write it as JSON."""
        return [self.output, self.how, list(self.columns), self.is_frame]
