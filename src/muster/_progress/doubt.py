"""Decide whether a function fails on every row: then it is to blame, and no row is rejected."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from muster._model import Fault, Task

from .cuts import condemned

_DEATH: Final = ("death",)
_CURE_OF_DEATH: Final = (
    "Each time it ended the process that it ran in: by os._exit, a crash in a library, its memory, or a time limit."
    " Call it with a few rows in plain Python (python -X faulthandler shows where it crashes)."
)
_EVERYWHERE: Final = (0.999, 0.5, 0.25)
"""Places in the waiting input, from 0 to 1, to try before the function is blamed: bad rows may stand together."""

_FEWEST_DEATHS: Final = 3
"""At so many places before the function is blamed, as ``_EVERYWHERE`` names."""

_FEWEST_LATER: Final = 11
"""Rows of an epoch before the function is blamed that did earlier ones: up to 10 bad rows are allowed in any file."""


@dataclass(slots=True)
class Doubt:
    """Holds back tasks that failed as a whole, until one row succeeds or two fail in different ways."""

    is_open: bool = True
    has_worked: bool = False
    """The function did rows of earlier epochs: so a few that fail alike are bad rows, all of many are an outage."""
    faults: list[Fault] = field(default_factory=list)
    _held: list[Task] = field(default_factory=list)
    _places: list[int] | None = None

    def hold(self, task: Task, fault: Fault) -> list[Task]:
        """Hold back a task that failed as a whole; return the tasks to do row by row, if the doubt is over."""
        if not self.is_open:
            return [task]
        self._held.append(task)
        self.faults.append(fault)
        return self.dismiss() if fault.sort != self.faults[0].sort else []

    def hold_death(self, row: Task, reason: str, *, deaths: int) -> list[Task]:
        """Keep a row that kills every worker; give back what is to be done after all."""
        fault = Fault("", _DEATH, reason, "", _CURE_OF_DEATH, rows=1, fewest=_FEWEST_DEATHS)
        return self.hold(condemned(row, reason, deaths=deaths), fault)

    def put_off(self, tasks: Iterable[Task]) -> None:
        """Keep tasks out of which rows are tried first."""
        self._held += tasks

    @property
    def is_asking(self) -> bool:
        """Tell whether tasks are kept until it is known whether a row by itself can be done."""
        return bool(self._held)

    @property
    def count(self) -> int:
        """Count the tasks that are kept."""
        return len(self._held)

    @property
    def is_about_deaths(self) -> bool:
        """Tell whether it is the deaths of workers that are doubtful."""
        return bool(self.faults) and self.faults[0].sort == _DEATH

    def dismiss(self) -> list[Task]:
        """End the doubt, as some row succeeded; return the tasks that were held back, to do row by row."""
        self.is_open = False
        held, self._held, self.faults = self._held, [], []
        return held

    def let_go(self) -> list[Task]:
        """Give back what was put off, where what was tried of it was neither good nor a fault."""
        held, self._held = self._held, []
        return held

    def places(self, waiting: Iterable[int]) -> list[int]:
        """List the parts to try next, chosen once from those that wait; the caller removes each that it tries."""
        if self._places is None:
            parts = list(waiting)
            if not parts:
                return []
            self._places = sorted({parts[int(share * len(parts))] for share in _EVERYWHERE})
        return self._places

    def verdict(self, *, rows: int) -> Fault | None:
        """Sum up how the function failed in all places; ``None`` if too few rows were tried to blame it.

        ``rows`` is how many the input has: few are enough where they are all, unless each ended its worker.
        """
        if self.has_worked and rows < _FEWEST_LATER:
            return None
        fault = self.faults[0]._replace(rows=sum(fault.rows for fault in self.faults))
        is_all = fault.rows == rows and not self.is_about_deaths
        return fault if is_all or fault.rows >= fault.fewest else None
