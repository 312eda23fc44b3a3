"""Lanes that were cut as they ended workers, and are done once more as a whole. Pure.

Where a step has something to do at the end of a lane, that is done once, with the states of all of its keys. What a
lane was cut into tells which keys end workers, and nothing more.
"""

from collections import defaultdict
from collections.abc import Sequence

from muster._model import LethalKeys, Part, Task

from .cuts import task_of


class CutLanes:
    """What is settled of each lane that was cut."""

    def __init__(self, parts: Sequence[Part]) -> None:
        """Begin with none; each of the ``parts`` is a lane."""
        self._parts = parts
        self._rows: defaultdict[int, int] = defaultdict(int)
        self._lethal: defaultdict[int, list[LethalKeys]] = defaultdict(list)

    def settle(self, piece: Task) -> Task | None:
        """Know that a piece of a lane is settled; give the task of the whole lane once all pieces are."""
        lane = piece.first
        self._rows[lane] += piece.hi - piece.lo
        if piece.condemned:
            self._lethal[lane].append(LethalKeys(piece.lo, piece.hi, piece.condemned))
        if self._rows[lane] < self._parts[lane].rows:
            return None
        del self._rows[lane]
        return task_of(self._parts, lane, lane + 1)._replace(without=tuple(sorted(self._lethal.pop(lane, ()))))
