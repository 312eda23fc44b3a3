"""Predict how long rows take and what that costs, from what was measured: pure arithmetic."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

_STANDARD_ERRORS: Final = 1.64
"""Nine times in ten the true mean is no farther away."""

_LEAST_SHARE: Final = 0.2
_HOUR: Final = 3600.0


class Plan(NamedTuple):
    """A prediction: how many ``seconds`` the rows that are left take, at the least and at the most, by which pace."""

    rows_left: int
    workers: int
    rows_per_second: float
    seconds: tuple[float, float]
    dollars: float


Stretch = tuple[float, float]
"""How many seconds it was long, and how many rows were done in it."""


def remaining(stretches: Sequence[Stretch], rows_left: int) -> tuple[float, float] | None:
    """Tell in how many seconds rows will be done, at the least and at the most; ``None`` while nothing is known.

    The range is that of the pace, by the ratio estimator and its error (Cochran, Sampling Techniques, chapter 6): it
    narrows as stretches become more, however long each is.
    """
    pace = _pace(stretches)
    if not pace:
        return None
    count, seconds = len(stretches), sum(length for length, _ in stretches)
    squares = sum((rows - pace * length) ** 2 for length, rows in stretches)
    error = _STANDARD_ERRORS * (squares * count / (count - 1)) ** 0.5 / seconds if count > 1 else pace
    return rows_left / (pace + error), rows_left / max(pace - error, pace * _LEAST_SHARE)


def plan(stretches: Sequence[Stretch], *, rows_left: int, workers: int, dollars_an_hour: float) -> Plan | None:
    """Make a plan for the rows that are left, on as many workers; ``None`` while nothing is known."""
    seconds = remaining(stretches, rows_left)
    if seconds is None:
        return None
    return Plan(rows_left, workers, _pace(stretches), seconds, dollars_an_hour * sum(seconds) / 2 / _HOUR)


def _pace(stretches: Sequence[Stretch]) -> float:
    seconds = sum(length for length, _ in stretches)
    return sum(rows for _, rows in stretches) / seconds if seconds else 0.0


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
    """``cost(t) = at_zero + rate * t``; adjusted whenever the rate changes, so that past cost stays the same."""

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
