"""What does the tasks of a job of several stages, as where rows come by their keys; other jobs do not load it."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Protocol

from muster._model import NO_FILE, Briefing, Exchange, Outcome, StageKind, Task

from .aggregating import Aggregating
from .calling import MemoryBlame
from .grouping import GroupedTask
from .keeping import Keeping
from .lane_states import StateCache
from .ordering import Ordering
from .splitting import Splitting
from .steps_task import StepsTask


class StageTask(Protocol):
    """One task, whatever its stage does with rows."""

    def outcomes(self) -> Iterator[Outcome]:
        """Do it."""


class Stages:
    """The stages that a worker has tasks of, and the states that it keeps from one to the next."""

    def __init__(self, memory: MemoryBlame) -> None:
        """Begin without states."""
        self._memory = memory
        self._states = StateCache()

    def task(self, briefing: Briefing, task: Task, exchange: Exchange) -> StageTask:
        """Make what does a task of the stage that the briefing is of."""
        if task.file == NO_FILE and task.local_copy is not None:
            exchange = exchange._replace(excerpt=task.local_copy.path)
            briefing = replace(briefing, exchange=exchange)
        if exchange.does is StageKind.GROUPING and exchange.grouping.measures:
            return Aggregating(briefing, task, exchange, self._memory)
        if exchange.does is StageKind.GROUPING and exchange.has_state:
            return Keeping(briefing, task, exchange, memory=self._memory, cache=self._states)
        if exchange.does is StageKind.GROUPING:
            return GroupedTask(briefing, task, exchange, self._memory)
        if exchange.does is StageKind.SPLITTING and (exchange.begins_own or not briefing.steps):
            return Splitting(briefing, task, exchange, self._memory)
        if exchange.does is StageKind.ORDERING and not (briefing.steps or exchange.goes_on):
            return Ordering(briefing, task, exchange)
        return StepsTask(briefing, task, memory=self._memory)

    def forget_states(self) -> None:
        """Have room for other things: the next briefing is of a job without stages."""
        self._states.clear()
