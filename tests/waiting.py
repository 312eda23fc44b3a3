"""Wait for what other processes do."""

from collections.abc import Callable
from threading import Event
from time import monotonic


def until(condition: Callable[[], object], seconds: float = 120.0) -> None:
    """Poll until something is so; a deadline, not a pause, so that a slow machine is no failure."""
    deadline = monotonic() + seconds
    while not condition():
        assert monotonic() < deadline, "it did not happen in time"
        Event().wait(0.01)
