"""The work of a run in one process: a look at the input, all tasks, and the output made visible."""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from muster._job import Result
from muster._journal import events
from muster._journal.events import FORMAT, Event
from muster._journal.file import Journal
from muster._journal.runs import attempt, forget, note
from muster._progress.stretches import Kept
from muster._user_code.data_files import DataFiles
from muster._user_code.with_files import stamps

from . import unchanged
from .asked import asked
from .attempt import Attempt
from .begun import Begun
from .commit import Commit
from .earlier import check_still_stands
from .intake import Intake
from .loading import Loading, build, look_around
from .recognition import Recognised
from .staged import StagedAttempt
from .taken_over import lay_out
from .workplace import Workplace


@dataclass(slots=True)
class Working:
    """A run that is recognised and has work to do; ``notes`` are what the user should know of it."""

    begun: Begun
    recognised: Recognised
    made: unchanged.Made
    workplace: Workplace
    notes: Sequence[str]

    def work(self, loading: Loading, *, why_anew: str) -> Result:
        """Do it all; ``why_anew`` says why that is needed although the output is there."""
        run, recognised, teller = self.begun.run, self.recognised, self.begun.teller
        teller.observer.there.spent_before = recognised.past.tried.dollars
        loading = self._load(loading)
        intake = Intake(run, desk=self.begun.desk, write=teller.record.write)
        if recognised.gives_up:
            self._start_over(intake)
        self.begun.holding.is_of_use = recognised.past.is_of_use
        with Journal(run.work.journal) as journal:
            teller.record.go_on_in(journal, begins=self._begins(), at=run.began_at)
            if (changes := recognised.accepted).texts:
                teller.record.write(events.Accepted(changes.texts, changes.files, recognised.fingerprint))
            for text in self.notes:
                teller.say(note=text)
            files = self._data_files()
            with contextlib.suppress(OSError):  # then nobody can list the run, which is no reason to stop it
                note(recognised.run, run.work.journal)
            with self._telling_why_it_stops(), self.begun.holding.blaming_changes(run):
                teller.say("looking at the input")
                if not recognised.gives_up:
                    intake.look(recognised.past)
                if run.earlier is not None and not recognised.past.mending.is_laid_out:
                    self._lay_out(intake)
                for text in filter(None, (why_anew, *run.inputs.notes)):
                    teller.say("looking at the input", note=text)
                return self._work_through(intake, loading, files)

    def _load(self, loading: Loading) -> Loading:
        """Have steps built where they work here, and find out what they need on machines that are far."""
        job, desk = self.begun.run.job, self.begun.desk
        if self.workplace.builders:
            loading = build(job, desk, loading, builders=self.workplace.builders)
        return look_around(job, desk, loading) if self.workplace.is_far else loading

    def _start_over(self, intake: Intake) -> None:
        """Forget the unfinished run that lies there, but not before the whole command is checked.

        A wrong type or an input that cannot be read is found first: a slip must not cost what a night has done.
        """
        work = self.begun.run.work
        try:
            intake.look(self.recognised.past)
        except BaseException:
            work.forget_spool_apart()
            raise
        forget(self.recognised.gives_up)
        work.clear()

    def _begins(self) -> Iterator[Event]:
        """Say how the journal begins, or how this attempt does."""
        run, recognised, past = self.begun.run, self.recognised, self.recognised.past
        if not past.run:
            said = asked(run.job, place=run.work.place, folder=str(run.folder))
            yield events.Started(recognised.run, recognised.fingerprint, said, FORMAT)
        elif past.started.format < FORMAT:  # what follows is written in the format of now
            yield events.Started(past.run, past.job, past.asked, FORMAT)
        yield attempt(past.tried.attempts, workers=self.begun.teller.workers, access=self.workplace.access)

    def _data_files(self) -> DataFiles:
        """Know the files that earlier attempts have read, but for those that were accepted to have changed."""
        teller = self.begun.teller
        files = DataFiles(
            self.recognised.past.files,
            read=lambda file: teller.record.write(events.Read(file)),
            wrote=lambda path: teller.record.write(events.Wrote(path)),
            note=teller.note,
        )
        files.take(stamps(self.begun.run.job.options.with_files), ())
        return files

    def _lay_out(self, intake: Intake) -> None:
        """Take over what needs not be done again of an output whose bad rows are retried."""
        self.begun.teller.say("looking at the output")
        intake.take_all_parts()  # of a stream, too: where its rows lie is known of all parts alone
        past, write = self.recognised.past, self.begun.teller.record.write
        for event in lay_out(self.begun.run, intake.fed, self.begun.desk.ask):
            write(event)
            past.add(event)  # as the next attempt will
            self.begun.holding.is_of_use = past.is_of_use

    def _work_through(self, intake: Intake, loading: Loading, files: DataFiles) -> Result:
        run, past, teller = self.begun.run, self.recognised.past, self.begun.teller
        run.finish.places = past.places
        how = (run, self.workplace, intake, teller, loading, self.begun.holding, files, past.tried.attempts)
        if run.job.grouping is None:
            kept = Kept(kept for kept in past.kept.values() if run.work.is_intact(kept, past.places))
            trying = Attempt(*how)
        else:
            kept = past.kept
            trying = StagedAttempt(*how, past, self.begun.desk.ask)
        with trying.telling_how_far():
            trying.work_through(kept)
            return Commit(trying, self.recognised, self.begun.desk, self.made).publish()

    @contextlib.contextmanager
    def _telling_why_it_stops(self) -> Iterator[None]:
        """Journal what stops the run, where it is not the end of this process."""
        run = self.begun.run
        try:
            yield
        except BaseException as error:
            with contextlib.suppress(OSError):  # the disk may be full
                self.begun.teller.observer.stopped(error)
            if run.earlier is not None and isinstance(error, OSError):  # as somebody may have written to the output
                check_still_stands(self.recognised.past, run.work, retried=run.earlier.run)
            raise
