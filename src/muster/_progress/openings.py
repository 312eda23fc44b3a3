"""Which machines take requests now, and which of them gets the next one. Pure."""

from collections.abc import Callable, Collection, Iterator, Mapping
from itertools import repeat

from muster._model import Slots


class Openings:
    """Slots that are given away one by one: those of idle workers first, in turn to each of the fastest machines."""

    def __init__(
        self,
        slots: Mapping[str, Slots],
        *,
        pace: Callable[[str], float] = lambda _: 0.0,
        without: Collection[str] = (),
        now: float = 0.0,
    ) -> None:
        """Begin with all of them, but for machines that are to get nothing more. ``now``: when that is."""
        self.now = now
        self._slots = slots
        self._pace = pace
        self._without = without
        self._idle: list[str] | None = None
        self._ahead: Iterator[str] | None = None

    def idle(self, avoid: Collection[str] = ()) -> str | None:
        """Give away an idle worker on a machine that is not to be avoided, if there is one."""
        idle = self._all_idle()
        if not idle or not avoid:
            return idle.pop() if idle else None
        for at in range(len(idle) - 1, -1, -1):
            if idle[at] not in avoid:
                return idle.pop(at)
        return None

    def has_idle(self) -> bool:
        """Tell whether a worker is idle still."""
        return bool(self._all_idle())

    def ahead(self) -> str | None:
        """Give away what a busy worker does next."""
        if self._ahead is None:
            self._ahead = self._all_ahead()
        return next(self._ahead, None)

    def _all_ahead(self) -> Iterator[str]:
        """Go through machines with busy workers as far as is needed: there may be thousands.

        What waits behind the first task of a machine may wait for long: it may load.
        """
        for machine, (_, ahead) in self._slots.items():
            if ahead and machine not in self._without and self._pace(machine):
                yield from repeat(machine, ahead)

    def _all_idle(self) -> list[str]:
        if self._idle is None:
            self._idle = self._in_turn()
        return self._idle

    def _in_turn(self) -> list[str]:
        """List machines with idle workers, the one that is next last: each once, then again those that have more."""
        free = [(machine, idle) for machine, (idle, _) in self._slots.items() if idle and machine not in self._without]
        if len(free) <= 1:  # as most often, where workers are many
            return [machine for machine, idle in free for _ in range(idle)]
        free.sort(key=lambda one: self._pace(one[0]))
        most = max(idle for _, idle in free)
        return [machine for turn in range(1, most + 1) for machine, idle in free if idle >= turn]
