"""Predict how long rows take and what that costs, from what was measured: pure arithmetic."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean, stdev
from typing import Final

_STANDARD_ERRORS: Final = 1.64
"""Nine times in ten the true mean is no farther away."""

_LEAST_SHARE: Final = 0.2
_HOUR: Final = 3600.0


@dataclass(frozen=True, slots=True)
class Plan:
    """A prediction: how many ``seconds`` the rows that are left take, at the least and at the most, by which pace."""

    rows_left: int
    workers: int
    rows_per_second: float
    seconds: tuple[float, float]
    dollars: float


def remaining(rates: Sequence[float], rows_left: int) -> tuple[float, float] | None:
    """Tell in how many seconds rows will be done, at the least and at the most; ``None`` while nothing is known.

    ``rates`` are rows per second in stretches of one length; the range is that of their mean, so it narrows as they
    become more.
    """
    if not any(rates):
        return None
    mean = fmean(rates)
    error = _STANDARD_ERRORS * stdev(rates) / len(rates) ** 0.5 if len(rates) > 1 else mean
    return rows_left / (mean + error), rows_left / max(mean - error, mean * _LEAST_SHARE)


def plan(rates: Sequence[float], *, rows_left: int, workers: int, dollars_an_hour: float) -> Plan | None:
    """Make a plan for the rows that are left, on as many workers; ``None`` while nothing is known."""
    seconds = remaining(rates, rows_left)
    if seconds is None:
        return None
    return Plan(rows_left, workers, fmean(rates), seconds, dollars_an_hour * sum(seconds) / 2 / _HOUR)


@dataclass(slots=True)
class Bill:
    """What the machines of a run cost: each from when its first worker joined to when its last one left.

    ``prices`` are in dollars an hour, by machine; one that is not named costs nothing.
    """

    prices: Mapping[str, float] = field(default_factory=dict)
    dollars_an_hour: float = 0.0
    """What the machines that are there cost together."""
    _workers: dict[str, set[str]] = field(default_factory=dict)
    _at_zero: float = 0.0
    """What all would have cost by second 0, had it always been as it is: one step leads from there to any time."""

    def joined(self, worker: str, machine: str, at: float) -> None:
        """Know that a worker is there; ``at`` is in seconds."""
        workers = self._workers.setdefault(machine, set())
        if not workers:
            self._change(self.prices.get(machine, 0.0), at)
        workers.add(worker)

    def left(self, worker: str, machine: str, at: float) -> None:
        """Know that a worker is gone, and perhaps its machine with it."""
        workers = self._workers.get(machine, set())
        if worker in workers:
            workers.remove(worker)
            if not workers:
                self._change(-self.prices.get(machine, 0.0), at)

    def _change(self, dollars_an_hour: float, at: float) -> None:
        self.dollars_an_hour += dollars_an_hour
        self._at_zero -= dollars_an_hour * at / _HOUR

    def dollars(self, at: float) -> float:
        """Tell what has been spent until then."""
        return self._at_zero + self.dollars_an_hour * at / _HOUR if self.prices else 0.0
