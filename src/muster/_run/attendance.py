"""Who is there to work on a run: which workers, on which machines, for how long, and for how much."""

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

from muster._planner import Bill


@dataclass(slots=True)
class _Stays:
    """How long workers were there, each counted."""

    _since: dict[str, float] = field(default_factory=dict)
    _at_zero: float = 0.0
    """What it would be at second 0, had it always been as it is: one step leads from there to any time."""

    def joined(self, worker: str, at: float) -> None:
        if worker not in self._since:
            self._since[worker] = at
            self._at_zero -= at

    def left(self, worker: str, at: float) -> None:
        if self._since.pop(worker, None) is not None:
            self._at_zero += at

    def seconds(self, at: float) -> float:
        return self._at_zero + len(self._since) * at


class Attendance:
    """The workers of a run. Times are in seconds of the clock."""

    def __init__(self, prices: Mapping[str, float], clock: Callable[[], float]) -> None:
        """Begin with nobody; ``prices`` are in dollars an hour, by machine."""
        self._clock = clock
        self._machines: dict[str, str] = {}
        """Of each worker that was ever there."""
        self.workers_on: Counter[str] = Counter()
        self.machines: frozenset[str] = frozenset()
        """Those that have workers."""
        self.most_workers = self.most_machines = 0
        """How many were there at the time when they were most."""
        self._stays = _Stays()
        self._began = clock()
        self._bill = Bill()
        self._renewed: frozenset[str] = frozenset()
        """Machines whose leases were renewed the last time; at first those that were called up."""
        self.leaving: frozenset[str] = frozenset()
        """Those that whoever made them takes away soon."""
        self.spent_before = 0.0
        """Dollars that earlier attempts have cost."""
        self.charge(prices)

    def charge(self, prices: Mapping[str, float]) -> None:
        """Know the machines that the run has called up since it began, and what they cost."""
        self._bill.hold(prices, self._began)
        self._renewed |= prices.keys()

    def came(self, renewed: Collection[str], prices: Mapping[str, float]) -> Mapping[str, float]:
        """Know whose leases were renewed, and what machines cost; tell which came since the last time.

        One whose lease was not renewed then, and whose workers had left, was made anew under its name.
        """
        new = {name: price for name, price in prices.items() if self._is_new(name, price, is_there=name in renewed)}
        self._bill.hold(new, self._clock())
        self._renewed = frozenset(renewed)
        return new

    def _is_new(self, machine: str, price: float, *, is_there: bool) -> bool:
        if self._bill.prices.get(machine) != price:
            return True
        return is_there and machine not in self._renewed and not self._bill.charges(machine)

    def joined(self, worker: str, machine: str) -> None:
        """Know that a worker is there."""
        self._machines[worker] = machine
        self.workers_on[machine] += 1
        self._see_machines()
        self.most_workers = max(self.most_workers, self.workers)
        self.most_machines = max(self.most_machines, len(self.workers_on))
        self._bill.joined(worker, machine, self._clock())
        self._stays.joined(worker, self._clock())

    def left(self, worker: str) -> None:
        """Know that a worker is gone."""
        machine = self.machine_of(worker)
        self._bill.left(worker, machine, self._clock())
        self._stays.left(worker, self._clock())
        self.workers_on[machine] -= 1
        if self.workers_on[machine] <= 0:
            del self.workers_on[machine]
        self._see_machines()

    def _see_machines(self) -> None:
        if len(self.workers_on) != len(self.machines):
            self.machines = frozenset(self.workers_on)

    def machine_of(self, worker: str) -> str:
        """Name the machine of a worker, also of one that has left."""
        return self._machines.get(worker, "")

    @property
    def workers(self) -> int:
        """Count those that are there."""
        return self.workers_on.total()

    @property
    def had_any(self) -> bool:
        """Tell whether anybody was ever there."""
        return bool(self._machines)

    @property
    def seconds(self) -> float:
        """Tell how long workers were there, each counted."""
        return self._stays.seconds(self._clock())

    @property
    def dollars(self) -> float:
        """Tell what the machines have cost so far, those of earlier attempts included."""
        return self.spent_before + self._bill.dollars(self._clock())

    @property
    def dollars_an_hour(self) -> float:
        """Tell what the machines that are there cost together."""
        return self._bill.dollars_an_hour
