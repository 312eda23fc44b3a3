"""One stage of a run as its loop goes through it: where its parts come from, and what becomes of its outcomes."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from muster._journal.events import Totals
from muster._model import Column, Exchange, Outcome, Part, Schema, StageKind, Target

if TYPE_CHECKING:
    from muster._run.telling.estimate import Trial


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
    """The parts of a stage behind the first, or of an epoch: all are known when it begins."""

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
class Stage:
    """A stage: its number, and whether its outcomes are the output."""

    feed: Feed
    steps: tuple[Target, ...]
    format: str
    """That in which results are written: of the output, or that in which other steps read them."""
    number: int = 0
    is_last: bool = True
    is_at_home: bool = False
    """This computer does its tasks, also where machines do those of other stages that see none of its files."""
    exchange: Exchange | None = None
    """What workers must know of it; ``None`` where there is but one stage."""
    columns: tuple[Column, ...] | None = None
    """Those of the rows that are read, where these are none of the input."""
    schema: Schema | None = None
    """That of all results, where it is known beforehand."""
    bad_rows: int = 0
    """How many were bad in the stages before it."""
    allowed: int = 0
    """How many rows may be bad in all, where that is known by now."""
    begins: tuple[Target, ...] = ()
    """A step of the next stage that has its work begun already in this one."""
    before: Totals | None = None
    """What came of the epochs before, where it is the stage of one: no task of it is journaled, but its end."""

    @property
    def folder_suffix(self) -> str:
        """Tell the pieces of stages apart, whose tasks have the same numbers."""
        return f"-{self.number}" if self.exchange else ""

    @property
    def calls_nothing(self) -> bool:
        """Tell whether nothing of the user's is called: rows are sent to lanes, summed up by name, or put in order."""
        if self.exchange is None or self.begins:
            return False
        by = self.exchange.grouping
        sums_up = self.exchange.does is StageKind.GROUPING and bool(by.measures) and not by.has_own
        return sums_up or not self.steps

    @property
    def fails_on(self) -> str:
        """Name what a function of the stage fails on: all rows of a key at once, or one by one."""
        if self.exchange is None or self.exchange.does is not StageKind.GROUPING or self.exchange.has_state:
            return "row"
        return "group"


def is_whole(parts: Iterable[Part], outcomes: Iterable[Outcome]) -> bool:
    """Tell whether outcomes are of all rows of some parts."""
    return sum(one.rows_in for one in outcomes) == sum(part.rows for part in parts)
