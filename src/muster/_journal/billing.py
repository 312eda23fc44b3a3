"""What the machines of a run cost, by its events: the one account, for who resumes it and for who looks at it."""

from dataclasses import dataclass, field

from muster._planner import Bill

from .events import Attempt, Event, Finished, Joined, Left, Renewed, Stopped
from .file import Entry
from .work_time import WorkTime


@dataclass(slots=True)
class Billing:
    """Adds up events; times are in seconds of work, so that what is between two attempts costs nothing."""

    bill: Bill = field(default_factory=Bill)
    _machines: dict[str, str] = field(default_factory=dict)
    """Of each worker that was ever there."""

    def take(self, event: Event, now: float) -> None:
        """Take in an event; those that have nothing to do with machines change nothing."""
        match event:
            case Attempt() | Renewed():
                self.bill.hold(event.prices, now)
            case Joined(worker, machine):
                self._machines[worker] = machine
                self.bill.joined(worker, machine, now)
            case Left(worker):
                self.bill.left(worker, self._machines.get(worker, ""), now)
            case Stopped() | Finished():
                self.bill.end(now)

    def dollars(self, now: float) -> float | None:
        """Tell what the machines cost until now; ``None`` if nobody knows their prices."""
        return self.bill.dollars(now) if self.bill.prices else None


@dataclass(slots=True)
class Spent:
    """What a run has cost by the last event that was taken in, all its attempts together."""

    _time: WorkTime = field(default_factory=WorkTime)
    _billing: Billing = field(default_factory=Billing)

    def take(self, entry: Entry) -> None:
        """Take in an event."""
        if self._time.take(entry) is not None:
            self._billing.bill.end(self._time.seconds)  # that process is gone, whether it said so or not
        self._billing.take(entry.event, self._time.seconds)

    @property
    def dollars(self) -> float:
        """Tell what that comes to."""
        return self._billing.dollars(self._time.seconds) or 0.0
