"""The work of a run in one process: a look at the input, all tasks, and the output made visible."""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from muster._job import Result
from muster._journal import events
from muster._journal.events import FORMAT, Event
from muster._journal.file import Journal
from muster._journal.runs import forget, note, try_started
from muster._progress.kept_outcomes import KeptOutcomes
from muster._user_code.data_files import DataFiles
from muster._user_code.with_files import stamps

from .beginning.begun import Begun
from .beginning.input_reader import InputReader
from .beginning.loading import Loading, build, look_around
from .beginning.recognition import Recognised
from .beginning.taken_over import lay_out
from .commit import Commit
from .history import unchanged
from .history.earlier import check_still_stands
from .history.job_fields import job_as_fields
from .tasks.retried import RetriedTaskPhase
from .tasks.staged import StagedTaskPhase
from .tasks.task_phase import Attempt, TaskPhase
from .workplace import Workplace


@dataclass(slots=True)
class Working:
    """A run that is recognised and has work to do; ``notes`` are what the user should know of it."""

    begun: Begun
    recognised: Recognised
    made: unchanged.Recipe
    workplace: Workplace
    notes: Sequence[str]

    def work(self, loading: Loading, *, why_anew: str) -> Result:
        """Do it all; ``why_anew`` says why that is needed although the output is there."""
        run, recognised, teller = self.begun.run, self.recognised, self.begun.teller
        teller.observer.there.spent_before = recognised.past.tried.dollars
        loading = self._load(loading)
        input_reader = InputReader(run, asker=self.begun.asker, write=teller.record.write)
        if recognised.gives_up:
            self._start_over(input_reader)
        self.begun.holding.is_of_use = recognised.past.is_of_use
        with Journal(run.work.journal) as journal:
            self._begin_in(journal)
            files = self._data_files()
            with self._telling_why_it_stops(), self.begun.holding.blaming_changes(run):
                teller.say("looking at the input")
                if not recognised.gives_up:
                    input_reader.look(recognised.past)
                if run.earlier is not None and not recognised.past.mending.is_laid_out:
                    self._lay_out(input_reader)
                for text in filter(None, (why_anew, *run.inputs.notes)):
                    teller.say("looking at the input", note=text)
                return self._work_through(input_reader, loading, files)

    def _begin_in(self, journal: Journal) -> None:
        """Journal that this attempt begins, and say what the user should know of it."""
        run, recognised, teller = self.begun.run, self.recognised, self.begun.teller
        teller.record.go_on_in(journal, begins=self._begins(), at=run.began_at)
        if (changes := recognised.accepted).texts:
            teller.record.write(events.Accepted(changes.texts, changes.files, recognised.fingerprint))
        for text in self.notes:
            teller.say(note=text)
        with contextlib.suppress(OSError):  # then nobody can list the run, which is no reason to stop it
            note(recognised.run, run.work.journal)

    def _load(self, loading: Loading) -> Loading:
        """Have steps built where they work here, and find out what they need on machines that are far."""
        job, asker = self.begun.run.job, self.begun.asker
        if self.workplace.builders:
            loading = build(job, asker, loading, builders=self.workplace.builders)
        return look_around(job, asker, loading) if self.workplace.is_far else loading

    def _start_over(self, input_reader: InputReader) -> None:
        """Forget the unfinished run that lies there, but not before the whole command is checked.

        A wrong type or an input that cannot be read is found first: a slip must not cost what a night has done.
        """
        work = self.begun.run.work
        try:
            input_reader.look(self.recognised.past)
        except BaseException:
            work.forget_spool_apart()
            raise
        forget(self.recognised.gives_up)
        work.clear()

    def _begins(self) -> Iterator[Event]:
        """Say how the journal begins, or how this attempt does."""
        run, recognised, past = self.begun.run, self.recognised, self.recognised.past
        said = job_as_fields(run.job, place=run.work.address, folder=str(run.folder))
        if not past.run:
            yield events.Started(recognised.run, recognised.fingerprint, said, FORMAT)
        elif past.started.format < FORMAT or said != past.asked:  # a retry does as the attempt did that came to the end
            yield events.Started(past.run, past.job, said, FORMAT)
        yield try_started(past.tried.tries, workers=self.begun.teller.workers, access=self.workplace.access)

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

    def _lay_out(self, input_reader: InputReader) -> None:
        """Take over what needs not be done again of an output whose bad rows are retried."""
        self.begun.teller.say("looking at the output")
        input_reader.take_all_parts()  # of a stream, too: where its rows lie is known of all parts alone
        past, write = self.recognised.past, self.begun.teller.record.write
        for event in lay_out(self.begun.run, input_reader.fed, self.begun.asker.ask):
            write(event)
            past.add(event)  # as the next attempt will
            self.begun.holding.is_of_use = past.is_of_use

    def _work_through(self, input_reader: InputReader, loading: Loading, files: DataFiles) -> Result:
        run, past, teller = self.begun.run, self.recognised.past, self.begun.teller
        run.output_builder.locations = past.locations
        attempt = Attempt(
            run=run,
            workplace=self.workplace,
            input_reader=input_reader,
            teller=teller,
            loading=loading,
            holding=self.begun.holding,
            files=files,
            tries_before=past.tried.tries,
        )
        if not run.job.exchanges:
            kept = KeptOutcomes(kept for kept in past.kept.values() if run.work.is_intact(kept, past.locations))
            trying = TaskPhase(attempt)
        else:
            kept = past.kept
            phase = StagedTaskPhase if run.earlier is None else RetriedTaskPhase
            trying = phase(attempt, past, self.begun.asker)
        with trying.telling_how_far():
            trying.work_through(kept)
            return Commit(trying, self.recognised, self.begun.asker, self.made).publish()

    @contextlib.contextmanager
    def _telling_why_it_stops(self) -> Iterator[None]:
        """Journal what stops the run, where it is not the end of this process."""
        run = self.begun.run
        try:
            yield
        except BaseException as error:
            with contextlib.suppress(OSError):  # the disk may be full
                self.begun.teller.observer.stopped(error)
            past = self.recognised.past
            if run.earlier is not None and isinstance(error, OSError) and past.mending.standing:
                check_still_stands(past, run.work, retried=run.earlier.run)  # somebody may have written to the output
            raise
