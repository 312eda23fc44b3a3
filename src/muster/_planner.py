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
    """What the machines of a run cost: each from when the run has it, workers or none, to when its last worker left.

    Prices are in dollars an hour; a machine without one costs nothing here.
    """

    prices: dict[str, float] = field(default_factory=dict)
    """By machine, of all that were ever there."""
    dollars_an_hour: float = 0.0
    """What the machines that are there cost together."""
    _charged: dict[str, float] = field(default_factory=dict)
    _workers: dict[str, set[str]] = field(default_factory=dict)
    _at_zero: float = 0.0
    """``cost(t) = at_zero + rate * t``; adjusted whenever the rate changes, so that past cost stays the same."""

    def hold(self, prices: Mapping[str, float], at: float) -> None:
        """Know machines that the run has from now on, though they may still boot; ``at`` is in seconds."""
        self.prices |= prices
        for machine in prices:
            self._charge(machine, at)

    def charges(self, machine: str) -> bool:
        """Tell whether a machine costs something now."""
        return machine in self._charged

    def joined(self, worker: str, machine: str, at: float) -> None:
        """Know that a worker is there, and its machine."""
        self._workers.setdefault(machine, set()).add(worker)
        self._charge(machine, at)

    def left(self, worker: str, machine: str, at: float) -> None:
        """Know that a worker is gone, and perhaps its machine with it."""
        workers = self._workers.get(machine, set())
        if worker in workers:
            workers.remove(worker)
            if not workers:
                self._change(-self._charged.pop(machine, 0.0), at)

    def end(self, at: float) -> None:
        """Know that the run has no machine any more."""
        for price in self._charged.values():
            self._change(-price, at)
        self._charged.clear()
        self._workers.clear()

    def dollars(self, at: float) -> float:
        """Tell what has been spent until then."""
        return self._at_zero + self.dollars_an_hour * at / _HOUR if self.prices else 0.0

    def _charge(self, machine: str, at: float) -> None:
        if machine not in self._charged:
            self._charged[machine] = self.prices.get(machine, 0.0)
            self._change(self._charged[machine], at)

    def _change(self, dollars_an_hour: float, at: float) -> None:
        self.dollars_an_hour += dollars_an_hour
        self._at_zero -= dollars_an_hour * at / _HOUR
