"""What calls of the steps gave, and what is told of it."""

import zlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from muster._formats.results import Reply
from muster._formats.rows import Rows
from muster._formats.unmade import Pile
from muster._model import Outcome, Span, Task
from muster._progress.cuts import together
from muster._progress.schema import united

from .steps import Steps, reasons
from .writing import Written


@dataclass(slots=True)
class Called:
    """What calls of the steps gave on the rows of a file, or of several without a bad row."""

    tasks: list[Task]
    rows: int
    steps: Steps
    unread: Collection[int] = ()
    """Rows that could not be read."""
    pile: Pile = field(default_factory=Pile)
    """Replies, each marked with how many rows the steps had refused when it came."""

    @property
    def task(self) -> Task:
        """Make one task of those whose rows these are; it needs not be cut again."""
        return self.tasks[0] if len(self.tasks) == 1 else together(self.tasks)._replace(members=())

    def call(self, batch: Rows) -> None:
        """Call the steps on one batch more, unless too many rows are bad."""
        for reply in () if self.steps.exhausted else self.steps.results(batch):
            self.pile.add(reply, mark=len(self.steps.bad) - len(self.unread))

    def add(self, other: "Called") -> None:
        """Take in what another file gave, which has no bad row either."""
        self.tasks += other.tasks
        self.rows += other.rows
        self.pile.extend(other.pile)
        self.steps.add(other.steps)

    def made(self) -> list[Reply]:
        """Make the replies that are not made yet; none is of rows both before and behind one that was refused."""
        return [reply for reply, _ in self.pile.made()]

    def outcome(self, written: Written, replies: Sequence[Reply]) -> Outcome:
        """Tell what came of the rows, where this was written of these replies."""
        steps, task = self.steps, self.task
        has_spans = steps.bad and not (steps.exhausted or task.condemned)
        return Outcome(
            task,
            self.rows,
            written.rows,
            bad_rows=len(steps.bad),
            first_error=steps.first_error,
            index_names=steps.index,
            output=written.piece,
            schema=written.schema,
            written=None if written.schema == written.as_written else written.as_written,
            spans=self._spans(written, replies) if has_spans else (),
            steps=steps.measures,
            reasons=reasons(steps.bad.values()),
        )

    def _spans(self, written: Written, replies: Sequence[Reply]) -> tuple[Span, ...]:
        """Tell what was written of the rows between those that the function failed on."""
        spans = _between(self.task, sorted({*self.steps.bad} - {*self.unread}), self.unread)
        for (_, at), reply, text in zip(self.pile.made(), replies, written.texts, strict=True):
            span = spans[at]
            spans[at] = span._replace(
                rows_out=span.rows_out + reply.rows,
                bytes=span.bytes + len(text),
                crc=zlib.crc32(text, span.crc),
                schema=united(one for one in (span.schema, reply.schema) if one) if reply.schema else span.schema,
            )
        return tuple(span for span in spans if span.lo < span.hi)


def _between(task: Task, refused: Sequence[int], unread: Collection[int]) -> list[Span]:
    """Name the rows between those that were refused: before the first, between two, behind the last."""
    edges = pairwise([task.lo - 1, *refused, task.hi])
    return [
        Span(
            lo=one + 1,
            hi=other,
            bad_rows=sum(one < row < other for row in unread),
            rows_out=0,
            bytes=0,
            crc=0,
            schema=None,
        )
        for one, other in edges
    ]
