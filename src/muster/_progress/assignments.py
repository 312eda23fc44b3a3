"""Which tasks are with an engine, and on which machine. Pure."""

from collections.abc import Set as AbstractSet

from muster._model import Task

from .actions import Assignment


class Assignments:
    """Tasks by their numbers, from when they are handed out to when what became of them is known."""

    def __init__(self, last: int = 0) -> None:
        """Begin with none; numbers go on behind the ``last`` one that was given out before."""
        self._running: dict[int, Assignment] = {}
        self._twins: dict[int, int] = {}
        """Where two machines are on the same rows: the number of either task, and that of the other."""
        self._doubled: set[int] = set()
        """Tasks that were given to a second machine: there is no third try beside them."""
        self._worker_on: dict[int, str] = {}
        """Who is on those that have begun."""
        self._have_worked: set[str] = set()
        """Workers that have answered a task: they do not load any more."""
        self.last = last

    def __bool__(self) -> bool:
        """Tell whether any task is with an engine."""
        return bool(self._running)

    def __contains__(self, number: int) -> bool:
        """Tell whether a task is."""
        return number in self._running

    def __getitem__(self, number: int) -> Assignment:
        """Tell where a task is. Raises ``KeyError`` where it is not with an engine."""
        return self._running[number]

    @property
    def numbers(self) -> AbstractSet[int]:
        """Number them; the set follows what becomes of them."""
        return self._running.keys()

    def numbers_elsewhere(self, machines: AbstractSet[str]) -> list[int]:
        """List the numbers of those that are on none of these machines."""
        return [number for number, one in self._running.items() if one.machine not in machines]

    def next_number(self, task: Task) -> int:
        """Give out the number of a task that is handed out next; its members have those that follow."""
        number = self.last + 1
        self.last += len(task.members) or 1
        return number

    def begin(self, task: Task, machine: str, *, now: float, beside: int | None = None) -> None:
        """Know that a task is on a machine, under its number; perhaps ``beside`` another that has the same rows."""
        self._running[task.number] = Assignment(task, machine, now)
        if beside is not None:
            self._twins[task.number], self._twins[beside] = beside, task.number
            self._doubled |= {beside, task.number}

    def began(self, number: int, worker: str) -> None:
        """Know who is on a task."""
        if number in self._running:
            self._worker_on[number] = worker

    def answered(self, number: int) -> Assignment | None:
        """Forget a task that came to its end, as ``end`` does, and know that its worker does not load any more."""
        if (worker := self._worker_on.get(number)) is not None:
            self._have_worked.add(worker)
        return self.end(number)

    def left(self, worker: str) -> None:
        """Know that a worker is gone: whoever has its name next must load anew."""
        self._have_worked.discard(worker)

    def is_under_way(self, number: int) -> bool:
        """Tell whether a worker is on a task that has answered another before: not one that may load, or do others."""
        return self._worker_on.get(number) in self._have_worked

    def twin_of(self, number: int) -> int | None:
        """Tell the number of the task that has the same rows, while both are with an engine."""
        return self._twins.get(number)

    def alone(self) -> list[Assignment]:
        """List the tasks whose rows no other has or had, the oldest first."""
        return [one for number, one in self._running.items() if number not in self._doubled]

    def end(self, number: int) -> Assignment | None:
        """Forget a task and tell where it was; ``None`` where it had ended before, as its machine was late."""
        twin = self._twins.pop(number, None)
        if twin is not None:
            del self._twins[twin]
        self._doubled.discard(number)
        self._worker_on.pop(number, None)
        return self._running.pop(number, None)

    def cancel(self, machine: str) -> list[int]:
        """Mark the tasks on a machine as cancelled, and number them."""
        numbers = [number for number, one in self._running.items() if one.machine == machine and not one.is_cancelled]
        for number in numbers:
            self._running[number] = self._running[number]._replace(is_cancelled=True)
        return numbers
