"""What comes of tasks: it is journaled, moved to the output that grows, and looked at for what it tells."""

from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING

from muster._journal import events
from muster._model import Outcome, Task
from muster._output.build import totals
from muster._progress.kept_outcomes import KeptOutcomes
from muster._run.beginning.run import Run
from muster._run.telling.hindsight import Hindsight
from muster._run.telling.record import Recorder

from .stage import Stage

if TYPE_CHECKING:
    from pathlib import Path

    from muster._run.telling.estimate import Trial


class Harvest:
    """Outcomes that are kept, under one schema of the input."""

    def __init__(self, run: Run, record: Recorder, stage: Stage) -> None:
        """Begin with none; the record journals what becomes of them. Those of the last stage are the output."""
        self._stage = stage
        self._work = run.work
        self._output_builder = run.output_builder
        self._record = record
        self._next: deque[tuple[Outcome, tuple[str, ...] | None] | str] = deque()
        """What comes next in the output, with its columns; and pieces to forget once those before are moved."""
        self._obsolete: list[Path] = []
        """Files whose rows lie in the output, which the journal may not say yet."""
        self.trial: Trial | None = None
        """What was measured of the rows, where only some are done."""
        self.hindsight = Hindsight(1 if stage.exchange else run.job.options.batch_rows)
        self._resumed = KeptOutcomes()

    def resume(self, outcomes: Sequence[Outcome]) -> None:
        """Take over what an earlier attempt has done, and its journal says."""
        self._resumed.keep(outcomes)
        if self.trial is not None:
            self.trial.take("", *outcomes)
        self.hindsight.take(*outcomes)

    @property
    def resumed_parts(self) -> int:
        """Count the parts that an earlier attempt has done."""
        tasks = (one.task for one in self._resumed.values())
        return len({index for task in tasks for index in range(task.first, task.last)})

    @property
    def resumed_rows(self) -> int:
        """Count the rows that an earlier attempt has read."""
        return int(totals(self._resumed.values())["rows_in"])

    def keep(self, outcome: Outcome, worker: str) -> None:
        """Keep what a worker has done."""
        self.hindsight.take(outcome)
        if self.trial is not None:
            self.trial.take(worker, outcome)
        if self._stage.before is not None:
            return
        number = self._stage.number
        self._record.hold(events.KeptLater(number, outcome, worker) if number else events.Kept(outcome, worker))

    def drop(self, task: Task) -> None:
        """Forget an outcome, or all of a stretch, that is to be done again."""
        if self._stage.before is not None:
            return
        rows, number = (task.first, task.last, task.lo), self._stage.number
        self._record.write(events.DroppedLater(number, *rows) if number else events.Dropped(*rows))
        self._resumed.forget(first=task.first, last=task.last, lo=task.lo)

    def append(self, outcome: Outcome, columns: tuple[str, ...] | None) -> None:
        """Have ``move`` move rows to the output that grows; their own file is often not on the disk yet."""
        self._next.append((outcome, columns))

    def forget(self, name: str) -> None:
        """Have ``move`` forget where a piece lies, which is part of the one before it by then."""
        self._next.append(name)

    def move(self) -> None:
        """Lengthen the output. This copies: workers should have something to do meanwhile."""
        while self._next:
            match self._next.popleft():
                case str(name):
                    self._output_builder.locations.forget(name)
                case outcome, columns:
                    self._move(outcome, columns)

    def _move(self, outcome: Outcome, columns: tuple[str, ...] | None) -> None:
        moved = self._output_builder.append(outcome, columns) if self._stage.is_last else None
        if moved is not None:
            self._record.hold(moved)
            self._obsolete.append(self._work.parts / moved.name)

    def tidy(self) -> None:
        """Remove what earlier beginnings of the output grew and nothing needs any more."""
        if self._stage.is_last:
            self._output_builder.tidy()

    def settle(self) -> None:
        """Have the journal say what was kept and moved, and only then remove files whose rows lie in the output.

        What the death of this process comes before is done again. Raises ``OSError`` when the disk is full.
        """
        obsolete, self._obsolete = self._obsolete, []
        self._record.flush()
        for path in obsolete:
            path.unlink(missing_ok=True)
