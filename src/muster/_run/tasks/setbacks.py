"""What becomes of tasks that raised: they are tried again, elsewhere or later, as long as no row can be to blame."""

from collections.abc import Callable
from typing import Final

from muster._engines.base import Failed
from muster._progress.actions import Action
from muster._progress.progress import Progress
from muster._run.asking.questions import as_muster_error
from muster._run.asking.transient import DISK_IS_FULL, Deferred, has_no_room, may_pass, pause_after
from muster._run.telling.observer import Observer
from muster._words import text_of

_MEMORY_RAN_OUT: Final = "memory ran out"


class Setbacks:
    """Takes tasks back that memory ran out for, or that could not be read or written where they were."""

    def __init__(
        self,
        observer: Observer,
        *,
        has_own_disks: bool,
        put_aside: Callable[[str, str], None],
        tell: Callable[[str], None],
    ) -> None:
        """``has_own_disks``: each machine writes to one of its own. ``put_aside`` is given a machine, and why."""
        self._observer = observer
        self._has_own_disks = has_own_disks
        self._put_aside = put_aside
        self._tell = tell
        self._later = Deferred[int]()
        self._told: set[tuple[str, str]] = set()

    def failed(self, progress: Progress, message: Failed) -> list[Action]:
        """Take a task back. Raises ``MusterError`` where another try would be in vain."""
        if not progress.is_running(message.ticket):
            return []
        ticket, error, machine = message.ticket, message.error, self._observer.there.machine_of(message.worker)
        if isinstance(error, MemoryError):
            self._observer.lost(ticket, _MEMORY_RAN_OUT)
            return progress.lost(ticket, _MEMORY_RAN_OUT, began=True, machine=machine)
        if not may_pass(error):
            raise as_muster_error(error, machine)
        if has_no_room(error):
            if not self._has_own_disks or not self._is_aside(progress, machine, f"{DISK_IS_FULL} ({text_of(error)})"):
                raise as_muster_error(error, machine)
            self._observer.lost(ticket, DISK_IS_FULL)
            return progress.lost(ticket, DISK_IS_FULL, began=False, machine=machine)
        pause = pause_after(error, progress.set_back(ticket, machine))
        if pause is None:
            raise as_muster_error(error, machine)
        self._observer.lost(ticket, f"it could not be read or written: {text_of(error)}")
        self._tell_once(machine, text_of(error))
        self._later.add(ticket, seconds=pause)
        return []

    def _is_aside(self, progress: Progress, machine: str, why: str) -> bool:
        """Put a machine aside, once; tell whether it is, or has to stay, as the last one that is fit for work."""
        if machine in progress.unfit:
            return True
        if not progress.put_aside(machine):
            return False
        self._put_aside(machine, why)
        return True

    def _tell_once(self, machine: str, error: str) -> None:
        if (machine, error) not in self._told:
            self._told.add((machine, error))
            self._tell(f"on machine {machine}: {error.removesuffix('.')}. What failed is tried again")

    def seconds_left(self, most: float) -> float:
        """Tell in how many seconds the next pause is over, or ``most``."""
        return min(self._later.seconds_left(), most)

    def due(self, progress: Progress) -> list[Action]:
        """Take back those whose pause is over: only then are they no longer running."""
        return [action for ticket in self._later.take() for action in progress.lost(ticket, "", began=False)]

    def forget(self, progress: Progress) -> None:
        """Take none back: all that runs is going to be done anew."""
        for ticket in self._later.take_all():
            progress.failed(ticket)
