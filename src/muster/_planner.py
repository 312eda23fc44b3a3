"""Predict how long rows take and what that costs, from what was measured: pure arithmetic."""

from collections.abc import Sequence
from typing import Final, NamedTuple

_STANDARD_ERRORS: Final = 1.64
"""Nine times in ten the true mean is no farther away."""

_LEAST_SHARE: Final = 0.2
"""Of the pace: however few spans there are, the rest takes no more than five times as long."""

_HOUR: Final = 3600.0


class Plan(NamedTuple):
    """A prediction: how many ``seconds`` the rows that are left take, at the least and at the most, by which pace."""

    rows_left: int
    workers: int
    rows_per_second: float
    seconds: tuple[float, float]
    dollars: float | None


TimedRows = tuple[float, float]
"""A span of time: how many seconds it was long, and how many rows were done in it."""


def remaining(spans: Sequence[TimedRows], rows_left: int) -> tuple[float, float] | None:
    """Tell in how many seconds rows will be done, at the least and at the most; ``None`` while nothing is known.

    The range is that of the pace, by the ratio estimator and its error (Cochran, Sampling Techniques, chapter 6): it
    narrows as spans become more, however long each is.
    """
    pace = _pace(spans)
    if not pace:
        return None
    count, seconds = len(spans), sum(length for length, _ in spans)
    squares = sum((rows - pace * length) ** 2 for length, rows in spans)
    error = _STANDARD_ERRORS * (squares * count / (count - 1)) ** 0.5 / seconds if count > 1 else pace
    return rows_left / (pace + error), rows_left / max(pace - error, pace * _LEAST_SHARE)


def plan(spans: Sequence[TimedRows], *, rows_left: int, workers: int, dollars_an_hour: float | None) -> Plan | None:
    """Make a plan for the rows that are left, on as many workers; ``None`` while nothing is known."""
    seconds = remaining(spans, rows_left)
    if seconds is None:
        return None
    dollars = None if dollars_an_hour is None else dollars_an_hour * sum(seconds) / 2 / _HOUR
    return Plan(rows_left, workers, _pace(spans), seconds, dollars)


def _pace(spans: Sequence[TimedRows]) -> float:
    seconds = sum(length for length, _ in spans)
    return sum(rows for _, rows in spans) / seconds if seconds else 0.0
