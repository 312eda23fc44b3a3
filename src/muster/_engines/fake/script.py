"""What happens to the requests of a fake engine."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Script:
    """Who dies or fails of a request, how long it takes, and after how many answers the engine ends."""

    kills: Callable[[object], bool]
    kills_on: Callable[[str, object], bool]
    fails_on: Callable[[str, object], Exception | None]
    seconds: Callable[[Any], float]
    slowness: Callable[[str], float]
    fails_after: int | None

    def kills_a_worker(self, machine: str, request: object) -> bool:
        """Tell whether a request ends its worker on a machine."""
        return self.kills(request) or self.kills_on(machine, request)

    def duration(self, machine: str, request: object) -> float:
        """Tell how many seconds a request takes on a machine."""
        return self.seconds(request) * self.slowness(machine)

    def ends_after(self, answers: int) -> bool:
        """Tell whether the engine has ended, after so many answers."""
        return self.fails_after is not None and answers >= self.fails_after
