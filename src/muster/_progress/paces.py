"""How much input a worker does in a second, by machine. Pure."""

from collections.abc import Set as AbstractSet


class Paces:
    """What tasks have told. Machines differ: what is a second's work on one is ten on another."""

    def __init__(self) -> None:
        """Know nothing."""
        self._of: dict[str, float] = {}
        self._sum = 0.0
        self.mean = 0.0
        """That of all machines, 0 where nothing is known; kept, as it is asked often for every task."""

    def learn(self, machine: str, pace: float) -> None:
        """Take what a task did in a second, beside what is known: so that one task that is odd does not count alone."""
        before = self._of.get(machine, 0.0)
        now = (before + pace) / 2 if before else pace
        self._of[machine] = now
        self._sum += now - before
        self.mean = self._sum / len(self._of)

    @property
    def known(self) -> AbstractSet[str]:
        """Name the machines of which a task has told."""
        return self._of.keys()

    def of(self, machine: str) -> float:
        """Tell the pace of a worker there; 0 where no task has told."""
        return self._of.get(machine, 0.0)
