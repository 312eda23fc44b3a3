"""What the machines of a run cost, by its events: for who resumes it, and for who looks at it."""

from dataclasses import dataclass, field

from .bill import Bill
from .events import Event, Finished, Renewed, Stopped, TryStarted, WorkerJoined, WorkerLeft
from .file import Entry
from .work_time import WorkTime


@dataclass(slots=True)
class Billing:
    """Adds up events; times are in seconds of work, so that what is between two attempts costs nothing."""

    bill: Bill = field(default_factory=Bill)

    def take(self, event: Event, now: float) -> None:
        """Take in an event; those that have nothing to do with machines change nothing."""
        match event:
            case TryStarted() | Renewed():
                self.bill.hold(event.prices, now)
            case WorkerJoined(worker, machine):
                self.bill.joined(worker, machine, now)
            case WorkerLeft(worker):
                self.bill.left(worker, now)
            case Stopped() | Finished():
                self.bill.end(now)

    def dollars(self, now: float) -> float | None:
        """Tell what the machines cost until now; ``None`` where none has a price, or one has that nobody knows."""
        return self.bill.dollars(now) if self.bill.prices else None


@dataclass(slots=True)
class RunCost:
    """What a run has cost by the last event that was taken in, all its attempts together."""

    _time: WorkTime = field(default_factory=WorkTime)
    _billing: Billing = field(default_factory=Billing)

    def take(self, entry: Entry) -> None:
        """Take in an event."""
        if self._time.take(entry) is not None:
            self._billing.bill.end(self._time.seconds)  # that process is gone, whether it said so or not
        self._billing.take(entry.event, self._time.seconds)

    @property
    def dollars(self) -> float | None:
        """Tell what that comes to; ``None`` where nobody knows the price of a machine."""
        return self._billing.bill.dollars(self._time.seconds)
