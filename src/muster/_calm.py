"""Tell who watches a run what is new, and not too often."""

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
    """Pass on what is new: a phase or a note at once, anything else in time, and at the end what was held back."""
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
        told = self._told
        if told is not None and not snapshot.note and _is_as(snapshot, told):
            self._held = None
        elif (
            told is None or snapshot.note or snapshot.phase != told.phase or self._clock() - self._at >= _AT_MOST_EVERY
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


def _is_as(one: Snapshot, other: Snapshot) -> bool:
    """Tell whether nothing but time, which goes on in any case, is another."""
    return dataclasses.replace(one, worker_seconds=0.0, note="") == dataclasses.replace(
        other, worker_seconds=0.0, note=""
    )
