"""Notice that a run stands still: rows wait, whoever could do them is idle, and nobody is given anything."""

from collections.abc import Mapping
from typing import Final

from muster._model import Slots
from muster._progress.progress import Progress
from muster.errors import FaultError

from .stage import Stage

_TURNS: Final = 10
"""So many turns of the loop in a row, a second where no message comes: in one turn a doubt may just have ended."""


class Standstill:
    """Counts the turns of a loop in which nothing is under way, though there is work and everybody is idle.

    That nobody is there, or that a worker takes long, is none: then there is somebody to wait for.
    """

    def __init__(self) -> None:
        """Begin with none."""
        self._turns = 0

    def check(self, progress: Progress, slots: Mapping[str, Slots], stage: Stage) -> None:
        """Look once a turn, behind what was handed out for these slots. Raises ``FaultError`` instead of going on."""
        self._turns = self._turns + 1 if progress.stands_still(slots) else 0
        if self._turns >= _TURNS:
            facts = f"stage {stage.number + 1}; {progress.facts()}; idle: {', '.join(sorted(slots))}"
            raise FaultError(
                f"Rows wait, everybody is idle, and nobody is given any ({facts}). This is a fault of muster; please"
                " report it. What was done is kept: type the same command again to go on.",
                facts,
            )
