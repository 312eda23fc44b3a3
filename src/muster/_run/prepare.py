"""What comes before the first task: whose run it is that lies there, where the input's rows are, and their types."""

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final

from muster._formats.inputs import Inputs
from muster._job import Job
from muster._journal.events import Event, Settled, Surveyed
from muster._journal.runs import forget
from muster._model import Briefing, Code, DataFile, Global, Module, Outcome, Part
from muster._output.build import Finish
from muster._output.folder import Work
from muster._progress.allowance import Allowance
from muster._progress.progress import MOST_FILES, Progress
from muster._user_code.described import Described
from muster._user_code.questions import Build, Describe
from muster._user_code.state import packed
from muster.errors import UsageError, UserCodeError

from . import resume
from .questions import Desk
from .resume import Changes, Past

if TYPE_CHECKING:
    from .estimate import Trial

_RANDOM_BYTES: Final = 4
"""How many keep the ids of runs apart that begin in the same second, of which hundreds may."""

_ROW_BYTES: Final = 64
"""What a Parquet row counts as, where work is measured in bytes."""

Write = Callable[[Event], None]
"""Journals an event: its name, and its fields as keywords."""


class Preparation:
    """Finds out what a run must know before it can begin, unless an earlier attempt has left it."""

    def __init__(  # noqa: PLR0913 (all that it asks)
        self,
        job: Job,
        *,
        inputs: Inputs,
        work: Work,
        desk: Desk,
        write: Write,
        builders: int,
        earlier: Past | None = None,
    ) -> None:
        """Know whom to ask, where to write what was found, and, of a retry, the run that has found it before.

        ``builders`` is how many workers of the desk build the steps.
        """
        self._builders = builders
        self._earlier = earlier
        self._job = job
        self._inputs = inputs
        self._work = work
        self._desk = desk
        self._write = write
        self._given_up = ""
        self._starts_over = ""
        self._has_looked = False
        self.run_id = ""
        self.accepted = Changes()
        self.fingerprint: dict[str, Any] = {}
        self.packages: dict[str, str] = {}
        """What the steps import, with versions; asked only where a machine may have others."""
        self.modules: tuple[Module, ...] = ()
        """What the steps import of the user's own, likewise."""
        self.state: tuple[Global, ...] = ()
        """What this program has set in modules that workers import anew."""
        self.code = Code()
        """What workers that load the steps later must find there, too."""
        self.outdated: tuple[str, ...] = ()
        """What this program has imported from files that were written since."""
        self.rows_in_all: int | None = None
        """How many rows the whole input has, where only some are done."""
        self._seconds_for_types = 0.0
        self.fed: list[Part] = []
        """The parts that were read so far: all, unless the input is a stream."""

    def recognise(self, past: Past, *, put_away: Callable[[Past], None]) -> Past:
        """Tell what counts of an earlier attempt. Raises ``ResumeError`` when it was another job's.

        Steps are imported for that, and no class is built: there may be nothing to do.
        ``put_away`` is given a run that has finished and stands in nobody's way.
        """
        with _of_function():
            described = self._described()
        self.outdated = tuple(what for step in described for what in step.outdated)
        self.fingerprint = resume.fingerprint(self._job, self._inputs.sources, described)
        options = self._job.options
        if not options.accept_changes:
            files = dict.fromkeys(file for step in described for file in step.files)
            facts = frozenset((fact.what, fact.value) for step in described for fact in step.facts)
            self.code = Code(tuple(files), facts)
        if past.finished and (options.fresh or any(resume.differences(past.job, self.fingerprint))):
            put_away(past)
            past = Past()
        elif options.fresh and past.run:
            self._given_up = past.run
            self._inputs.spool = self._work.spool_apart()
            past = Past()
        self.run_id = past.run or time.strftime("%Y%m%d-%H%M%S-") + os.urandom(_RANDOM_BYTES).hex()
        self._work.begin(self.run_id)
        if not (past.kept or past.is_laid_out or past.finished):
            if not self._given_up:
                self._work.clear()
            return Past()
        self._starts_over = resume.why_in_vain(past, self.fingerprint, accept=options.accept_changes)
        if self._starts_over and not past.finished:
            self._work.clear()
            return Past()
        folder = str(self._work.folder)
        self.accepted = resume.check_same(past, self.fingerprint, folder=folder, accept=options.accept_changes)
        past.accept(self.accepted.files)
        return past

    def _described(self) -> list[Described]:
        steps, limit = self._job.steps, self._job.options.timeout
        described: list[Described] = self._desk.ask([Describe(steps, limit, builds=False)])[0]
        if set_here := [fact for step in described for fact in step.set_there]:
            self.state = packed(set_here)
            described = self._desk.ask([Describe(steps, limit, self.state, builds=False)])[0]
        return described

    @property
    def gives_up(self) -> bool:
        """Tell whether an unfinished run is going to be forgotten; until it is, it counts as kept."""
        return bool(self._given_up)

    def load(self, *, is_far: bool) -> None:
        """Have steps built where they work here, and find out what they need on machines that are far."""
        self._build()
        if is_far:
            from muster._travel.packages import Packages
            from muster._user_code.modules import Reached

            steps = self._job.steps
            self.packages, self.modules = self._desk.ask([Packages(steps), Reached(steps)])

    def _build(self) -> None:
        """Have all workers of this computer build the steps side by side, where they work; wait for one of them."""
        if not self._builders:
            return
        request = Build(self._job.steps, self._job.options.timeout, self.state)
        self._desk.mention(request, times=self._builders - 1)
        with _of_function():
            built: tuple[DataFile, ...] = self._desk.ask([request])[0]
        if not self._job.options.accept_changes:
            self.code = self.code._replace(files=tuple(dict.fromkeys((*self.code.files, *built))))

    def remarks(self) -> Iterator[str]:
        """Say what the user should know of the code before its first call."""
        if self._starts_over:
            yield f"starts over, as no row was done before, and this has changed: {self._starts_over}"
        if self.outdated:
            written = ", ".join(self.outdated)
            yield f"not as this program imported it, as its file was written since: {written}"
        if self.accepted.texts:
            yield f"going on although this has changed: {'; '.join(self.accepted.texts)}"

    def start_over(self, past: Past) -> None:
        """Forget the unfinished run that lies there, where it is to be; but not before the whole command is checked.

        A wrong type or an input that cannot be read is found first: a slip must not cost what a night has done.
        """
        if self._given_up:
            try:
                self.look(past)
            except BaseException:
                self._work.forget_spool_apart()
                raise
            forget(self._given_up)
            self._work.clear()

    def look(self, past: Past) -> None:
        """Find out where the input's rows are and what its columns hold, once."""
        if not self._has_looked:
            if self._earlier is not None and past.surveyed is None:
                self._begin_as(self._earlier, past)
            self._survey(past)
            self._settle(past)
            self._has_looked = True

    def _begin_as(self, earlier: Past, past: Past) -> None:
        """Take over what an earlier run has found out about the input, which is the same."""
        if earlier.surveyed is not None:
            self._write(earlier.surveyed)
        past.surveyed, past.columns = earlier.surveyed, earlier.columns
        self._inputs.columns = earlier.columns or ()
        self._write_settled(f"run {earlier.run}")

    def _survey(self, past: Past) -> None:
        """Find the parts and the columns of the input."""
        inputs, before = self._inputs, past.surveyed
        inputs.copy(self._desk.ask, self._desk.tick)
        digests = inputs.digests()
        if before is not None:
            counts = past if self._earlier is None else self._earlier
            has_streams = any(map(inputs.is_stream, inputs.readable()))
            resume.check_cuts(counts, has_streams=has_streams, is_retry=self._earlier is not None)
            resume.check_same_files(inputs.sources, before.digests, digests)
            inputs.resume(tuple(before.parts))
            inputs.orders = tuple(map(tuple, before.orders))
            inputs.columns = tuple(before.columns)
            inputs.agreed = before.agreed
            inputs.stream_starts = dict(before.starts)
            return
        inputs.survey(self._desk.ask)
        self._write(
            Surveyed(inputs.surveyed, inputs.orders, inputs.columns, inputs.agreed, inputs.stream_starts, digests)
        )

    def _settle(self, past: Past) -> None:
        """Settle the types of the columns by a sample, and begin to read the parts."""
        self._feed = self._inputs.feed()
        if self._job.options.limit or self._job.options.sample:
            self._settle_by_all(past)
            return
        if past.columns is not None:
            self._inputs.columns = past.columns
            return
        while not self._inputs.surveyed and not self.fed and self.take_parts():
            pass
        self._inputs.observe(self._desk.ask, self._inputs.surveyed or self.fed, everything=False)
        self._write_settled("a sample that spans the input")

    def _settle_by_all(self, past: Past) -> None:
        """Settle the types of some rows by every value of the whole input: so the rows are as in a full run."""
        inputs = self._inputs
        parts = [part for more in self._feed for part in more]
        self.rows_in_all = sum(part.rows for part in parts)
        began = time.monotonic()
        if past.columns is not None:
            inputs.columns = past.columns
        else:
            inputs.observe(self._desk.ask, parts, everything=True)
            self._write_settled("every value, as only some rows are done")
        self._seconds_for_types = time.monotonic() - began
        self._feed = iter([inputs.excerpt(self._desk.ask, parts)])

    def count_rows(self) -> int | None:
        """Count the rows that are to be done; ``None`` where streams hide some."""
        if self.rows_in_all is None:
            return self._inputs.count_rows()
        while self.take_parts():
            pass
        return sum(part.rows for part in self.fed)

    def trial(self, *, since: float) -> "Trial | None":
        """Begin to measure what a run of all rows takes, where only some are done; muster began at ``since``."""
        if self.rows_in_all is None:
            return None
        from .estimate import Trial

        return Trial(
            self.rows_in_all,
            is_spread=self._job.options.limit is None,
            before=time.monotonic() - since,
            for_types=self._seconds_for_types,
        )

    def briefing(self, finish: Finish, *, attempt: int) -> Briefing:
        """Tell what workers must know for the tasks of an attempt."""
        inputs, options = self._inputs, self._job.options
        return Briefing(
            sources=inputs.sources,
            dialect=inputs.worker_dialect,
            reading=options.reading,
            steps=self._job.steps,
            format=finish.format,
            folder=str(self._work.parts / str(attempt)),
            staging=self._work.staging,
            delimiter=finish.delimiter,
            columns=inputs.columns,
            orders=inputs.orders,
            agreed=inputs.agreed,
            batch_rows=options.batch_rows,
            timeout=options.timeout,
            calls_per_worker=options.calls_per_worker,
            packages=self.packages,
            modules=self.modules,
            state=self.state,
            code=self.code,
        )

    def progress(self, finish: Finish, *, workers: int, is_far: bool) -> Progress:
        """Make what counts the parts, tells what to do next, and when too many rows are bad."""
        options = self._job.options
        unit = _ROW_BYTES if self._inputs.format == "parquet" else 1
        return Progress(
            workers=max(workers, 1),
            max_bad_rows=0 if options.strict else Allowance.of(options.max_bad_rows),
            batch_rows=options.batch_rows,
            volume=finish.volume_bytes and finish.volume_bytes // unit,
            same_text=finish.format != "parquet",
            unit_bytes=unit,
            most_calls=options.calls_per_worker,
            most_files=1 if options.calls_per_worker or options.limit or options.sample or is_far else MOST_FILES,
        )

    def take_parts(self) -> bool:
        """Read on in the input; tell whether there was more."""
        parts = next(self._feed, None)
        self.fed += parts or ()
        return parts is not None

    def widen(self, misfit: Outcome, *, names: str) -> None:
        """Settle the types by every value, as those of some columns turned out too narrow."""
        while self.take_parts():
            pass
        self._inputs.widen(self._desk.ask, self.fed, misfit.misfits)
        self._write_settled(f"every value, for the sake of {names}")

    def _write_settled(self, by: str) -> None:
        self._write(Settled(self._inputs.columns, by))


@contextlib.contextmanager
def _of_function() -> Iterator[None]:
    """Note of an error that the function is to blame, and no input."""
    try:
        yield
    except (UsageError, UserCodeError) as error:
        error.is_of_function = True
        raise
