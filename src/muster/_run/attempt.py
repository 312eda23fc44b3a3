"""One process's work on a run, from when it has a journal: the tasks, and what happens where types are too narrow."""

import contextlib
import pickle
from collections.abc import Iterator
from dataclasses import dataclass, field

from muster._journal.runs import attempt
from muster._model import Briefing, Outcome, Target
from muster._output.build import check_every_row_is_settled
from muster._progress.stretches import Kept
from muster._user_code.data_files import DataFiles

from .course import Course
from .holding import Holding
from .intake import Intake
from .known import Run
from .loading import Loading
from .loop import Loop
from .teller import Teller
from .workplace import Workplace


@dataclass(slots=True)
class Attempt:
    """Tries to do all tasks until the types of columns hold; each try has a number, and a folder of its own."""

    run: Run
    workplace: Workplace
    intake: Intake
    teller: Teller
    loading: Loading
    holding: Holding
    files: DataFiles
    """Those that the user's code has read."""
    number: int
    """How many tries there were before this one."""
    course: Course = field(init=False)
    """The stage that it is at."""
    loop: Loop = field(init=False)
    first: Loop = field(init=False)
    """That of the stage which reads the input."""

    def __post_init__(self) -> None:
        """Be ready for the first try."""
        self.course = self.first_course()
        self.loop = self.first = self._new_loop(0)

    def first_course(self) -> Course:
        """Say what the stage is that reads the input."""
        return Course(self.intake)

    def outcomes(self) -> list[Outcome]:
        """List what the output, and the rejects, are made of."""
        return self.loop.progress.outcomes

    def check_settled(self) -> None:
        """Raise ``EngineError`` where a row of a stage has no outcome."""
        check_every_row_is_settled(self.course.feed.fed, done=self.loop.progress.rows_done)

    def work_through(self, kept: Kept) -> None:
        """Have all tasks done, but for those that were kept."""
        while True:
            if self.course.is_last:
                self.run.finish.begin()
            self.workplace.brief(pickle.dumps(self._briefing()))
            try:
                misfit = self.loop.work(kept)
            finally:
                self.run.finish.pause()
            if misfit is None:
                return
            self._widen(misfit)
            self.loop, kept = self._new_loop(self.loop.progress.last_number), Kept()
            self.first = self.loop

    def _new_loop(self, last_number: int) -> Loop:
        return Loop(
            self.run,
            workplace=self.workplace,
            course=self.course,
            teller=self.teller,
            files=self.files,
            holding=self.holding,
            last_number=last_number,
        )

    def _widen(self, misfit: Outcome) -> None:
        """Settle the types by every value, so that this is needed once; forget what was done under narrower ones."""
        names = ", ".join(repr(name) for name in misfit.misfits)
        self.teller.say(
            f"looking at every value of {names}", note=f"{names} holds values that the sample did not; starting over"
        )
        self.intake.widen(misfit, names=names)
        self.run.work.clear_parts()
        self.run.finish.places.clear()
        self.number += 1
        begins = attempt(self.number, workers=self.teller.workers, access=self.workplace.access)
        self.teller.record.write(begins, at=self.run.began_at)

    def _briefing(self) -> Briefing:
        """Say what workers must know for the tasks of this try."""
        inputs, options, finish, loading = self.run.inputs, self.run.job.options, self.run.finish, self.loading
        folder = self.run.work.parts / f"{self.number}{self.course.folder_suffix}"
        return Briefing(
            sources=inputs.sources,
            dialect=inputs.worker_dialect,
            reading=options.reading,
            steps=self.steps(),
            exchange=self.course.exchange,
            format=finish.format,
            folder=str(folder),
            staging=self.run.work.staging,
            plain_bytes=self._plain_bytes(),
            delimiter=finish.delimiter,
            columns=inputs.columns,
            orders=inputs.orders,
            agreed=inputs.agreed,
            batch_rows=options.batch_rows,
            timeout=options.timeout,
            calls_per_worker=options.calls_per_worker,
            packages=loading.packages,
            modules=loading.modules,
            state=loading.state,
            code=loading.code,
        )

    def steps(self) -> tuple[Target, ...]:
        """Name the steps of the stage."""
        return self.run.job.steps

    def _plain_bytes(self) -> int:
        if self.run.job.options.calls_per_worker:
            return 0  # as nobody would know what all workers before had written
        return self.run.finish.plain_bytes(workers=self.teller.workers, is_far=self.workplace.is_far)

    @contextlib.contextmanager
    def telling_how_far(self) -> Iterator[None]:
        """Journal how far it was, where something stops it."""
        try:
            yield
        except BaseException:
            with contextlib.suppress(OSError):  # the disk may be full
                self.tell()
            raise

    def tell(self) -> None:
        """Journal how far it is, and what workers did that is not journaled yet."""
        self.teller.observer.tell(self.loop.progress, rows_total=self.teller.rows_total)
