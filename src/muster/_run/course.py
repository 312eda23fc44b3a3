"""One stage of a run as its loop goes through it: where its parts come from, and what becomes of its outcomes."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from muster._model import Exchange, Outcome, Part, Schema

if TYPE_CHECKING:
    from .estimate import Trial


class Feed(Protocol):
    """Gives the parts of a stage, one by one."""

    fed: list[Part]
    """Those that were given so far."""

    def take_parts(self) -> bool:
        """Give more; tell whether there were any."""

    def count_rows(self) -> int | None:
        """Count the rows of all; ``None`` where that is not known yet."""

    def trial(self, *, since: float) -> "Trial | None":
        """Begin to measure what a run of all rows takes, where only some are done; muster began at ``since``."""


@dataclass(slots=True)
class PartsOfStage:
    """The parts of a stage behind the first: all are known when it begins."""

    parts: Sequence[Part]
    fed: list[Part] = field(default_factory=list)

    def take_parts(self) -> bool:
        """Give all at once."""
        more = self.parts[len(self.fed) :]
        self.fed += more
        return bool(more)

    def count_rows(self) -> int | None:
        """Count the rows of all."""
        return sum(part.rows for part in self.parts)

    def trial(self, *, since: float) -> "Trial | None":
        """Measure nothing."""
        del since
        return None


@dataclass(frozen=True, slots=True)
class Course:
    """A stage: its number, and whether its outcomes are the output."""

    feed: Feed
    number: int = 0
    is_last: bool = True
    exchange: Exchange | None = None
    """What workers must know of it; ``None`` where there is but one stage."""
    schema: Schema | None = None
    """That of all results, where it is known beforehand."""
    bad_rows: int = 0
    """How many were bad in the stages before it."""
    allowed: int = 0
    """How many rows may be bad in all, where that is known by now."""

    @property
    def folder_suffix(self) -> str:
        """Tell the pieces of stages apart, whose tasks have the same numbers."""
        return f"-{self.number}" if self.exchange else ""


def is_whole(parts: Iterable[Part], outcomes: Iterable[Outcome]) -> bool:
    """Tell whether outcomes are of all rows of some parts."""
    return sum(one.rows_in for one in outcomes) == sum(part.rows for part in parts)
