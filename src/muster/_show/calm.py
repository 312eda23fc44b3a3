"""Limit how often ``watch`` is called."""

import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterator
from typing import Final

from muster._job import Snapshot

_AT_MOST_EVERY: Final = 0.25
"""Seconds between two calls: more often, nobody reads what is printed."""

Watch = Callable[[Snapshot], None]


@contextlib.contextmanager
def calmed(watch: Watch | None, *, clock: Callable[[], float] = time.monotonic) -> Iterator[Watch]:
    """Pass on a new phase or a note at once, anything else after a pause, and what was held back at the end."""
    if watch is None:
        yield lambda _: None
        return
    calm = _Calm(watch, clock)
    yield calm
    calm.catch_up()


class _Calm:
    def __init__(self, watch: Watch, clock: Callable[[], float]) -> None:
        self._watch = watch
        self._clock = clock
        self._told: Snapshot | None = None
        self._at = 0.0
        self._held: Snapshot | None = None

    def __call__(self, snapshot: Snapshot) -> None:
        last = self._told
        if last is not None and not snapshot.note and _is_as(snapshot, last):
            self._held = None
        elif (
            last is None or snapshot.note or snapshot.phase != last.phase or self._clock() - self._at >= _AT_MOST_EVERY
        ):
            self._tell(snapshot)
        else:
            self._held = snapshot

    def catch_up(self) -> None:
        """Tell what was held back."""
        if self._held is not None:
            self._tell(self._held)

    def _tell(self, snapshot: Snapshot) -> None:
        self._told, self._at, self._held = snapshot, self._clock(), None
        self._watch(snapshot)


def _is_as(snapshot: Snapshot, other: Snapshot) -> bool:
    """Tell whether nothing differs but the workers' time, which always grows."""
    return dataclasses.replace(snapshot, worker_seconds=0.0, note="") == dataclasses.replace(
        other, worker_seconds=0.0, note=""
    )
