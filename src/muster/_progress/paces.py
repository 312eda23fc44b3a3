"""How much input a worker does in a second, by machine. Pure."""

from typing import Final

from muster._model import Seconds

_LATEST: Final = 0.1
"""The weight of the latest task, where what all have told is put together."""


class Paces:
    """What tasks have told. Machines differ: what is a second's work on one is ten on another."""

    def __init__(self) -> None:
        """Know nothing."""
        self._of: dict[str, float] = {}
        self._settled: set[str] = set()
        """Machines where a worker has done a second task: the first one says how long it loads, too."""
        self._sum = 0.0
        self.mean = 0.0
        """That of all machines, 0 where nothing is known; kept, as it is asked often for every task."""
        self._first_seconds = 0.0
        self.waiting = 0.0
        """How many seconds a worker waits between two tasks, of late."""

    def __len__(self) -> int:
        """Count the machines that have done a task."""
        return len(self._of)

    def learn(self, machine: str, weight: float, seconds: Seconds) -> None:
        """Take what a task did in a second, beside what is known: so that one task that is odd does not count alone."""
        before, now = self._of.get(machine, 0.0), weight / seconds.total
        is_first = not seconds.waiting
        if not is_first:
            self.waiting += (seconds.waiting - self.waiting) * _LATEST
        if not before:
            self._first_seconds += seconds.total
        elif is_first == (machine not in self._settled):
            now = (before + now) / 2
        elif is_first:
            return
        if not is_first:
            self._settled.add(machine)
        self._of[machine] = now
        self._sum += now - before
        self.mean = self._sum / len(self._of)

    def has(self, machine: str) -> bool:
        """Tell whether a task has told of a machine."""
        return machine in self._of

    def of(self, machine: str) -> float:
        """Tell the pace of a worker there; 0 where no task has told."""
        return self._of.get(machine, 0.0)

    @property
    def first_seconds(self) -> float:
        """Tell how long a machine took for its first task, loading included: the mean of all; 0 where none is done."""
        return self._first_seconds / len(self._of) if self._of else 0.0
