"""Who is there to work on a run: which workers, on which machines, for how long, and for how much."""

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from typing import Final

from muster._journal.bill import Bill, Meter

_DIGITS_OF_COST: Final = 4
"""Hundredths of a cent."""


class Attendance:
    """The workers of a run. Times are in seconds of the clock."""

    def __init__(self, prices: Mapping[str, float | None], clock: Callable[[], float]) -> None:
        """Begin with nobody; ``prices`` are in dollars an hour, by machine; ``None`` where nobody knows."""
        self._clock = clock
        self.workers_on: Counter[str] = Counter()
        self.machines: frozenset[str] = frozenset()
        """Those that have workers."""
        self.most_workers = self.most_machines = 0
        """How many were there at the time when they were most."""
        self._present: set[str] = set()
        self._presence = Meter()
        """Seconds, by the workers that are there."""
        self._began = clock()
        self._bill = Bill()
        self._renewed: frozenset[str] = frozenset()
        """Machines whose leases were renewed the last time; at first those that were called up."""
        self.leaving: frozenset[str] = frozenset()
        """Those that whoever made them takes away soon."""
        self.spent_before: float | None = 0.0
        """Dollars that earlier attempts have cost, where that is known."""
        self.charge(prices)

    def charge(self, prices: Mapping[str, float | None]) -> None:
        """Know the machines that the run has called up since it began, and what they cost."""
        self._bill.hold(prices, self._began)
        self._renewed |= prices.keys()

    def came(self, renewed: Collection[str], prices: Mapping[str, float | None]) -> Mapping[str, float | None]:
        """Know whose leases were renewed, and what machines cost; tell which came since the last time.

        One whose lease was not renewed then, and whose workers had left, was made anew under its name.
        """
        new = {name: price for name, price in prices.items() if self._is_new(name, price, is_there=name in renewed)}
        self._bill.hold(new, self._clock())
        self._renewed = frozenset(renewed)
        return new

    def _is_new(self, machine: str, price: float | None, *, is_there: bool) -> bool:
        if machine not in self._bill.prices or self._bill.prices[machine] != price:
            return True
        return is_there and machine not in self._renewed and not self._bill.charges(machine)

    def joined(self, worker: str, machine: str) -> None:
        """Know that a worker is there."""
        self.workers_on[machine] += 1
        self._see_machines()
        self.most_workers = max(self.most_workers, self.workers)
        self.most_machines = max(self.most_machines, len(self.workers_on))
        self._bill.joined(worker, machine, self._clock())
        if worker not in self._present:
            self._present.add(worker)
            self._presence.change(1, self._clock())

    def left(self, worker: str) -> None:
        """Know that a worker is gone."""
        machine = self.machine_of(worker)
        self._bill.left(worker, self._clock())
        if worker in self._present:
            self._present.remove(worker)
            self._presence.change(-1, self._clock())
        self.workers_on[machine] -= 1
        if self.workers_on[machine] <= 0:
            del self.workers_on[machine]
        self._see_machines()

    def _see_machines(self) -> None:
        if len(self.workers_on) != len(self.machines):
            self.machines = frozenset(self.workers_on)

    def machine_of(self, worker: str) -> str:
        """Name the machine of a worker, also of one that has left."""
        return self._bill.machine_of(worker)

    @property
    def present(self) -> list[tuple[str, str]]:
        """List the workers that are there, each with its machine."""
        return self._bill.present()

    @property
    def workers(self) -> int:
        """Count those that are there."""
        return self.workers_on.total()

    @property
    def had_any(self) -> bool:
        """Tell whether anybody was ever there."""
        return bool(self.most_workers)

    @property
    def seconds(self) -> float:
        """Tell how long workers were there, each counted."""
        return self._presence.total(self._clock())

    @property
    def dollars(self) -> float | None:
        """Tell what the machines have cost so far, those of earlier attempts included; ``None`` where it is unknown."""
        now = self._bill.dollars(self._clock())
        return None if now is None or self.spent_before is None else self.spent_before + now

    @property
    def cost(self) -> float | None:
        """Tell ``dollars`` as results say them."""
        return None if (dollars := self.dollars) is None else round(dollars, _DIGITS_OF_COST)

    @property
    def dollars_an_hour(self) -> float | None:
        """Tell what the machines that are there cost together; ``None`` where that is unknown."""
        return self._bill.dollars_an_hour
