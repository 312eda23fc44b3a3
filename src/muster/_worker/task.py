"""What a worker does: answer questions about the input, and run tasks. The one worker body, which engines carry."""

import pickle
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd  # noqa: F401 (imported once, before workers are forked)
import pyarrow as pa

from muster._engines.cores.warned import taken
from muster._model import Briefing, DataFile, Outcomes, StageKind, Task
from muster._progress.cuts import calls_of
from muster._user_code import facts  # noqa: F401 (likewise)
from muster._user_code.listening import Ear
from muster._user_code.loading import Loaded
from muster._user_code.questions import Build, BuildBriefed

from .calling import MemoryBlame
from .steps_task import StepsTask
from .vitals import Vitals

if TYPE_CHECKING:
    from .stages import Stages, StageTask


def use_one_core() -> None:
    """Keep Arrow from starting threads: this process is one of many, each on a core."""
    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)


def _read_by_muster(briefing: Briefing) -> Iterator[str]:
    """Name the files that are read for the steps, and not by them: the input, and the states that a stream has left."""
    yield from (source.path for source in briefing.sources)
    if briefing.exchange is not None and briefing.exchange.stored is not None:
        yield briefing.exchange.stored.path


class TaskBody:
    """Answer one request after another under the current briefing."""

    def __init__(self, *, is_replaceable: bool = True) -> None:
        """Wait for a briefing; questions are answered without one.

        Where memory runs out in a process that is replaceable, another may do better: then a task raises
        ``MemoryError`` unless nothing has piled up yet.
        """
        self._memory = MemoryBlame(is_replaceable)
        self._briefing: Briefing | None = None
        self._inputs: frozenset[str] = frozenset()
        self._folder = ""
        self._written = 0
        """How many bytes of results there are since the briefing."""
        self._vitals = Vitals()
        self._stages: Stages | None = None
        """Those of a job that has several; other jobs do not load what does their tasks."""
        self._loaded = Loaded()
        self.ear = Ear()

    def brief(self, briefing: bytes) -> None:
        """Take a pickled ``Briefing`` for the tasks that follow."""
        self.ear.forget(self._inputs)
        self._briefing = pickle.loads(briefing)  # noqa: S301 (it comes from the muster process that started this worker)
        self._inputs = frozenset(_read_by_muster(self._briefing))
        self._folder = str(Path(self._briefing.folder).parent.parent)
        self._written = 0
        if self._briefing.exchange is None and self._stages is not None:
            self._stages.forget_states()
        self._loaded.have(self._briefing.state, self._briefing.code)

    def is_spent(self, request: Any) -> bool:  # noqa: ANN401 (a task, any question, or none)
        """Tell whether a fresh process should take the place of this one: its function has been called enough."""
        most, done = self._briefing.calls_per_worker if self._briefing else None, self._memory.calls
        if most is None or not done:
            return False
        to_come = calls_of(request, self._briefing.batch_rows) if isinstance(request, Task) and self._briefing else 0
        return done >= most or done + to_come > most

    def end(self) -> None:
        """Release the user's functions."""
        self._loaded.end()

    def __call__(self, request: Any) -> object:  # noqa: ANN401 (a task, or any question with an answer)
        """Run a task, or answer a question."""
        with self._loaded.used(), self.ear.listening():
            answer = self._answered(request)
        if not isinstance(answer, Outcomes):
            return answer
        outcomes = self._with_files(answer)
        if warned := taken():
            outcomes = outcomes.with_first(warned=warned)
        return outcomes if isinstance(request, Task) and request.members else outcomes.each[0]

    def _with_files(self, outcomes: Outcomes) -> Outcomes:
        """Add to the first outcome which files the user's code has opened; most tasks open none."""
        read, written = self.files()
        return outcomes.with_first(read_files=read, written_files=written) if read or written else outcomes

    def files(self) -> tuple[tuple[DataFile, ...], tuple[str, ...]]:
        """Tell once which files the user's code has opened for reading, and which for writing."""
        if self._briefing is None:
            return (), ()
        return self.ear.tell(besides=self._inputs, folder=self._folder, modules=self._loaded.modules)

    def _answered(self, request: Any) -> object:  # noqa: ANN401 (likewise)
        if isinstance(request, Task):
            if self._briefing is None:
                raise RuntimeError("a worker got a task before a briefing")
            if (
                (exchange := self._briefing.exchange) is not None
                and exchange.does is StageKind.ORDERING
                and not request.rows
            ):
                from .blank import blank

                return Outcomes((blank(self._briefing, request, exchange),))
            stage = self._stage(self._briefing, request)
            folder = Path(self._briefing.folder).parent
            outcomes = self._vitals.measured(lambda: Outcomes(tuple(stage.outcomes())), folder=folder)
            if request.local_copy is not None:
                self.ear.forget([request.local_copy.path])
            self._written += sum(outcome.output.bytes for outcome in outcomes.each if outcome.output)
            if 0 < self._briefing.plain_bytes <= self._written:
                self._briefing = replace(self._briefing, plain_bytes=0)
            return outcomes
        if isinstance(request, BuildBriefed) and (own := self._briefing) is not None:
            request = Build(own.steps, own.timeout, own.state)
        return request.answer()

    def _stage(self, briefing: Briefing, task: Task) -> "StageTask":
        """Make what does a task of the stage that the briefing is of."""
        if briefing.exchange is None:
            return StepsTask(briefing, task, memory=self._memory)
        if self._stages is None:
            from .stages import Stages

            self._stages = Stages(self._memory)
        return self._stages.task(briefing, task, briefing.exchange)
