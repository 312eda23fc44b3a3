"""What is known of a run before anybody is asked: its job, its inputs as they are seen, and where its output goes."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from muster._formats._sources import find_sources
from muster._formats.inputs import Inputs, as_named
from muster._job import Job
from muster._model import Source
from muster._output.build import Finish
from muster._output.folder import Work

from . import unchanged
from .apart import check_apart, check_no_twins
from .assembly import workers_for
from .past import Past
from .resume import sources_of


@dataclass(frozen=True, slots=True)
class Run:
    """A run that has begun. Its ``inputs`` and what ``finish`` makes of them come to know more as it goes on."""

    job: Job
    work: Work
    sources: tuple[Source, ...]
    seen: unchanged.Seen
    inputs: Inputs
    finish: Finish
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
    def begin(cls, job: Job, *, work: Work, earlier: Past | None, warnings: Sequence[str]) -> Self:
        """Look at what there is to do. Raises ``UsageError`` and others where that cannot be done."""
        began, began_at = time.monotonic(), round(time.time(), 3)
        notes: list[str] = []
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
        finish = Finish(work, job.options, inputs)
        folder = Path.cwd()
        return cls(job, work, sources, seen, inputs, finish, workers, earlier, tuple(warnings), folder, began, began_at)

    @property
    def seconds(self) -> float:
        """Tell how long it has taken so far."""
        return time.monotonic() - self.began

    def changed_input(self) -> str:
        """Name an input that somebody has written since the run began, if any."""
        return unchanged.changed_since(self.seen, self.sources, only=self.job.only)
