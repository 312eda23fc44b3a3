"""How many rows of an unfinished run are kept: those that the same command would not do again."""

from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

from muster._model import Outcome

from .events import KIND_OF, Committed, Dropped, Event, Kept, Measured, Settled, Shaped
from .file import replay


class RowCounts(NamedTuple):
    """How many rows went in, came out and were rejected."""

    done: int = 0
    out: int = 0
    bad: int = 0


class _Task(NamedTuple):
    """A task that is kept: the part behind its last one, and its rows."""

    last: int
    rows: RowCounts


@dataclass(slots=True)
class KeptRows:
    """The tasks that are kept, event by event, in time that grows with the number of events alone."""

    total: int | None = None
    """Rows of the input, once they are counted."""
    _committed: RowCounts | None = None
    """Of a stream: the rows of all its epochs."""
    _kept: defaultdict[int, dict[int, _Task]] = field(default_factory=lambda: defaultdict(dict))
    """By the first part, then by the first row: a task may be of some rows of one part."""

    def take(self, event: Event) -> None:
        """Take in an event; most kinds change nothing."""
        match event:
            case Kept(outcome):
                self._keep(outcome)
            case Dropped():
                self._drop(event)
            case Settled():  # what was done before has other types, and is done again
                self._kept.clear()
            case Committed():
                self._committed = RowCounts(event.totals.rows_in, event.totals.rows_out, event.totals.bad_rows)
            case Measured():
                self.total = event.rows_total

    def _keep(self, outcome: Outcome) -> None:
        task = outcome.task
        rows = RowCounts(outcome.rows_in, outcome.rows_out, outcome.bad_rows)
        self._kept[task.first][task.lo] = _Task(task.last, rows)

    def _drop(self, dropped: Dropped) -> None:
        """Forget a task, or all tasks that a stretch was made of.

        The tasks of a stretch follow each other: each begins with the part behind the one before. Looking through all
        that is kept instead took minutes where much had been dropped.
        """
        task = self._kept[dropped.first].pop(dropped.lo, None)
        at = task.last if task is not None else dropped.last
        while at < dropped.last:
            found = self._kept.pop(at, {})
            at = max((one.last for one in found.values()), default=at + 1)

    def rows(self) -> RowCounts:
        """Add up the rows of all tasks that are kept; of a stream, those of its epochs."""
        if self._committed is not None:
            return self._committed
        tasks = [task.rows for of_part in self._kept.values() for task in of_part.values()]
        return RowCounts(*map(sum, zip(*tasks, strict=True)))


_OTHERS: Final = frozenset(KIND_OF) - {Shaped, Kept, Dropped, Settled, Committed}


def rows_kept(journal: Path) -> RowCounts | None:
    """Count the rows that are kept of a run whose process is gone; ``None`` where its journal names no task.

    Its last measured event does not tell them: that was written up to some seconds before the process was killed.
    """
    kept, names_tasks = KeptRows(), False
    for entry in replay(journal, without=_OTHERS):
        names_tasks = names_tasks or isinstance(entry.event, Kept | Committed)
        kept.take(entry.event)
    return kept.rows() if names_tasks else None
