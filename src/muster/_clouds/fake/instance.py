"""One machine of a fake cloud: when it boots and ends, by a clock that stands still until somebody waits by it."""

from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Final, Protocol

HOUR: Final = 3600.0
LEASE_OVER: Final = "nobody renewed its lease"


class Clock(Protocol):
    """What time is taken from; :class:`muster.testing.FakeClock` is one."""

    seconds: float

    def reach(self, seconds: float) -> None:
        """Move on to a time, unless it has passed."""


@dataclass(slots=True, eq=False)
class Instance:
    """A machine of one cluster; all times are seconds on the clock."""

    name: str
    cluster: Path
    number: int
    workers: int
    price: float | None
    made: float
    boots: float
    """When it is up; never, if that is infinite."""
    lease: float
    renewed: float
    taken: float = inf
    """When its maker takes it away."""
    ended: float = inf
    why: str = ""
    """Why it has ended."""
    answers: bool = True
    head: "Instance | None" = None
    """The machine that it has joined, and ends with; none for a head."""

    @property
    def ends(self) -> float:
        """Tell when it ends, or has ended."""
        return min(self.ended, self.taken, self.renewed + self.lease)

    def end(self, at: float, why: str) -> None:
        """Have it end, unless it has."""
        if self.ended == inf:
            self.ended, self.why = at, why

    def see(self, now: float) -> None:
        """Have it end if it was to end by now; a head is seen before those that have joined it."""
        if self.ends <= now:
            self.end(self.ends, "it was taken away" if self.taken <= self.ends else LEASE_OVER)
        if self.head is not None and not self.head.lives and self.answers:  # else it hears of nothing, and goes on
            self.end(self.head.ended, "its head has ended")

    @property
    def lives(self) -> bool:
        """Tell whether it has not ended, as far as it was seen."""
        return self.ended == inf

    def dollars(self, now: float) -> float:
        """Tell what it has cost by now, boot included."""
        return (self.price or 0.0) * (min(self.ended, now) - self.made) / HOUR
