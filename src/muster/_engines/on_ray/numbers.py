"""Number the workers of all machines, so that no two have the same number at a time."""


class Numbers:
    """Which stretch of the numbers each machine has; it keeps it for as long as it is there."""

    def __init__(self) -> None:
        """Begin with all numbers free."""
        self._taken: dict[str, range] = {}

    def first_of(self, machine: str, workers: int) -> int:
        """Give a machine so many numbers in a row, the lowest that are free; tell the first."""
        if len(self._taken.get(machine, ())) != workers:
            self.give_back(machine)
            self._taken[machine] = self._free(workers)
        return self._taken[machine].start

    def give_back(self, machine: str) -> None:
        """Free the numbers of a machine that is gone."""
        self._taken.pop(machine, None)

    def _free(self, workers: int) -> range:
        first = 0
        for taken in sorted(self._taken.values(), key=lambda one: one.start):
            if taken.start - first >= workers:
                break
            first = taken.stop
        return range(first, first + workers)
