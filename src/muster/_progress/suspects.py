"""Who is to blame when a task fails: its rows, or the machine that it was on."""

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from muster._model import Task

_FAILURES_IN_A_ROW: Final = 3
"""Tasks that failed on one machine, and were done by another: two may be chance."""

Key = tuple[int, int, int]
"""What names a task by its rows, however often it is done."""


def name_of(task: Task) -> Key:
    """Name a task: by its first part, and where its rows begin and end."""
    return task.first, task.lo, task.hi


class Setback(NamedTuple):
    """A task could not be done where it was, and its rows are not to blame: how often, and whether others are left."""

    times: int
    is_elsewhere_untried: bool


@dataclass(slots=True)
class Suspects:
    """Tasks that failed, and where. A task is to blame that fails on two machines, or on the only one that there is.

    A machine is to blame after three failures in a row, of tasks that then succeeded on others.
    """

    machines: frozenset[str] = frozenset()
    """Those that are at work."""
    taking: Collection[str] | None = None
    """Those that took something when work was handed out last. One that an engine drains takes nothing from then on,
    and counts as at work until it has said that it left."""
    _failed_on: dict[Key, set[str]] = field(default_factory=dict)
    _set_back_on: dict[Key, set[str]] = field(default_factory=dict)
    """Machines that could not read or write for a task: that says nothing of its rows."""
    _setbacks: dict[Key, int] = field(default_factory=dict)
    _guilty: set[Key] = field(default_factory=set)
    """Tasks that are known to be to blame, as then are their halves: what fails in them is no machine's fault."""
    _failures: dict[str, int] = field(default_factory=dict)
    unfit: set[str] = field(default_factory=set)
    """Those that are put aside."""

    def is_to_blame(self, task: Key, machine: str) -> bool:
        """Know that a task failed on a machine; tell whether that is enough, or it must be tried on another."""
        if task in self._guilty:
            return True
        failed_on = self._failed_on.setdefault(task, set())
        failed_on.add(machine)
        if len(failed_on) == 1 and self.machines - self.unfit - failed_on:
            return False
        del self._failed_on[task]
        self._guilty.add(task)
        return True

    def set_back(self, task: Key, machine: str) -> Setback:
        """Know that a machine could not read or write what a task needs: only the machine can be to blame."""
        set_back_on = self._set_back_on.setdefault(task, set())
        set_back_on.add(machine)
        times = self._setbacks[task] = self._setbacks.get(task, 0) + 1
        return Setback(times, bool(self.machines - self.unfit - set_back_on))

    def inherit(self, task: Key, half: Key) -> None:
        """Know that one task is a half of another."""
        if task in self._guilty:
            self._guilty.add(half)

    def avoid(self, task: Key) -> frozenset[str]:
        """Name the machines that a task must not be on: those where it has failed, while there are others."""
        if not (self._failed_on or self._set_back_on):
            return frozenset()
        avoided = frozenset(self._failed_on.get(task, ())) | frozenset(self._set_back_on.get(task, ()))
        return avoided if self.machines - self.unfit - avoided else frozenset()

    def put_aside(self, machine: str) -> bool:
        """Put a machine aside, unless it is the last that is fit for work; tell whether it is aside now."""
        others = self.machines - self.unfit - {machine}
        if machine in self.unfit or (others if self.taking is None else others.intersection(self.taking)):
            self.unfit.add(machine)
            return True
        return False

    def __bool__(self) -> bool:
        """Tell whether a task or a machine has failed, and nothing has come of that yet."""
        return bool(self._failed_on or self._set_back_on or self._failures)

    def done(self, task: Key, machine: str) -> list[str]:
        """Know that a task was done on a machine; name the machines that are now known to be to blame."""
        self._failures.pop(machine, None)
        if not (task in self._failed_on or task in self._set_back_on):
            return []
        self._setbacks.pop(task, None)
        suspects = self._failed_on.pop(task, set()) | self._set_back_on.pop(task, set())
        guilty = suspects - {machine} - self.unfit
        for one in guilty:
            self._failures[one] = self._failures.get(one, 0) + 1
        blamed = sorted(one for one in guilty if self._failures[one] >= _FAILURES_IN_A_ROW)
        return [one for one in blamed if self.put_aside(one)]
