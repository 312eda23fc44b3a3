"""What the machines of one cluster cost: each from when it was asked for to when it was seen to have ended."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Final

from muster._words import dollars

_HOUR = 3600.0


@dataclass(frozen=True, slots=True)
class Rental:
    """From when to when one machine was there; times are in seconds since 1970."""

    price: float | None
    """Dollars an hour; ``None`` where nobody knows."""
    since: float
    """When it was asked for, which is some seconds before it costs."""
    until: float | None = None
    """When it was seen to have ended, or must have; ``None`` of one that lives."""
    is_most: bool = False
    """Whether it had ended before anybody saw so: by when its lease was over at the latest."""

    def cost(self, now: float) -> float:
        """Tell what it has cost, where its price is known."""
        return (self.price or 0.0) * ((now if self.until is None else self.until) - self.since) / _HOUR


Rentals = Mapping[str, Rental]
"""By the id of the instance: all that a cluster ever had."""


_UNKNOWN: Final[Mapping[str, float]] = {}


def rented(
    rentals: Rentals,
    there: Mapping[str, float | None],
    *,
    since: float,
    now: float,
    latest: Mapping[str, float] = _UNKNOWN,
) -> Rentals:
    """Take in which instances are there, at which price each new one; the others have ended, ``latest`` by then."""
    return {
        **{name: Rental(price, since) for name, price in there.items()},
        **ended_by_now(rentals, there, now=now, latest=latest),
    }


def ended_by_now(
    rentals: Rentals, there: Collection[str], *, now: float, latest: Mapping[str, float] = _UNKNOWN
) -> Rentals:
    """Take in that all but these instances have ended: by now, or before if their lease was over ``latest`` by then."""
    return {
        name: one
        if name in there or one.until is not None
        else replace(one, until=max(one.since, min(now, latest.get(name, now))), is_most=latest.get(name, now) < now)
        for name, one in rentals.items()
    }


def bill(rentals: Rentals, now: float) -> str:
    """Write what all of them cost: ``$0.41``; where the price of some is unknown, what the others do at the least."""
    cost = sum(one.cost(now) for one in rentals.values())
    unknown = sum(one.price is None for one in rentals.values())
    is_most = any(one.is_most for one in rentals.values())
    if unknown:
        is_least = unknown < len(rentals) and not is_most
        return f"at least {dollars(cost)} (price of {unknown} unknown)" if is_least else "price unknown"
    return f"{'at most ' if is_most else ''}{dollars(cost)}"
