"""Requests that wait on their station for what they need: threads get it, and workers do something else meanwhile."""

import threading
from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Final, NamedTuple

from .keeping import KeptFiles, Needing

_THREADS: Final = 4
"""How many requests get what they need at a time."""


class Ready(NamedTuple):
    """What a request needs is there, as a file; or it is known why it cannot be."""

    ticket: int
    supply: Path | Exception


class Supplying:
    """Gets what requests need. One thread uses it; ``tell`` is called by others."""

    def __init__(self, kept: KeptFiles, tell: Callable[[Ready], None]) -> None:
        """Have threads wait for requests."""
        self._kept = kept
        self._tell = tell
        self._queue: SimpleQueue[tuple[int, Needing]] = SimpleQueue()
        self._waiting: dict[int, Any] = {}
        """What is known of each request that waits, for when it is ready."""
        self._files: dict[int, Path] = {}
        """Those of requests that workers have."""
        for _ in range(_THREADS):
            threading.Thread(target=self._supply, daemon=True).start()

    def begin(self, ticket: int, needing: Needing, about: object) -> None:
        """Get what a request needs."""
        self._waiting[ticket] = about
        self._queue.put((ticket, needing))

    def withdraw(self, ticket: int) -> bool:
        """Forget a request that waits; tell whether it did."""
        return self._waiting.pop(ticket, None) is not None

    def take(self, ready: Ready) -> Any:  # noqa: ANN401 (what was said of it)
        """Give what was said of a request that is ready; ``None`` where it was withdrawn meanwhile."""
        about = self._waiting.pop(ready.ticket, None)
        if isinstance(ready.supply, Path):
            self._files[ready.ticket] = ready.supply
            if about is None:
                self.end(ready.ticket)
        return about

    def end(self, ticket: int) -> None:
        """Remove what a request has needed."""
        if (path := self._files.pop(ticket, None)) is not None:
            path.unlink(missing_ok=True)

    def _supply(self) -> None:
        while True:
            ticket, needing = self._queue.get()
            try:
                supply: Path | Exception = self._kept.supply(needing)
            except Exception as error:  # noqa: BLE001 (whoever asked is to know)
                supply = error
            self._tell(Ready(ticket, supply))
