"""What reads the rows of a task: all that the formats have in common."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Mapping
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from muster._formats.absent import own_columns, with_absent_columns
from muster._formats.kinds import ARROW_TYPES
from muster._formats.rows import Rows, type_of
from muster._model import Briefing, Column, Task
from muster._words import plural
from muster.errors import DataError


class Raw(NamedTuple):
    """A row as it stands in its file; ``offset`` is the byte where it begins, ``None`` where the format has no text."""

    offset: int | None
    text: str


class Reader(ABC):
    """Reads the rows of a task of one file, and some of them once more as they stand there."""

    def __init__(self, briefing: Briefing, task: Task) -> None:
        """Take the task; nothing is read yet."""
        self.briefing = briefing
        self.task = task
        self.source = briefing.sources[task.file]
        self.name = self.source.name
        self.path = task.local_copy.path if task.local_copy else self.source.path
        self.origin = task.local_copy.origin if task.local_copy else 0
        """Where in the whole file, or the whole stream, the file of this path begins."""
        self.ahead: Rows | None = None
        """The rows, if they were read together with those of other files."""

    @property
    def order(self) -> tuple[str, ...]:
        """Name the file's own columns, as they stand; nothing where the format has none."""
        return self.briefing.orders[self.task.file] if self.briefing.orders else ()

    @property
    def columns(self) -> tuple[Column, ...]:
        """List the columns to read, without those that only folders or other files have."""
        return own_columns(self.briefing.columns, self.order)

    @property
    def step(self) -> str:
        """Name the step that rows died in which ``read`` gives as bad: reading, or after that any of the steps."""
        if self.task.condemned and self.task.start < self.task.stop and not self.task.dies_unread:
            return " or ".join(step.name for step in self.briefing.steps)
        return "read"

    def read(self) -> Rows:
        """Read the rows of the task, with all columns. Raises ``DataError`` where the file is not what it was."""
        if self.ahead is not None:
            rows, self.ahead = self.ahead, None
            return rows
        if self.task.start < self.task.stop:
            if not self.task.condemned:
                return with_absent_columns(self.parsed(), self.briefing.columns, dict(self.source.keys))
            self.survive()
        return self._none()

    def batches(self, rows: Rows) -> Iterator[Rows]:
        """Cut what was read into batches: whatever is read by others, their borders are the same."""
        size, task = self.briefing.batch_rows, self.task
        if size is None or task.lo == task.hi:
            if len(rows.numbers) or task.lo == task.hi:
                yield rows
            return
        for lo in range(task.lo - task.lo % size, task.hi, size):
            batch = rows.between(lo, lo + size)
            if len(batch.numbers):
                yield batch

    @abstractmethod
    def parsed(self) -> Rows:
        """Read and convert the rows of a task that has some; of the columns, those of the file."""

    @abstractmethod
    def raw(self, rows: Collection[int]) -> Mapping[int, Raw]:
        """Find rows once more, by their numbers, as they stand in the file."""

    def survive(self) -> None:
        """Read rows that no worker survived, unless that is what none survives: then the function is to blame."""
        if not self.task.dies_unread:
            self.parsed()

    def empty(self) -> pa.Table:
        """Make a table of the file's columns without a row."""
        types = [(column.name, ARROW_TYPES[type_of(column)]) for column in self.briefing.columns]
        return pa.schema(types).empty_table()

    def check_count(self, count: int, expected: int) -> None:
        """Raise ``DataError`` unless there are as many rows as there were."""
        if count != expected:
            raise DataError(
                f"{self.source.name!r}: expected {plural(expected, 'row')} from byte {self.task.start} on, found"
                f" {count}. The file changed while muster read it. Run again with --fresh."
            )

    def _none(self) -> Rows:
        """Give a frame without rows; those of a task that is condemned are bad."""
        bad = dict.fromkeys(range(self.task.lo, self.task.hi), self.task.condemned) if self.task.condemned else {}
        return with_absent_columns(Rows(self.empty(), np.empty(0, np.int64), bad), self.briefing.columns, {})
