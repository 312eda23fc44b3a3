"""The end of a run: all is checked, the output is made visible, and what came of it is said and kept."""

import os
from dataclasses import dataclass
from typing import Final

from muster._job import Result
from muster._journal.events import Finished, Laid, Standing
from muster._model import Outcome
from muster._output.build import check_worth_publishing, totals

from . import unchanged
from .attempt import Attempt
from .earlier import check_still_stands
from .questions import Desk
from .recognition import Recognised

_DIGITS_OF_COST: Final = 4


@dataclass(slots=True)
class Commit:
    """Makes the output of an attempt whose tasks are all done."""

    attempt: Attempt
    recognised: Recognised
    desk: Desk
    """Who is asked at home."""
    made: unchanged.Made

    def publish(self) -> Result:
        """Make the output visible, with the rejects, and journal that the run has finished."""
        attempt, run, teller = self.attempt, self.attempt.run, self.attempt.teller
        teller.say("writing the output")
        worked = run.seconds
        attempt.tell()
        os.chdir(run.folder)  # the user's function may have gone elsewhere, where it runs in this process
        self._check()
        progress = attempt.loop.progress
        ask = attempt.workplace.desk(teller, self.desk).ask
        outcomes = run.finish.end(attempt.outcomes(), ask, progress.volume_of, ready=self._ready)
        hindsight = attempt.loop.harvest.hindsight
        remarks = hindsight.remarks(progress.schema)
        result = self._result(outcomes, worked, remarks)
        attempt.tell()
        for text in hindsight.raised():
            teller.note(text)
        teller.warn(remarks)
        published = run.work.visible()
        self._note(unchanged.End(self.recognised.run, attempt.files.known, result, published))
        standing, standing_rejects = run.work.standing(), run.work.standing_rejects()
        teller.record.write(Finished(result.as_fields(), published, standing, standing_rejects))
        teller.say()
        return result

    def _check(self) -> None:
        """Raise ``MusterError`` rather than publish what is wrong."""
        self.attempt.holding.check_inputs(self.attempt.run)
        self.attempt.check_settled()
        check_worth_publishing(self.attempt.outcomes(), self.attempt.run.work)

    def _ready(self, laid: Laid, made: str) -> None:
        """Journal how the output is laid that is about to become visible; a retry replaces what it mends alone."""
        run, write = self.attempt.run, self.attempt.teller.record.write
        if run.earlier is not None:
            check_still_stands(self.recognised.past, run.work, retried=run.earlier.run)
            standing = Standing(made)
            write(standing)
            self.recognised.past.add(standing)
        write(laid, durable=True)

    def _result(self, outcomes: list[Outcome], worked: float, remarks: list[str]) -> Result:
        """Count what came of the run, whose tasks were done after ``worked`` seconds."""
        run, harvest, there = self.attempt.run, self.attempt.first.harvest, self.attempt.teller.observer.there
        seconds, sums, rows_before = run.seconds, totals(outcomes), harvest.resumed_rows
        workers, machines = self.attempt.workplace.had(there)
        return Result(
            **sums,
            parts=self.attempt.first.progress.parts,
            resumed_parts=0 if run.earlier else harvest.resumed_parts,
            workers=workers,
            machines=machines,
            seconds=round(seconds, 3),
            rows_per_second=round((sums["rows_in"] - rows_before) / seconds, 1),
            output=run.job.output,
            rejects=run.work.rejects if any(outcome.rejects for outcome in outcomes) else None,
            cost=round(there.dollars, _DIGITS_OF_COST),
            rows_before=rows_before,
            estimate=harvest.trial.estimate(worked, seconds, workers=workers) if harvest.trial else None,
            warnings=(*run.warnings, *remarks),
        )

    def _note(self, end: unchanged.End) -> None:
        """Note what the output is made of, so that the same command knows whether it would make it again."""
        earlier = self.attempt.run.earlier
        if self._may_be_mixed():
            unchanged.note_mixture(self.made, end, why=unchanged.ACCEPTED)
        elif earlier is not None:
            unchanged.note_retry(self.made, end, of=earlier.run)
        else:
            unchanged.note(self.made, end)

    def _may_be_mixed(self) -> bool:
        """Tell whether rows of two versions of the function, or of what it reads, may be in the output."""
        recognised = self.recognised
        return recognised.past.is_mixed or bool(recognised.accepted.texts) or self.attempt.files.have_changed
