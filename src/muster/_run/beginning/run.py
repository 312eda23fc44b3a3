"""A run: its job, its inputs as they were when it began, and where its output goes."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from muster._formats.inputs import Inputs, as_named
from muster._formats.sources import find_sources
from muster._job import Job
from muster._model import Source
from muster._output.build import OutputBuilder
from muster._output.folder import WorkFolder
from muster._process.cores import count_cores
from muster._run.history import unchanged
from muster._run.history.past import Past
from muster._run.history.resume import sources_of
from muster._run.staffing.assembly import workers_for

from .overlaps import check_apart, check_no_twins
from .sources_now import sources_now


@dataclass(frozen=True, slots=True)
class Run:
    """A run that has begun. Its ``inputs`` and its ``output_builder`` come to know more as it goes on."""

    job: Job
    work: WorkFolder
    sources: tuple[Source, ...]
    seen: unchanged.InputStates
    inputs: Inputs
    output_builder: OutputBuilder
    workers: int
    """How many this computer has for it."""
    earlier: Past | None
    """The run whose bad rows it does, if it is a retry."""
    warnings: tuple[str, ...]
    folder: Path
    """Where paths count from."""
    began: float
    """By the clock that never goes back."""
    began_at: float
    """By the time of day."""

    @classmethod
    def begin(cls, job: Job, *, work: WorkFolder, earlier: Past | None, warnings: Sequence[str]) -> Self:
        """Look at what there is to do. Raises ``UsageError`` and others where that cannot be done."""
        began, began_at = time.monotonic(), round(time.time(), 3)
        notes: list[str] = []
        if job.follow is not None:
            return cls._that_follows(job, work=work, warnings=warnings, began=(began, began_at))
        forced, default = job.options.input_format, job.options.format
        sources = find_sources(job.inputs, forced=forced, default=default, tell=notes.append, only=job.only)
        if earlier is not None:
            sources = sources_of(earlier, sources)
        job = replace(job, options=as_named(job.options, sources))
        seen = unchanged.seen(sources)
        workers = workers_for(sources, chosen=job.options.workers)
        check_apart([work], sources=sources, given=job.inputs)
        check_no_twins(work, sources=sources)
        inputs = Inputs(sources, job.options, work.spool, notes=notes)
        output_builder = OutputBuilder(work, job.options, inputs)
        folder = Path.cwd()
        return cls(
            job, work, sources, seen, inputs, output_builder, workers, earlier, tuple(warnings), folder, began, began_at
        )

    @classmethod
    def _that_follows(cls, job: Job, *, work: WorkFolder, warnings: Sequence[str], began: tuple[float, float]) -> Self:
        """Look at what is there already of files that are followed. Raises ``UsageError`` where that cannot be done."""
        from .follow_checks import check_can_follow, with_delimiter

        sources = sources_now(job)
        job = with_delimiter(job, sources)
        check_can_follow(job, work)
        check_apart([work], sources=sources, given=job.files, recurs=True)
        inputs = Inputs((), job.options, work.spool)
        workers = count_cores() if job.options.workers is None else job.options.workers
        builder = OutputBuilder(work, job.options, inputs)
        seen = unchanged.InputStates((), is_settled=True)
        return cls(job, work, (), seen, inputs, builder, workers, None, tuple(warnings), Path.cwd(), *began)

    @property
    def seconds(self) -> float:
        """Tell how long it has taken so far."""
        return time.monotonic() - self.began

    def changed_input(self) -> str:
        """Name an input that somebody has written since the run began, if any."""
        return unchanged.changed_since(self.seen, self.sources, only=self.job.only)
