"""What the rounds of a job add up to: medians, and medians of what two peers took in the same round.

The machine's speed drifts, so that what is compared is compared within a round.
"""

from collections.abc import Callable
from statistics import median
from typing import Any

Results = dict[str, Any]


def seconds(job: Results, peer: str) -> float | None:
    """Tell a peer's median, if it was timed."""
    found = job["peers"].get(peer, {}).get("seconds")
    return float(median(found)) if found else None


def times(job: Results, peer: str, other: str = "muster") -> float | None:
    """Tell how many times the other's time a peer took."""
    return _compared(job, peer, other, lambda theirs, mine: theirs / mine)


def more(job: Results, peer: str, other: str) -> float | None:
    """Tell how many seconds more than the other a peer took."""
    return _compared(job, peer, other, lambda theirs, mine: theirs - mine)


def is_right(job: Results, peer: str) -> bool:
    return bool(job["peers"].get(peer, {}).get("state") == "right")


def _compared(job: Results, peer: str, other: str, compare: Callable[[float, float], float]) -> float | None:
    theirs, mine = (job["peers"].get(name, {}).get("seconds", []) for name in (peer, other))
    pairs = list(zip(theirs, mine, strict=False))  # who is far behind runs in the first rounds alone
    return median(compare(*pair) for pair in pairs) if pairs else None
