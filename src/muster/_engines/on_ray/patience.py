"""Say now and then what is waited for, while no worker has joined."""

import time
from collections.abc import Callable
from typing import Final

_FIRST: Final = 10.0
_AGAIN: Final = 60.0


class Patience:
    """Somebody who says after ten seconds, and then each minute, what is still waited for."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin to wait."""
        self._clock = clock
        self._began = clock()
        self._next = self._began + _FIRST

    def remark(self, awaited: str) -> str:
        """Say it if it is time to; else nothing."""
        now = self._clock()
        if now < self._next:
            return ""
        self._next = now + _AGAIN
        return f"no worker has joined for {now - self._began:.0f} s: {awaited}"
