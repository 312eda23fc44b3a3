"""The end of a run: all is checked, the output is made visible, and what came of it is said and kept."""

import os
from dataclasses import dataclass

from muster._job import Estimate, Result
from muster._job.remedy import Remedy
from muster._journal.events import Finished, OutputLayout, Standing
from muster._model import Outcome
from muster._output.build import check_worth_publishing, totals

from .asking.questions import Asker
from .beginning.recognition import Recognised
from .history import unchanged
from .history.earlier import check_still_stands
from .history.job_fields import job_as_fields
from .history.retrying import count_unread, remedy_of
from .tasks.task_phase import TaskPhase


@dataclass(slots=True)
class Commit:
    """Makes the output of a phase whose tasks are all done."""

    phase: TaskPhase
    recognised: Recognised
    asker: Asker
    """Who is asked at home."""
    made: unchanged.Recipe

    def publish(self) -> Result:
        """Make the output visible, with the rejects, and journal that the run has finished."""
        phase, run, teller = self.phase, self.phase.run, self.phase.teller
        teller.say("writing the output")
        worked = run.seconds
        phase.tell()
        os.chdir(run.folder)  # the user's function may have gone elsewhere, where it runs in this process
        self._check()
        progress = phase.loop.progress
        ask = phase.workplace.asker(teller, self.asker).ask
        outcomes = run.output_builder.end(phase.outcomes(), ask, progress.volume_of, ready=self._ready)
        hindsight = phase.loop.harvest.hindsight
        remarks = hindsight.remarks(progress.schema)
        result = self._result(outcomes, worked, remarks)
        phase.tell()
        for text in hindsight.raised():
            teller.note(text)
        teller.warn(remarks)
        published = run.work.visible()
        self._note(unchanged.End(self.recognised.run, phase.attempt.files.known, result, published))
        standing, standing_rejects = run.work.standing(), run.work.standing_rejects()
        teller.record.write(Finished(result.as_fields(), published, standing, standing_rejects))
        teller.say()
        return result

    def _check(self) -> None:
        """Raise ``MusterError`` rather than publish what is wrong."""
        self.phase.attempt.holding.check_inputs(self.phase.run)
        self.phase.check_settled()
        check_worth_publishing(self.phase.outcomes(), self.phase.run.work)

    def _ready(self, layout: OutputLayout, made: str) -> None:
        """Journal how the output is laid that is about to become visible; a retry replaces what it mends alone."""
        run, write = self.phase.run, self.phase.teller.record.write
        if run.earlier is not None:
            check_still_stands(self.recognised.past, run.work, retried=run.earlier.run)
            standing = Standing(made)
            write(standing)
            self.recognised.past.add(standing)
        write(layout, durable=True)

    def _result(self, outcomes: list[Outcome], worked: float, remarks: list[str]) -> Result:
        """Count what came of the run, whose tasks were done after ``worked`` seconds."""
        run, harvest, there = self.phase.run, self.phase.first.harvest, self.phase.teller.observer.there
        seconds, sums, rows_before = run.seconds, totals(outcomes), harvest.resumed_rows
        workers, machines = self.phase.workplace.had(there)
        return Result(
            **sums,
            parts=self.phase.first.progress.parts,
            resumed_parts=0 if run.earlier else harvest.resumed_parts,
            workers=workers,
            machines=machines,
            seconds=round(seconds, 3),
            rows_per_second=round((sums["rows_in"] - rows_before) / seconds, 1),
            output=run.job.output,
            rejects=run.work.rejects if any(outcome.rejects for outcome in outcomes) else None,
            cost=there.cost,
            rows_before=rows_before,
            estimate=self._estimate(worked, seconds, workers=workers),
            stages=tuple(self.phase.stages_done),
            warnings=(*run.warnings, *remarks),
            remedy=self._remedy() if sums["bad_rows"] else None,
            has_groups=bool(run.job.exchanges),
        )

    def _remedy(self) -> Remedy:
        """Decide what is to be done about the bad rows, which lie beside the output by now."""
        phase, run = self.phase, self.phase.run
        return remedy_of(
            job_as_fields(run.job, place=run.work.address, folder=str(run.folder)),
            bad_before=phase.first.progress.bad_rows,
            unread=count_unread(run.work),
            has_gaps=phase.has_gaps,
        )

    def _estimate(self, worked: float, seconds: float, *, workers: int) -> Estimate | None:
        """Tell what all rows would take, where only some were done: not of groups, as the rest may have other keys."""
        trial = self.phase.first.harvest.trial
        if trial is None or self.phase.run.job.exchanges:
            return None
        return trial.estimate(worked, seconds, workers=workers)

    def _note(self, end: unchanged.End) -> None:
        """Note what the output is made of, so that the same command knows whether it would make it again."""
        earlier = self.phase.run.earlier
        if self._may_be_mixed():
            unchanged.note_mixture(self.made, end, why=unchanged.ACCEPTED)
        elif earlier is not None:
            unchanged.note_retry(self.made, end, of=earlier.run)
        else:
            unchanged.note(self.made, end)

    def _may_be_mixed(self) -> bool:
        """Tell whether rows of two versions of the function, or of what it reads, may be in the output."""
        recognised = self.recognised
        return recognised.past.is_mixed or bool(recognised.accepted.texts) or self.phase.attempt.files.have_changed
