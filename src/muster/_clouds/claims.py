"""Who changes a cluster, and who works on it: locks in its folder, which the kernel frees with their process."""

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from muster._files import locks
from muster._private.files import private
from muster.errors import UsageError

from .plugged import CLAIMED

_GLANCES: Final = 100
_GLANCE: Final = 0.02
"""How often, and after how many seconds, a cluster is tried to be taken that others only look at."""


class Claims:
    """Two locks in a cluster's folder: of whoever changes the cluster, and of whoever works on it."""

    def __init__(self, folder: Path) -> None:
        """Name the files; nothing is locked yet."""
        self._changing, self._held = (folder / name for name in CLAIMED)

    @contextlib.contextmanager
    def changing(self, refused: str) -> Iterator[None]:
        """Let one command at a time change the cluster. Raises ``UsageError`` where another one does."""
        with open(self._changing, "w", opener=private) as lock:
            try:
                is_ours = locks.lock(lock.fileno()) and locks.is_still(self._changing, lock.fileno())
            except OSError:
                is_ours = False
            if not is_ours:  # another command has it, or a muster down has just removed it
                raise UsageError(refused)
            yield

    @contextlib.contextmanager
    def working(
        self, refused: str, *, telling_of_disk: Callable[[], contextlib.AbstractContextManager[None]]
    ) -> Iterator[None]:
        """Keep others from working on the cluster. Raises ``UsageError``, where ``{holder}`` is who does already."""
        with contextlib.ExitStack() as stack:
            with telling_of_disk():
                lock = stack.enter_context(open(self._held, "a+", opener=private))
                self._take(lock.fileno(), refused)
                lock.truncate(0)
                lock.write(str(os.getpid()))
                lock.flush()
            yield

    def _take(self, lock: int, refused: str) -> None:
        for patience in reversed(range(_GLANCES)):
            if locks.lock(lock):
                return
            holder = self.holder()
            if holder is not None or not patience:
                raise UsageError(refused.format(holder=holder))
            time.sleep(_GLANCE)  # nobody works on it: somebody looks whether anybody does

    def holder(self) -> int | None:
        """Name the process that works on the cluster."""
        with contextlib.suppress(OSError), self._held.open() as lock:
            if not locks.lock(lock.fileno(), shared=True):
                return int(lock.read() or 0)
        return None
