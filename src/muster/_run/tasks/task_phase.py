"""One process's work on a run, from when it has a journal: the tasks, and what happens where types are too narrow."""

import contextlib
import pickle
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from muster._journal.runs import try_started
from muster._model import Briefing, Outcome, StageDone
from muster._output.build import check_every_row_is_settled
from muster._progress.kept_outcomes import KeptOutcomes
from muster._run.beginning.holding import Holding
from muster._run.beginning.input_reader import InputReader
from muster._run.beginning.loading import Loading
from muster._run.beginning.run import Run
from muster._run.telling.teller import Teller
from muster._run.workplace import Workplace
from muster._user_code.data_files import DataFiles

from .loop import Loop
from .stage import Stage


@dataclass(frozen=True, slots=True)
class Attempt:
    """One process's work on a run: what it has, and what it works with."""

    run: Run
    workplace: Workplace
    input_reader: InputReader
    teller: Teller
    loading: Loading
    holding: Holding
    files: DataFiles
    """Those that the user's code has read."""
    tries_before: int


@dataclass(slots=True)
class TaskPhase:
    """Tries to do all tasks until the types of columns hold; each try has a number, and a folder of its own."""

    attempt: Attempt
    number: int = field(init=False)
    """How many tries there were before this one."""
    stage: Stage = field(init=False)
    """The stage that it is at."""
    loop: Loop = field(init=False)
    first: Loop = field(init=False)
    """That of the stage which reads the input."""

    def __post_init__(self) -> None:
        """Be ready for the first try."""
        self.number = self.attempt.tries_before
        self.stage = self.first_stage()
        self.loop = self.first = self._new_loop(0)

    @property
    def run(self) -> Run:
        """What is to be done."""
        return self.attempt.run

    @property
    def workplace(self) -> Workplace:
        """Who does it."""
        return self.attempt.workplace

    @property
    def teller(self) -> Teller:
        """Who is told how it goes."""
        return self.attempt.teller

    def first_stage(self) -> Stage:
        """Say what the stage is that reads the input."""
        return Stage(self.attempt.input_reader, self.run.job.steps, self.run.output_builder.format)

    @property
    def stage_workplace(self) -> Workplace:
        """Tell who does the tasks of the stage."""
        return self.workplace.at_home() if self.stage.is_at_home else self.workplace

    @property
    def stages_done(self) -> Sequence[StageDone]:
        """Tell what the stages came to, where there are several."""
        return ()

    @property
    def has_gaps(self) -> bool:
        """Tell whether it is known where in the output groups are missing that failed."""
        return False

    def outcomes(self) -> list[Outcome]:
        """List what the output, and the rejects, are made of."""
        return self.loop.progress.outcomes

    def check_settled(self) -> None:
        """Raise ``EngineError`` where a row of a stage has no outcome."""
        check_every_row_is_settled(self.stage.feed.fed, done=self.loop.progress.rows_done)

    def work_through(self, kept: KeptOutcomes) -> None:
        """Have all tasks done, but for those that were kept."""
        while True:
            if self.stage.is_last:
                self.run.output_builder.begin()
            try:
                misfit = self._work(kept)
            finally:
                self.run.output_builder.pause()
            if misfit is None:
                return
            self._widen(misfit)
            self.loop, kept = self._new_loop(self.loop.progress.last_number), KeptOutcomes()
            self.first = self.loop

    def _work(self, kept: KeptOutcomes) -> Outcome | None:
        """Have the tasks of the stage done, or return the outcome of which a type turned out too narrow."""
        self.stage_workplace.brief(pickle.dumps(self._briefing()))
        return self.loop.work(kept)

    def _new_loop(self, last_number: int) -> Loop:
        return Loop(
            self.run,
            workplace=self.stage_workplace,
            stage=self.stage,
            teller=self.teller,
            files=self.attempt.files,
            holding=self.attempt.holding,
            last_number=last_number,
        )

    def _widen(self, misfit: Outcome) -> None:
        """Settle the types by every value, so that this is needed once; forget what was done under narrower ones."""
        names = ", ".join(repr(name) for name in misfit.misfits)
        self.teller.say(
            f"looking at every value of {names}", note=f"{names} holds values that the sample did not; starting over"
        )
        self.attempt.input_reader.widen(misfit, names=names)
        self.run.work.clear_parts()
        self.run.output_builder.locations.clear()
        self.number += 1
        begins = try_started(self.number, workers=self.teller.workers, access=self.workplace.access)
        self.teller.record.write(begins, at=self.run.began_at)

    def _briefing(self) -> Briefing:
        """Say what workers must know for the tasks of this try."""
        inputs, options, loading = self.run.inputs, self.run.job.options, self.attempt.loading
        folder = self.run.work.parts / f"{self.number}{self.stage.folder_suffix}"
        return Briefing(
            sources=inputs.sources,
            dialect=inputs.worker_dialect,
            reading=options.reading,
            steps=self.stage.steps or self.stage.begins,
            exchange=self.stage.exchange,
            format=self.stage.format,
            folder=str(folder),
            staging=self.run.work.staging,
            plain_bytes=self._plain_bytes(),
            delimiter=self.run.output_builder.delimiter,
            columns=inputs.columns if self.stage.columns is None else self.stage.columns,
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

    def _plain_bytes(self) -> int:
        if self.run.job.options.calls_per_worker:
            return 0  # as nobody would know what all workers before had written
        return self.run.output_builder.plain_bytes(workers=self.teller.workers, is_far=self.workplace.is_far)

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
