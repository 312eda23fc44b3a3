"""Machines that load still when the others have nearly done it all: they get no task, or theirs is taken back. Pure."""

from typing import Final

from muster._model import Task

from .assignments import Assignments
from .openings import Openings
from .queue import Queue
from .sizes import Sizes
from .suspects import Key, Suspects, name_of

_LOOK_EVERY: Final = 0.1
"""Seconds: there may be thousands of tasks to look at."""

_PATIENCE: Final = 2.0
"""How many times as long as it takes elsewhere a machine may take for its first task, before that is taken back; and
how many times as long as a first task takes others may take for what is left, before a machine that loads gets some."""

_LEAST_PATIENCE: Final = 1.0
"""Seconds; less is no reason to end a worker, or to leave one without work."""


class Latecomers:
    """Machines that have done no task yet: a large model may load for minutes, when the others are done in seconds."""

    def __init__(self, assignments: Assignments, *, queue: Queue, sizes: Sizes, suspects: Suspects) -> None:
        """Begin without any."""
        self._assignments = assignments
        self._queue = queue
        self._sizes = sizes
        self._suspects = suspects
        self._taken_back: set[Key] = set()
        """Each is taken back once: if it takes as long elsewhere, its rows are the reason."""
        self._next_look = 0.0
        self._spared_since: float | None = None

    def spared(self, openings: Openings) -> frozenset[str]:
        """Name those that would still be on their first task when the others have done all that waits.

        Not for much longer than that task would take: who is at work may hang.
        """
        if not self._is_nearly_over(openings):
            self._spared_since = None
            return frozenset()
        paces, now = self._sizes.paces, openings.now
        since = self._spared_since = now if self._spared_since is None else self._spared_since
        if now - since > _PATIENCE * paces.first_seconds:
            return frozenset()
        return self._without_pace()

    def _is_nearly_over(self, openings: Openings) -> bool:
        paces, left = self._sizes.paces, self._queue.weight
        if paces.first_seconds < _LEAST_PATIENCE:
            return False
        if len(paces) >= len(self._suspects.machines) or left > self._sizes.workers * paces.mean * paces.first_seconds:
            return False  # before anything is counted, as workers may be thousands
        tasks = sum(1 for _, one in self._assignments.items() if paces.of(one.machine))
        at_work = (tasks + openings.count_on_one(paces.has)) / 2  # as each has one task, or one more ahead
        return at_work > 0 and left <= at_work * paces.mean * paces.first_seconds

    def late_for(self, task: Task) -> frozenset[str]:
        """Name those that a task must not be on: all, where it was taken back from one, and others are there."""
        machines = self._suspects.machines
        late = self._without_pace() if name_of(task) in self._taken_back else frozenset()
        return late if machines - late else frozenset()

    def _without_pace(self) -> frozenset[str]:
        has_pace = self._sizes.paces.has
        return frozenset(machine for machine in self._suspects.machines if not has_pace(machine))

    def take_back(self, openings: Openings) -> list[int]:
        """Cancel as many tasks of theirs as other machines have idle workers, and number them."""
        paces, now = self._sizes.paces, openings.now
        if now < self._next_look or not paces.mean:
            return []
        self._next_look = now + _LOOK_EVERY
        idle = openings.count_idle(paces.has)
        overdue = self._overdue(now)[:idle] if idle else []
        for number in overdue:
            self._taken_back.add(name_of(self._assignments.cancel_one(number).task))
        return overdue

    def _overdue(self, now: float) -> list[int]:
        paces = self._sizes.paces
        return [
            number
            for number, one in self._assignments.items()
            if not (paces.of(one.machine) or one.is_cancelled or name_of(one.task) in self._taken_back)
            and now - one.since > max(_PATIENCE * self._queue.weight_of(one.task) / paces.mean, _LEAST_PATIENCE)
        ]
