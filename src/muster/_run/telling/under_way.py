"""Which rows are with which worker, and since when: so that a call that hangs is noticed while it does."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

from muster._model import Task
from muster._words import duration, plural

_TIMES_THE_LONGEST: Final = 10
"""A row may take several times as long as any before; ten times is remarkable."""

_LEAST: Final = 5.0
"""Seconds that are never remarkable: with few workers, tasks are sized to take one second."""

_LEAST_A_WORKER: Final = 0.1
"""Seconds added for each worker, as tasks are longer where workers are many."""

_BEFORE_ANY_ENDED: Final = 30.0
"""Seconds: while nothing is known of the function, it may load a model in its first call."""

_TRIES_REMEMBERED: Final = 1000
"""Of lost tasks, to tell the number of a try: memory stays flat where thousands are lost."""


@dataclass(frozen=True, slots=True)
class StuckRows:
    """Rows that a worker has been at for strangely long; ``first`` and ``last`` count from 0 in a file, or a stage."""

    worker: str
    file: str
    first: int
    last: int
    seconds: float
    tries: int
    longest: float
    """Seconds that the longest finished call took; 0 if none has finished."""
    limit: float | None

    def as_field(self) -> list[Any]:
        """Write as a field of an event."""
        return [
            self.worker, self.file, self.first, self.last, round(self.seconds, 3), self.tries, round(self.longest, 3),
            self.limit,
        ]  # fmt: skip

    @classmethod
    def of_field(cls, told: Sequence[Any], *, later: float = 0.0) -> Self:
        """Read it from an event; ``later`` seconds have passed since."""
        worker, file, first, last, seconds, tries, longest, limit = told
        return cls(worker, file, first, last, seconds + later, tries, longest, limit)

    @property
    def place(self) -> tuple[str, str, int, int]:
        """Tell which rows they are, and with whom."""
        return self.worker, self.file, self.first, self.last

    @property
    def rows(self) -> str:
        """Name the rows."""
        of = f" of {self.file}" if self.file else ""
        if self.first == self.last:
            return f"row {self.first:,}{of}"
        return f"rows {self.first:,} to {self.last:,}{of}"

    def told(self) -> str:
        """Say who is at which rows, and for how long: where a bar has room for it."""
        more = [f"try {self.tries}"] if self.tries > 1 else []
        more += [f"limit {duration(self.limit)}"] if self.limit else []
        in_brackets = f" ({', '.join(more)})" if more else ""
        return f"worker {self.worker} has been at {self.rows} for {duration(self.seconds)}{in_brackets}"

    def advice(self) -> str:
        """Say that in a sentence, with what to do about it; with a time limit, there is nothing to do."""
        compared = f"; the longest before took {duration(self.longest)}" if self.longest else "; no call has ended yet"
        if self.limit:
            return f"{self.told()}{compared}."
        return f"{self.told()}{compared}. Nothing ends it: with --timeout 60s a call that takes longer is given up."


class UnderWay:
    """The tasks that are with workers. Times are in seconds of any clock."""

    def __init__(self, files: Sequence[str] = (), *, limit: float | None = None) -> None:
        """Begin without tasks; ``limit`` is how long one call may take."""
        self._files = files
        self.stage = ""
        """Which stage reads what steps have made, and no file; empty where the rows are those of files."""
        self._limit = limit
        self._tasks: dict[int, Task] = {}
        self._begun: dict[int, tuple[str, float]] = {}  # the oldest is the first
        self._lost: deque[Task] = deque(maxlen=_TRIES_REMEMBERED)
        self._longest = 0.0
        self._last_end: float | None = None
        self.first_began: float | None = None
        """When the first of all tasks began."""

    def submitted(self, task: Task) -> None:
        """Know a task by its number."""
        self._tasks[task.number] = task

    def began(self, number: int, worker: str, now: float) -> None:
        """Note that a worker has begun a task; questions are ignored."""
        if number in self._tasks:
            self._begun[number] = worker, now
            self.first_began = now if self.first_began is None else self.first_began

    def done(self, task: Task, seconds: float, now: float) -> None:
        """Forget a task that came to an end after so many seconds."""
        self._forget(task.number)
        self._longest = max(self._longest, seconds)
        self._last_end = now

    def recalled(self, number: int, now: float) -> tuple[str, float]:
        """Forget a task that nobody waits for any more; return its worker, if any has begun, and the seconds so far."""
        worker, began = self._begun.get(number, ("", now))
        self._forget(number)
        return worker, now - began

    def lost(self, number: int, now: float) -> tuple[Task | None, str, float]:
        """Forget a task whose worker is gone; return the task, the worker and the seconds that it took."""
        task = self._tasks.get(number)
        worker, seconds = self.recalled(number, now)
        if task is not None and worker:
            self._lost.append(task)
        return task, worker, seconds

    def place_of(self, task: Task) -> dict[str, Any]:
        """Tell which rows a task is about, as fields of an event."""
        file = self._files[task.file] if task.file < len(self._files) else self.stage
        if others := len(task.members) - 1 if task.members else 0:
            file += f" and {plural(others, 'file')} more"
        return {"file": file, "row": task.lo, "rows": task.hi - task.lo}

    def _forget(self, number: int) -> None:
        """Forget a task."""
        self._tasks.pop(number, None)
        self._begun.pop(number, None)

    def clear(self) -> None:
        """Forget all tasks: the run starts over."""
        self._tasks.clear()
        self._begun.clear()
        self._last_end = None

    def at_work(self, now: float, *, longer: float = 0.0) -> dict[str, float]:
        """Map workers to the seconds that they have been at their tasks, if these are at least ``longer``."""
        return {worker: now - began for worker, began in self._begun.values() if now - began >= longer}

    def held(self, now: float, *, workers: int) -> StuckRows | None:
        """Name the rows that a worker has been at for longest, if that is remarkable or they are tried repeatedly.

        Remarkable is ten times the longest finished call, and a few seconds at least.
        """
        if not self._begun:
            return None
        number, (worker, began) = next(iter(self._begun.items()))
        least = max(_LEAST, workers * _LEAST_A_WORKER) if self._longest else _BEFORE_ANY_ENDED
        task = self._tasks[number]
        tries = self._tries(task)
        since = min(began, self._last_end) if self._last_end is not None and tries > 1 else began
        if now - since < max(least, self._longest * _TIMES_THE_LONGEST):
            return None
        place = self.place_of(task)
        last = task.lo + max(place["rows"] - 1, 0)
        return StuckRows(
            worker=worker,
            file=place["file"],
            first=task.lo,
            last=last,
            seconds=now - began,
            tries=tries,
            longest=self._longest,
            limit=self._limit,
        )

    def _tries(self, task: Task) -> int:
        """Count the tries at these rows, this one with them: also those of larger tasks."""
        tried = (one for one in self._lost if one.file == task.file and one.lo <= task.lo and task.hi <= one.hi)
        return 1 + sum(1 for _ in tried)
