"""Wait for what other processes do."""

from collections.abc import Callable
from threading import Event
from time import monotonic


def until(condition: Callable[[], object], seconds: float = 120.0) -> None:
    """Poll until something is so; a deadline, not a pause, so that a slow machine is no failure.

    To look at all processes, or to run a command, takes time from what is waited for: such a poll waits longer.
    """
    deadline = monotonic() + seconds
    looked_at = monotonic()
    while not condition():
        took = monotonic() - looked_at
        assert monotonic() < deadline, "it did not happen in time"
        Event().wait(min(max(0.01, 2 * took), 0.25))
        looked_at = monotonic()
