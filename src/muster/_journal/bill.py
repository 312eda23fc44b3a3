"""What the machines of a run cost, and for how long its workers were there: both grow at a rate that changes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

_HOUR: Final = 3600.0


@dataclass(slots=True)
class Meter:
    """A sum that grows with time, at a rate that changes now and then; nobody has to add it up in between."""

    rate: float = 0.0
    _at_zero: float = 0.0
    """``total(t) = at_zero + rate * t``; adjusted whenever the rate changes, so that what was before stays the same."""

    def change(self, by: float, at: float) -> None:
        """Have the sum grow faster, or slower, from now on."""
        self.rate += by
        self._at_zero -= by * at

    def total(self, at: float) -> float:
        """Tell what the sum comes to by then."""
        return self._at_zero + self.rate * at


@dataclass(slots=True)
class Bill:
    """What the machines of a run cost: each from when the run has it, workers or none, to when its last worker left.

    Prices are in dollars an hour; a machine without one costs nothing here, and with ``None`` something unknown.
    """

    prices: dict[str, float | None] = field(default_factory=dict)
    """By machine, of all that were ever there."""
    is_unknown: bool = False
    """Whether a machine was there whose price nobody knows."""
    _meter: Meter = field(default_factory=Meter)
    """Dollars, by the hours that have passed."""
    _charged: dict[str, float] = field(default_factory=dict)
    _machines: dict[str, str] = field(default_factory=dict)
    """Of each worker that was ever there."""
    _workers: dict[str, set[str]] = field(default_factory=dict)

    def hold(self, prices: Mapping[str, float | None], at: float) -> None:
        """Know machines that the run has from now on, though they may still boot; ``at`` is in seconds."""
        self.prices |= prices
        self.is_unknown = self.is_unknown or None in prices.values()
        for machine in prices:
            self._charge(machine, at)

    def charges(self, machine: str) -> bool:
        """Tell whether a machine costs something now."""
        return machine in self._charged

    def joined(self, worker: str, machine: str, at: float) -> None:
        """Know that a worker is there, and its machine."""
        self._machines[worker] = machine
        self._workers.setdefault(machine, set()).add(worker)
        self._charge(machine, at)

    def left(self, worker: str, at: float) -> None:
        """Know that a worker is gone, and perhaps its machine with it."""
        machine = self.machine_of(worker)
        workers = self._workers.get(machine, set())
        if worker in workers:
            workers.remove(worker)
            if not workers:
                self._meter.change(-self._charged.pop(machine, 0.0), at / _HOUR)

    def end(self, at: float) -> None:
        """Know that the run has no machine any more."""
        for price in self._charged.values():
            self._meter.change(-price, at / _HOUR)
        self._charged.clear()
        self._workers.clear()

    def present(self) -> list[tuple[str, str]]:
        """List the workers that are there, each with its machine."""
        return [(worker, machine) for machine, workers in self._workers.items() for worker in sorted(workers)]

    def machine_of(self, worker: str) -> str:
        """Name the machine of a worker, also of one that has left."""
        return self._machines.get(worker, "")

    @property
    def dollars_an_hour(self) -> float | None:
        """Tell what the machines that are there cost together; ``None`` where that is unknown."""
        return None if self.is_unknown else self._meter.rate

    def dollars(self, at: float) -> float | None:
        """Tell what has been spent until then; ``None`` where that is unknown."""
        if self.is_unknown:
            return None
        return self._meter.total(at / _HOUR) if self.prices else 0.0

    def _charge(self, machine: str, at: float) -> None:
        if machine not in self._charged:
            self._charged[machine] = self.prices.get(machine) or 0.0
            self._meter.change(self._charged[machine], at / _HOUR)
