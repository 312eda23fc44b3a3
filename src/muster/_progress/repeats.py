"""Limit how often rows are done again because the schema has grown since they were written."""

from typing import Final

from muster._model import Task

_LATE_ROUNDS: Final = 3
"""Each brought new columns: then the function makes up columns as it goes, and none is the last."""


class Repeats:
    """Tasks that must be done again, but not before every other row has been done once.

    So a run ends. At once, at most as many rows are repeated as the input has; the others wait until the results of
    every row have been seen, and the schema is complete. A function that then still gives new columns does so each time
    that it is called: after a few rounds the run stops. Kinds need no such limit, as there are few of them.
    """

    def __init__(self) -> None:
        """Begin with nothing to repeat."""
        self._waiting: list[Task] = []
        self._rows = 0
        self._rounds = 0
        self._columns: tuple[str, ...] | None = None

    def __bool__(self) -> bool:
        """Tell whether tasks wait."""
        return bool(self._waiting)

    @property
    def count(self) -> int:
        """Count the tasks that wait."""
        return len(self._waiting)

    def has_room_for(self, task: Task, *, rows: int) -> bool:
        """Tell whether a task may be repeated at once; if not, it waits. ``rows`` is how many the input has."""
        self._rows += task.hi - task.lo
        if self._rows <= rows:
            return True
        self._waiting.append(task)
        return False

    def let_go(self) -> list[Task]:
        """Return the tasks that waited."""
        tasks, self._waiting = self._waiting, []
        return tasks

    def is_in_vain(self, columns: tuple[str, ...] | None) -> bool:
        """Begin another round; ``True`` if each of the last few has brought new columns."""
        self._rounds = self._rounds + 1 if columns != self._columns else 1
        self._columns = columns
        return self._rounds > _LATE_ROUNDS
