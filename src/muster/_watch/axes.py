"""The scale beside a chart: it ends at a round number."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

_ROUND: Final = (1.0, 1.2, 1.6, 2.0, 2.4, 3.2, 4.0, 6.0, 8.0, 10.0)


def nice(most: float) -> float:
    """Find the least round number, whose quarters are round as well, that is at least as large."""
    if most <= 0 or not math.isfinite(most):
        return 1.0
    power = 10.0 ** math.floor(math.log10(most))
    return next(one * power for one in _ROUND if one * power >= most * (1 - 1e-9))


@dataclass(frozen=True, slots=True)
class Axis:
    """A scale from 0 to its top, and how its numbers are written."""

    top: float
    written: Callable[[float], str]

    def labels(self) -> list[str]:
        """Write the numbers from the top down, one a quarter."""
        return [self.written(self.top * at / 4) for at in range(4, -1, -1)]
