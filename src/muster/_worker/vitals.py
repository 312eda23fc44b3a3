"""How a worker and its machine are while tasks are done: processor, memory, disk."""

import contextlib
import os
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from muster._model import Load, Outcomes

_LOAD_EVERY: Final = 1.0
"""Seconds from one look at the machine to the next: nobody is shown more."""

_FIRST_LOOK: Final = 4.0
"""Seconds before the machine is looked at: what it takes to load psutil would be 1% of a second's work."""

_STATM: Final = Path("/proc/self/statm")


class Vitals:
    """Measure this process while it does one task after another; the machine is looked at once a second at most."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin; the machine is looked at some seconds later for the first time, and its load told since then."""
        self._idle_since: float | None = None
        self._clock = clock
        self._next_look = clock() + _FIRST_LOOK
        self._has_looked = False

    def measured(self, work: Callable[[], Outcomes], *, folder: Path) -> Outcomes:
        """Do a task, and put into its first outcome what it took; of disks, the one of ``folder`` counts."""
        began, used = time.perf_counter(), time.process_time()
        waiting = 0.0 if self._idle_since is None else began - self._idle_since
        try:
            outcomes = work()
        finally:
            self._idle_since = time.perf_counter()
        return outcomes.with_first(
            seconds=outcomes.each[0].seconds._replace(waiting=waiting),
            cpu=time.process_time() - used,
            memory=_memory(),
            load=self._load(folder),
        )

    def _load(self, folder: Path) -> Load | None:
        now = self._clock()
        if now < self._next_look:
            return None
        self._next_look = now + _LOAD_EVERY
        import psutil

        busy, had_looked, self._has_looked = psutil.cpu_percent() / 100, self._has_looked, True
        if not had_looked:  # then it is that of no time at all
            return None
        memory, disk = psutil.virtual_memory(), 0
        with contextlib.suppress(OSError):
            disk = psutil.disk_usage(str(folder)).free
        return Load(
            cpu=busy,
            cores=psutil.cpu_count() or 1,
            memory=memory.total - memory.available,
            memory_total=memory.total,
            disk_free=disk,
        )


def _memory() -> int:
    """Tell how many bytes this process holds; where nobody says, how many it held at most."""
    with contextlib.suppress(OSError):
        return int(_STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most << 10
