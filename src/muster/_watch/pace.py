"""How fast rows are done, and when the rest will be: pure sums over what was told in the last minutes."""

from collections import defaultdict, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import median
from typing import Final

RECENT: Final = 300.0
"""Seconds that count as recent: what the throughput of the last five minutes is about."""

_FOR_REST: Final = 120.0
_LATELY: Final = 20.0
_MINUTE: Final = 60.0
_WINDOW: Final = 5.0
_SHORT_WINDOW: Final = 2.5
_SHORT_WINDOWS: Final = 24
_MOST_WINDOWS: Final = 60

Burst = tuple[float, float, float, float]
"""Rows in and rows out, and from when until when."""


@dataclass(frozen=True, slots=True)
class Throughput:
    """Rows a second in the last five minutes: the least, the median and the most of its windows."""

    least: float
    median: float
    most: float


@dataclass(slots=True)
class Recent:
    """What was done in the last five minutes, told by told: by which worker, and in which step."""

    told: deque[tuple[float, dict[str, Burst], list[Burst]]] = field(default_factory=deque)
    done: deque[tuple[float, int]] = field(default_factory=deque)

    def add(self, now: float, workers: dict[str, Burst], steps: list[Burst]) -> None:
        """Keep what was done until now."""
        self.told.append((now, workers, steps))
        while self.told[0][0] < now - RECENT:
            self.told.popleft()

    def reach(self, now: float, rows_done: int) -> None:
        """Keep how many rows are done by now."""
        if self.done and rows_done < self.done[-1][1]:
            self.done.clear()
        self.done.append((now, rows_done))
        while len(self.done) > 1 and self.done[1][0] < now - RECENT:
            self.done.popleft()

    def of_workers(self, names: set[str]) -> list[Burst]:
        """Pick what some workers did."""
        return [burst for _, workers, _ in self.told for name, burst in workers.items() if name in names]

    def of_step(self, number: int) -> list[Burst]:
        """Pick what was done in a step, counted from 0."""
        return [steps[number] for _, _, steps in self.told if number < len(steps)]

    def of_each_worker(self) -> dict[str, float]:
        """Tell how many rows a second each worker has done in the last minute."""
        if not self.told:
            return {}
        stop = self.told[-1][0]
        told = [(now, workers) for now, workers, _ in self.told if now > stop - _MINUTE]
        since = min(burst[2] for _, workers in told for burst in workers.values())
        rows: defaultdict[str, float] = defaultdict(float)
        for _, workers in told:
            for name, burst in workers.items():
                rows[name] += burst[0]
        return {name: done / max(stop - since, 1e-3) for name, done in rows.items()}

    def lately(self) -> float | None:
        """Tell how many rows a second are done now; ``None`` while nobody knows."""
        if len(self.done) < 2:  # noqa: PLR2004 (a pace lies between two points)
            return None
        now, rows = self.done[-1]
        since, before = next(((at, done) for at, done in self.done if at >= now - _LATELY), self.done[0])
        if since >= now:
            since, before = self.done[-2]
        return (rows - before) / (now - since) if now > since else None

    def paces(self) -> list[float]:
        """Tell how many rows a second were done, in some windows of equal length of the last two minutes."""
        if len(self.done) < 2:  # noqa: PLR2004 (likewise)
            return []
        stop = self.done[-1][0]
        start = max(self.done[0][0], stop - _FOR_REST)
        count = max(1, min(int((stop - start) / _SHORT_WINDOW), _SHORT_WINDOWS))
        edges = [start + (stop - start) * at / count for at in range(count + 1)]
        rows = [_rows_at(self.done, edge) for edge in edges]
        width = (stop - start) / count
        return [(after - before) / width for before, after in pairwise(rows)] if width else []


def _rows_at(done: Iterable[tuple[float, int]], time: float) -> float:
    """Tell how many rows were done at a time between those that are known."""
    before: tuple[float, float] | None = None
    for at, rows in done:
        if at >= time:
            if before is None or at == before[0]:
                return float(rows)
            return before[1] + (rows - before[1]) * (time - before[0]) / (at - before[0])
        before = at, float(rows)
    return before[1] if before else 0.0


def throughput(bursts: Sequence[Burst], now: float, *, out: bool) -> Throughput | None:
    """Tell how many rows a second went in, or out, in the windows of the last five minutes; ``None`` if none did."""
    if not bursts:
        return None
    start = max(min(burst[2] for burst in bursts), now - RECENT, 0.0)
    count = max(1, min(int((now - start) / _WINDOW), _MOST_WINDOWS))
    width = max((now - start) / count, 1e-3)
    rows = [0.0] * count
    for rows_in, rows_out, since, until in bursts:
        _spread(rows, (since - start) / width, (until - start) / width, amount=rows_out if out else rows_in)
    paces = [amount / width for amount in rows]
    return Throughput(min(paces), median(paces), max(paces))


def _spread(rows: list[float], start: float, stop: float, *, amount: float) -> None:
    """Add an amount, evenly from start to stop, to windows of width 1; what lies outside is left out."""
    length = stop - start
    first, last = max(int(start), 0), min(int(stop), len(rows) - 1)
    if length <= 0:
        rows[max(last, 0)] += amount
        return
    for at in range(first, last + 1):
        rows[at] += amount * max(min(stop, at + 1) - max(start, at), 0.0) / length
