"""Epochs in turn: each is taken, done and committed.

While the tasks of a large one are done, the one before is committed, and the next is taken: so workers wait neither for
the disk nor for what is read. Of those that are not committed, the journal says of the first that it was begun. A
process that goes on does that again, and takes what comes behind it anew.
"""

import time
from collections.abc import Callable, Sequence
from threading import Event, Lock
from typing import Final

from muster._journal.events import EpochBegan
from muster._journal.file import Journal
from muster._streams.arrivals import Behind
from muster._streams.epochs import Epoch
from muster._streams.source import EpochSource
from muster.errors import DataError

from .epochs import Epochs, Worked

_LARGE: Final = 4 << 20
"""How many bytes an epoch has, at least, beside which the next is taken. A small one is committed first: the next then
has all rows that have come by then, so that none waits for two."""

_JOURNAL_BYTES: Final = 4 << 20
"""How large the journal grows at least until it is written anew."""


class Turns:
    """Has epochs done. All but what it does beside their tasks is called by one thread."""

    def __init__(  # noqa: PLR0913 (each is given by its name)
        self,
        epochs: Epochs,
        source: EpochSource,
        journal: Journal,
        *,
        every: float,
        has_room: Callable[[], bool],
        write_anew: Callable[[], None],
    ) -> None:
        """``every`` seconds one may begin. ``has_room`` tells whether the next may be taken beside one.

        ``write_anew`` has the journal say what must be known, and no more.
        """
        from concurrent.futures import ThreadPoolExecutor

        self._epochs = epochs
        self._source = source
        self._journal = journal
        self._every = every
        self._has_room = has_room
        self._write_anew = write_anew
        self.due = 0.0
        """When the next epoch may be taken."""
        self.committed_at: float | None = None
        self._ready: Worked | None = None
        """An epoch whose tasks are done, and that is not committed."""
        self._next: Epoch | None = None
        """One that was taken beside the tasks of the one before."""
        self._beside = ThreadPoolExecutor(1, thread_name_prefix="muster-epochs")
        self._is_worked = Event()
        self._at_source = Lock()
        self._behind = Behind(0, 0, 0.0)

    def close(self) -> None:
        """End the thread that works beside tasks, once it has nothing to do."""
        self._beside.shutdown()

    @property
    def committed(self) -> int:
        """Count the epochs that are committed."""
        return self._epochs.past.totals.epochs - (self._ready is not None)

    def behind(self) -> Behind:
        """Tell what is in no epoch that is committed; or what was a moment ago, while the source is read."""
        if self._at_source.acquire(blocking=False):
            try:
                self._behind = self._source.behind()
            finally:
                self._at_source.release()
        return self._behind

    def take(self, *, now: bool) -> Epoch | None:
        """Take the next epoch, if one is due, or is to be taken ``now``; ``None`` where nothing has come.

        Raises ``DataError`` where it has other columns than those before.
        """
        epoch, self._next = self._next, None
        if epoch is None and (now or time.monotonic() >= self.due):
            epoch = self._taken(self._epochs.past.totals.epochs + 1)
        if epoch is not None:
            try:
                self._epochs.check_columns(epoch)
            except DataError:
                self.commit()
                raise
        return epoch

    def _taken(self, number: int) -> Epoch | None:
        with self._at_source:
            epoch = self._source.take(number)
        if epoch is not None:
            self.due = time.monotonic() + self._every / self._source.turns
        return epoch

    def do(self, epoch: Epoch) -> None:
        """Have an epoch done; a small one is committed, too."""
        is_large = sum(stretch.bytes for stretch in epoch.stretches) >= _LARGE
        if self._epochs.log is not None or not (is_large and self._epochs.teller.workers) or self._is_journal_long:
            self.commit()
            self._epochs.teller.record.write(EpochBegan(epoch.number, epoch.stretches))
            self.do_again(epoch)
            return
        self._is_worked.clear()
        beside = self._beside.submit(self._do_beside, epoch)
        try:
            worked = self._epochs.work(epoch)
        finally:
            self._is_worked.set()
            self._count(beside.result())
        self._ready = worked

    def do_again(self, epoch: Epoch) -> None:
        """Have an epoch done, and committed, of which the journal says that it was begun."""
        self._ready = self._epochs.work(epoch)
        self.commit()

    def _do_beside(self, epoch: Epoch) -> Sequence[tuple[float, int]]:
        """Commit the epoch before one whose tasks are done, and take the next, if it is due until they are done."""
        waits = self._committed()
        self._epochs.teller.record.write(EpochBegan(epoch.number, epoch.stretches))
        is_late = self._is_worked.wait(max(self.due - time.monotonic(), 0.0))
        if self._has_room() and not (is_late or self._is_journal_long):
            self._next = self._taken(epoch.number + 1)
        return waits

    @property
    def _is_journal_long(self) -> bool:
        return self._journal.is_long(least=_JOURNAL_BYTES)

    def commit(self) -> bool:
        """Commit the epoch whose tasks are done; tell whether there was one."""
        is_ready = self._ready is not None
        self._count(self._committed())
        if self._is_journal_long:
            self._write_anew()
        return is_ready

    def _committed(self) -> Sequence[tuple[float, int]]:
        """Commit it; tell for how long its rows had waited, and how many for so long."""
        if (worked := self._ready) is None:
            return ()
        self._epochs.commit(worked)
        self._ready = None
        now, self.committed_at = time.monotonic(), time.time()
        with self._at_source:
            return [(now - since, rows) for rows, since in self._source.forget(worked.epoch)]

    def _count(self, waits: Sequence[tuple[float, int]]) -> None:
        for seconds, rows in waits:
            self._epochs.teller.observer.stream.waits.add(seconds, rows)
