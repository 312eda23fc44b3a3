"""How fast each worker was in the last minute."""

from collections import defaultdict, deque
from dataclasses import dataclass, field
from typing import Final

_MINUTE: Final = 60.0

Burst = tuple[float, float]
"""How many rows were done, and since when."""


@dataclass(slots=True)
class WorkerPaces:
    """What each worker did in the last minute: an entry for each measured event, with its time in the run."""

    told: deque[tuple[float, dict[str, Burst]]] = field(default_factory=deque)

    def add(self, now: float, workers: dict[str, Burst]) -> None:
        """Keep what was done until now."""
        self.told.append((now, workers))
        while self.told[0][0] <= now - _MINUTE:
            self.told.popleft()

    def of_each_worker(self, now: float) -> dict[str, float]:
        """Tell how many rows a second each worker has done in the last minute."""
        lately = [workers for at, workers in self.told if at > now - _MINUTE]
        if not lately:
            return {}
        since = min(began for workers in lately for _, began in workers.values())
        rows: defaultdict[str, float] = defaultdict(float)
        for workers in lately:
            for name, (done, _) in workers.items():
                rows[name] += done
        return {name: done / max(now - since, 1e-3) for name, done in rows.items()}
