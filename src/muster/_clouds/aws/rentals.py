"""What the machines of one cluster cost: each from when it was asked for to when it was seen to have ended."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from muster._words import dollars

_HOUR = 3600.0


@dataclass(frozen=True, slots=True)
class Rental:
    """One machine's; times are in seconds since 1970."""

    price: float | None
    """Dollars an hour; ``None`` where nobody knows."""
    since: float
    """When it was asked for, which is some seconds before it costs."""
    until: float | None = None
    """When it was seen to have ended; ``None`` of one that lives."""

    def cost(self, now: float) -> float:
        """Tell what it has cost, where its price is known."""
        return (self.price or 0.0) * ((now if self.until is None else self.until) - self.since) / _HOUR


Rentals = Mapping[str, Rental]
"""By the id of the instance: all that a cluster ever had."""


def rented(rentals: Rentals, there: Collection[str], *, price: float | None, since: float, now: float) -> Rentals:
    """Take in which instances there are: one that is new has that price, and one that is not there has ended."""
    ended = {
        name: one if name in there or one.until is not None else replace(one, until=now)
        for name, one in rentals.items()
    }
    return {**{name: Rental(price, since) for name in there}, **ended}


def bill(rentals: Rentals, now: float) -> str:
    """Write what all of them cost: ``$0.41``; that it is unknown where any price is."""
    if any(one.price is None for one in rentals.values()):
        return "price unknown"
    return dollars(sum(one.cost(now) for one in rentals.values()))
