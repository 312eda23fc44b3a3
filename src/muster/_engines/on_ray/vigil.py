"""Who owes a word before anybody can be asked anything, and for how long: a call that Ray loses is never answered."""

import time
from collections import Counter
from collections.abc import Callable
from typing import Final

from muster.errors import EngineError

_SECONDS: Final = 300.0
"""How long a machine that is not ready yet may say nothing.

To load pandas from a cold disk takes a minute, a chunk of what goes along less on any line that is of use. Weighed, not
measured.
"""

_SECONDS_OF_DRIVER: Final = 600.0
"""How long the driver may, which says each half minute that it lives. Nobody can begin anew with it, so it has longer
than machines, which are silent for as long as it is."""

_LONGEST_TURN: Final = 1.0
"""No more than this counts between two turns: who did not listen, or was stopped, has heard nothing of anybody."""

_LOOK_EVERY: Final = 1.0
"""Seconds: an engine hears thousands of messages in one, and there may be a hundred machines to go through."""

_MOST_TIMES: Final = 3
"""So often a machine may be silent for too long, before it is put aside."""


class Vigil:
    """Counts for how long each station has been silent, and the driver, in seconds in which somebody listened."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin to listen."""
        self._clock = clock
        self._last = clock()
        self._listened = 0.0
        self._next_look = 0.0
        self._heard: dict[int, float] = {}
        self._heard_driver = 0.0
        self._times: Counter[str] = Counter()

    def listen(self) -> None:
        """Count the time since the last turn."""
        now = self._clock()
        self._listened += min(now - self._last, _LONGEST_TURN)
        self._last = now

    def is_due(self) -> bool:
        """Tell, once in a while, that it is time to look at who has been silent for too long."""
        if self._listened < self._next_look:
            return False
        self._next_look = self._listened + _LOOK_EVERY
        return True

    def hear_driver(self) -> None:
        """Know that the driver has said something."""
        self._heard_driver = self._listened

    def hear(self, *stations: int) -> None:
        """Know that stations have said something, or that nothing was to be said until now."""
        self._heard.update(dict.fromkeys(stations, self._listened))

    def forget(self, station: int) -> None:
        """Know that a station is gone."""
        self._heard.pop(station, None)

    def check_driver(self) -> None:
        """Raise ``EngineError`` where the driver has been silent for too long."""
        if self._listened - self._heard_driver > _SECONDS_OF_DRIVER:
            raise EngineError(
                f"The cluster's head was reached, and for {_minutes(_SECONDS_OF_DRIVER)} muster has said nothing there:"
                " Ray hangs on it, or the way to it is cut. What was done is kept. Make the cluster again: muster down,"
                " then muster up; then type the same command again."
            )

    def is_over(self, station: int) -> bool:
        """Tell whether a station has been silent for too long."""
        return self._listened - self._heard.get(station, self._listened) > _SECONDS

    def judge(self, machine: str) -> tuple[str, EngineError | None]:
        """Say that a machine was silent for too long; with the error of the run where it was that too often."""
        self._times[machine] += 1
        why = f"it has said nothing for {_minutes(_SECONDS)}, and is not ready"
        if self._times[machine] < _MOST_TIMES:
            return why, None
        return why, EngineError(
            f"No machine is ready. Of the last one, {machine}: {why}, for the {_MOST_TIMES}rd time. Is it busy with"
            " something else, or its memory or disk full? Make the cluster again: muster down, then muster up; then"
            " type the same command again. What was done is kept."
        )


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:g} min"
