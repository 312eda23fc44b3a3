"""Time that nobody waits for: a clock that stands still, and who is done next by it."""

from heapq import heapify, heappop, heappush
from random import Random

from .worker import FakeWorker


class FakeClock:
    """A clock that stands still until somebody waits by it."""

    seconds: float
    """What it shows."""

    def __init__(self) -> None:
        """Begin at 0 seconds."""
        self.seconds = 0.0

    def reach(self, seconds: float) -> None:
        """Move on to a time, unless it has passed."""
        self.seconds = max(self.seconds, seconds)


class Agenda:
    """The workers that are on a request: the next is whose time comes first, or whom ``chance`` picks."""

    def __init__(self, clock: FakeClock, chance: Random | None) -> None:
        """Begin with nobody at work."""
        self._clock = clock
        self._chance = chance
        self._begun = 0
        self._entries: list[tuple[float, int, FakeWorker]] = []

    def __bool__(self) -> bool:
        """Tell whether anybody is at work."""
        return bool(self._entries)

    @property
    def workers(self) -> list[FakeWorker]:
        """List who is."""
        return [worker for _, _, worker in self._entries]

    def begin(self, worker: FakeWorker, seconds: float) -> None:
        """Have a worker be on a request for so long."""
        self._begun += 1
        entry = self._clock.seconds + seconds, self._begun, worker
        if self._chance:
            self._entries.append(entry)
        else:
            heappush(self._entries, entry)

    def has_another(self, before: float) -> bool:
        """Tell whether the worker that is done next is so before a time, in seconds of the clock."""
        return bool(self._entries) and self._chance is None and self._entries[0][0] < before

    def next(self) -> FakeWorker:
        """Take the worker that is done next; its time has come."""
        if self._chance:
            done, _, worker = self._entries.pop(self._chance.randrange(len(self._entries)))
        else:
            done, _, worker = heappop(self._entries)
        self._clock.reach(done)
        return worker

    def remove(self, worker: FakeWorker) -> None:
        """Take a worker that is interrupted."""
        self._entries = [entry for entry in self._entries if entry[2] is not worker]
        heapify(self._entries)

    def clear(self) -> None:
        """Forget them all."""
        self._entries.clear()
