"""How a worker and its machine are while tasks are done: processor, memory, disk."""

import contextlib
import dataclasses
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import psutil

from muster._model import Load, Outcome

_LOAD_EVERY: Final = 1.0


class Vitals:
    """Measure this process while it does one task after another; the machine is looked at once a second at most."""

    def __init__(self) -> None:
        """Begin; the machine's load is told of the time from now on."""
        self._process = psutil.Process()
        self._idle_since: float | None = None
        self._looked = time.monotonic()
        psutil.cpu_percent()

    def measured(self, work: Callable[[], Outcome], *, folder: Path) -> Outcome:
        """Do a task, and put into its outcome what it took; of disks, the one of ``folder`` counts."""
        began, used = time.perf_counter(), time.process_time()
        waiting = 0.0 if self._idle_since is None else began - self._idle_since
        try:
            outcome = work()
        finally:
            self._idle_since = time.perf_counter()
        return dataclasses.replace(
            outcome,
            seconds=dataclasses.replace(outcome.seconds, waiting=waiting),
            cpu=time.process_time() - used,
            memory=self._process.memory_info().rss,
            load=self._load(folder),
        )

    def _load(self, folder: Path) -> Load | None:
        now = time.monotonic()
        if now - self._looked < _LOAD_EVERY:
            return None
        self._looked = now
        memory, disk = psutil.virtual_memory(), 0
        with contextlib.suppress(OSError):
            disk = psutil.disk_usage(str(folder)).free
        return Load(
            cpu=psutil.cpu_percent() / 100,
            cores=psutil.cpu_count() or 1,
            memory=memory.total - memory.available,
            memory_total=memory.total,
            disk_free=disk,
        )
