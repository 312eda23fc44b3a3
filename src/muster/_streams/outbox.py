"""What a stream gives to others: parts that wait in its work folder until the other end has them.

The name of a part says how many rows of the stream come before it, and how many it has. So what lies in the folder is
all that is to be known, whoever has died: a part comes when its epoch is committed, and goes when it is acknowledged.
"""

import os
import re
import shutil
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path
from typing import Final, NamedTuple

from muster._files.whole import naming, sync
from muster._journal.events import Committed
from muster._output.folder import WorkFolder
from muster._output.numbered import lost
from muster.errors import EngineError

_NAME: Final = re.compile(r"(\d+)-(\d+)")

WAITING: Final = "[0-9]*-*"
"""What those are called that wait, among the files of an outbox."""


class OutboxPart(NamedTuple):
    """A part that waits."""

    path: Path
    before: int
    """How many rows of the stream come before it."""
    rows: int
    size: int
    since: float
    """When it came, by the clock of this process."""

    @property
    def behind(self) -> int:
        """Count the rows up to its end."""
        return self.before + self.rows


class _Waiting:
    """Parts that are not acknowledged, in order; a receiver that was away for a day has left a hundred thousand."""

    def __init__(self, parts: Sequence[OutboxPart] = ()) -> None:
        self._parts = {part.before: part for part in parts}
        self.size = sum(part.size for part in parts)
        """How many bytes they have."""

    def add(self, part: OutboxPart) -> None:
        """Know of one behind all others."""
        self._parts[part.before] = part
        self.size += part.size

    def at(self, before: int) -> OutboxPart | None:
        """Find the one that so many rows of the stream come before."""
        return self._parts.get(before)

    def first(self, *, but_for: int) -> OutboxPart | None:
        """Find the first one that has rows behind so many."""
        return next((part for part in self._parts.values() if part.behind > but_for), None)

    def within(self, rows: int) -> list[OutboxPart]:
        """List those whose rows are all among so many; those behind are not looked at."""
        return [*takewhile(lambda part: part.behind <= rows, self._parts.values())]

    def forget(self, parts: Sequence[OutboxPart]) -> None:
        for part in parts:
            del self._parts[part.before]
            self.size -= part.size


class Outbox(ABC):
    """Parts that wait. The stream's thread adds them; that which takes them on frees them."""

    def __init__(self, work: WorkFolder, called: str, *, format_: str) -> None:
        """Know what it is called among those of the stream, and how parts are written; nothing is made or read yet."""
        self.called = called
        self.stream = ""
        self.is_ending = False
        self._sealed = work.sealed
        self._place = work.outbox / called
        self._format = format_
        self._lock = threading.Lock()
        self._waiting = _Waiting()
        self._done = 0
        """How many rows are in epochs that are committed."""

    # For the stream

    def share(self, sealed: Path) -> None:
        """Give a part that is about to be committed a second name, under which only this outbox takes it."""
        own = self._own(sealed.name)
        own.unlink(missing_ok=True)
        try:
            os.link(sealed, own)
        except OSError:  # a file system that gives a file one name
            with naming(own):
                shutil.copyfile(sealed, own)
            sync(own)

    def _own(self, part: str) -> Path:
        return self._sealed / f"{self.called}.{part}"

    def publish(self, committed: Committed, *, is_new: bool) -> None:
        """Have what an epoch adds wait to be sent, unless that has been done.

        Raises ``EngineError`` where it is gone. Of an epoch that an earlier process has committed, ``open`` tells that:
        its part may have been sent and acknowledged.
        """
        if (sealed := self._own(committed.part)).exists():
            before = committed.totals.rows_out - committed.rows_out
            path = self._place / f"{before:015}-{committed.rows_out}.{self._format}"
            sealed.replace(path)
            self._see(path)
            sync(self._place)
            with self._lock:
                self._done = committed.totals.rows_out
                self._waiting.add(_part(path))
            self._ring()
        elif is_new and self.stream:
            raise lost(sealed)

    @abstractmethod
    def _see(self, path: Path) -> None:
        """Look at a part before it waits."""

    def open(self, stream: str, *, done: int) -> None:
        """Take what waits of a stream of so many rows. Raises ``EngineError`` where some of it is gone."""
        parts = sorted(_part(path) for path in self._place.glob(WAITING) if _NAME.fullmatch(path.stem))
        if parts:
            self._see(parts[0].path)
        ends = [part.behind for part in parts]
        if parts and ([part.before for part in parts] != [parts[0].before, *ends[:-1]] or ends[-1] != done):
            raise EngineError(
                f"{str(self._place)!r} lacks rows that were not acknowledged: somebody has removed them. Restore them;"
                " or type the command again with --fresh, to start over."
            )
        self.stream, self._done = stream, done
        self._waiting = _Waiting(parts)

    def end(self) -> None:
        """Know that no more parts come."""
        self.is_ending = True
        self._ring()

    @property
    def size(self) -> int:
        """Count the bytes that wait."""
        return self._waiting.size

    @property
    def done(self) -> int:
        """Count the rows of the stream."""
        return self._done

    @property
    def before(self) -> int:
        """Count the rows that do not wait any more."""
        with self._lock:
            first = self._waiting.first(but_for=-1)
        return first.before if first else self._done

    def waiting(self, safe: int) -> tuple[int, float]:
        """Count the rows behind those that are safe; tell for how many seconds the oldest have waited."""
        with self._lock:
            first, done = self._waiting.first(but_for=safe), self._done
        return (done - max(first.before, safe), time.monotonic() - first.since) if first else (0, 0.0)

    @abstractmethod
    def _ring(self) -> None:
        """Tell who takes parts on that there may be another one, or no more come."""

    # For whoever takes rows on

    def next(self, after: int) -> OutboxPart | None:
        """Find the part that begins behind so many rows."""
        with self._lock:
            return self._waiting.at(after)

    def free(self, safe: int) -> None:
        """Remove the parts whose rows are all among so many; the receiver has them."""
        with self._lock:
            gone = self._waiting.within(safe)
            self._waiting.forget(gone)
        for part in gone:
            part.path.unlink(missing_ok=True)


def _part(path: Path) -> OutboxPart:
    match = _NAME.fullmatch(path.stem)
    assert match is not None  # noqa: S101 (so it is named)
    return OutboxPart(path, int(match[1]), int(match[2]), path.stat().st_size, time.monotonic())
