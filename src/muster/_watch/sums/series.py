"""Values over time in a bounded number of buckets, whose width doubles when time outgrows them."""

from collections.abc import Iterable, Sequence
from typing import Final

BUCKETS: Final = 240
"""A chart is some 1000 points wide: a bucket is four of them. Their width doubles when time outgrows them."""

_FIRST_WIDTH: Final = 0.5
"""Seconds: as often as a run tells how far it is."""

_ENOUGH_OF_A_BUCKET: Final = 0.5
"""The rate of a bucket that has hardly begun jumps."""

Shares = list[tuple[int, float]]
"""Buckets, each with the share of something that belongs into it."""


class Buckets:
    """Say which stretch of time each bucket holds, in seconds since a run began; its series share one clock."""

    __slots__ = ("doublings", "width")

    def __init__(self) -> None:
        """Begin with buckets of half a second."""
        self.width = _FIRST_WIDTH
        self.doublings = 0

    def reach(self, time: float) -> None:
        """Widen the buckets until they hold this time."""
        while time >= BUCKETS * self.width:
            self.width *= 2
            self.doublings += 1

    def split(self, start: float, stop: float) -> Shares:
        """Spread something that happened evenly between two times, which the buckets hold."""
        width, length = self.width, stop - start
        first, last = max(int(start / width), 0), min(int(stop / width), BUCKETS - 1)
        if first >= last or length <= 0:
            return [(last, 1.0)]
        between = [(at, width / length) for at in range(first + 1, last)]
        tail = (stop - last * width) / length
        return [(first, 1.0 - tail - width / length * len(between)), *between, (last, tail)]


class Series:
    """Sums of some channels in each bucket of a clock."""

    __slots__ = ("channels", "doublings")

    def __init__(self, channels: int) -> None:
        """Begin with nothing in any bucket."""
        self.channels = [[0.0] * BUCKETS for _ in range(channels)]
        self.doublings = 0

    def at(self, clock: Buckets) -> list[list[float]]:
        """Give the channels, in buckets as wide as the clock's are now. They may be added to."""
        for _ in range(clock.doublings - self.doublings):
            for channel in self.channels:
                channel[:] = [*map(sum, zip(channel[::2], channel[1::2], strict=True)), *[0.0] * (BUCKETS // 2)]
        self.doublings = clock.doublings
        return self.channels

    def add(self, clock: Buckets, shares: Shares, amounts: Sequence[float]) -> None:
        """Add an amount to each channel, spread over buckets."""
        for channel, amount in zip(self.at(clock), amounts, strict=True):
            for bucket, share in shares:
                channel[bucket] += amount * share


def total(channels: Iterable[Sequence[float]]) -> list[float]:
    """Add up channels, bucket by bucket."""
    return list(map(sum, zip([0.0] * BUCKETS, *channels, strict=True)))


def rates(channel: Sequence[float], clock: Buckets, elapsed: float) -> list[float]:
    """Tell how much a second there was in each bucket, up to the last one that is full enough to tell."""
    full, rest = divmod(elapsed, clock.width)
    found = [amount / clock.width for amount in channel[: int(full)]]
    if rest >= clock.width * _ENOUGH_OF_A_BUCKET or not found:
        found += [amount / max(rest, 1e-3) for amount in channel[int(full) : int(full) + 1]]
    return found
