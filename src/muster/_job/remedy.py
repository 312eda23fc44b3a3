"""What is to be done about the bad rows of an output, as it was decided when the output was written."""

from collections.abc import Mapping
from typing import Any, NamedTuple, Self


class Remedy(NamedTuple):
    """Says whether ``muster retry`` can do the bad rows of an output by themselves, and what it has to be given."""

    unread: int = 0
    """How many rows could not be read, which no retry changes."""
    why_not: str = ""
    """Why a retry cannot do the others by themselves, of the run as its subject; empty where it can."""
    given: str = ""
    """What was handed over by a program, and is to be given again: a function, by its name, or the ``pipeline``."""
    flags: tuple[str, ...] = ()
    """What else was not kept, as flags."""

    @classmethod
    def of_fields(cls, fields: Mapping[str, Any] | None) -> Self | None:
        """Read what ``as_fields`` wrote."""
        return cls(**{**fields, "flags": tuple(fields["flags"])}) if fields else None

    def as_fields(self) -> dict[str, Any]:
        """Write it as an object of JSON."""
        return {**self._asdict(), "flags": list(self.flags)}
