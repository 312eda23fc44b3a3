"""How large the next task of a machine is. Pure."""

import math
from typing import Final

from .paces import Paces

TASK_SECONDS: Final = 1.0
"""How long a task should take: long enough that handing it over costs nothing, short enough to see and to lose."""

TASK_SECONDS_A_WORKER: Final = 0.02
"""How long it should take at least for each worker that there is, as one process hands them all out."""

LONGEST_TASK_SECONDS: Final = 10.0

SHORTEST_CUT_SECONDS: Final = 0.1
"""No part is cut to take less: beside that, what it costs to hand over, and to read the part again, would count."""

_SHORTEST_SHARE: Final = 0.02
"""Nor to take less than this share of the time since the first task: nobody sees who idles for so long at the end."""

LARGEST_TASK: Final = 8 << 20
FIRST_TASK: Final = 32 << 10
"""How large one is while nobody knows how long the function takes."""

_SPARE_ROUNDS: Final = 2
"""How many tasks each worker should find at the least: what is left is cut smaller then, so that all end together."""


class Sizes:
    """Sizes tasks in bytes (rows for Parquet), by how fast machines are and by how much is left for each worker."""

    def __init__(self, *, workers: int, unit_bytes: int) -> None:
        """Begin with no task done; what these mean, ``Progress`` says."""
        self.paces = Paces()
        self._first_size = FIRST_TASK / unit_bytes
        self._largest_size = LARGEST_TASK / unit_bytes
        self._began: float | None = None
        self._shortest_cut = SHORTEST_CUT_SECONDS
        self.workers = workers

    @property
    def workers(self) -> int:
        """Tell how many workers there are, or will be."""
        return self._workers

    @workers.setter
    def workers(self, count: int) -> None:
        self._workers = count
        self._spare_tasks = count * _SPARE_ROUNDS
        self._task_seconds = min(max(TASK_SECONDS, count * TASK_SECONDS_A_WORKER), LONGEST_TASK_SECONDS)

    def see(self, now: float) -> None:
        """Know what time it is, in seconds: the longer a run takes, the less it matters when its last worker ends."""
        if self._began is None:
            self._began = now
        self._shortest_cut = max(SHORTEST_CUT_SECONDS, _SHORTEST_SHARE * (now - self._began))

    def next(self, machine: str, *, left: int) -> float:
        """Size a machine's next task: by what a worker of it does in the time that a task should take.

        It is less towards the end, so that none idles, and for a machine that has done nothing yet. It is more where
        workers wait for tasks as long as they work: then whoever hands tasks over has too many.
        """
        mean, share = self.paces.mean, left / self._spare_tasks
        if not mean:
            return min(self._first_size, share / _SPARE_ROUNDS)
        if not (pace := self.paces.of(machine)):
            return min(self._first_size, mean * self._task_seconds, share / _SPARE_ROUNDS)
        most = min(pace * self._task_seconds, self._largest_size)
        fair = share * pace / mean
        return min(most, max(fair, min(pace * self.paces.waiting, fair * _SPARE_ROUNDS)))

    def least_cut(self, machine: str, *, parts: int) -> float:
        """Tell how much must be left of a part that is cut for a machine, where so many parts wait.

        While nobody knows how long the function takes, parts are cut only if there are too few for all workers.
        """
        if not self.paces.mean:
            return 0.0 if parts < self._workers else math.inf
        return (self.paces.of(machine) or self.paces.mean) * max(self._shortest_cut, self.paces.waiting)

    def has_plenty(self, *, left: int, least: float) -> bool:
        """Tell whether so much is left that some can be handed out ahead of time, where no task is below ``least``.

        Who waits for each task waits long on a busy cluster. But what is handed out ahead nobody else can take over.
        """
        return left > self._spare_tasks * max(least, self.paces.mean * self._shortest_cut)
