"""Which worker has a lane: from the lane's first request until that worker is gone, and what it held with it."""

from collections import Counter


class Lanes:
    """Lanes and their workers, by name."""

    def __init__(self) -> None:
        """Begin with lanes that nobody has."""
        self._worker_of: dict[int, str] = {}
        self._count: Counter[str] = Counter()

    def worker_of(self, lane: int) -> str | None:
        """Name the worker that has a lane."""
        return self._worker_of.get(lane)

    def count(self, worker: str) -> int:
        """Count the lanes that a worker has."""
        return self._count[worker]

    def give(self, lane: int, worker: str) -> None:
        """Give a lane that nobody has to a worker."""
        self._worker_of[lane] = worker
        self._count[worker] += 1

    def take_from(self, worker: str) -> tuple[int, ...]:
        """Take all lanes from a worker that is gone, and name them."""
        if not self._count.pop(worker, 0):
            return ()
        lanes = tuple(sorted(lane for lane, name in self._worker_of.items() if name == worker))
        for lane in lanes:
            del self._worker_of[lane]
        return lanes
