"""How rows are done again that were written under a schema which has grown since, so that this comes to an end."""

from typing import Final

from muster._model import Task

_LATE_ROUNDS: Final = 3


class Repeats:
    """Tasks that wait until every other row has been done once.

    Why a run ends: at once only as many rows are done again as the input has. Those beyond wait; when their turn comes,
    what the batches of every row look like is known, so that they are written for good. A function that gives new
    columns all the same gives others each time that it is called, and is stopped. Kinds need no such end: the forms
    of a value are few, and none comes twice.
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

    def has_room_for(self, task: Task, *, rows: int) -> bool:
        """Tell whether a task may be repeated at once, where the input has so many rows; if not, it waits."""
        self._rows += task.hi - task.lo
        if self._rows <= rows:
            return True
        self._waiting.append(task)
        return False

    def let_go(self) -> list[Task]:
        """Give what has waited."""
        tasks, self._waiting = self._waiting, []
        return tasks

    def is_in_vain(self, columns: tuple[str, ...] | None) -> bool:
        """Tell, before another round begins, whether each of those before it brought new columns."""
        self._rounds = self._rounds + 1 if columns != self._columns else 1
        self._columns = columns
        return self._rounds > _LATE_ROUNDS
