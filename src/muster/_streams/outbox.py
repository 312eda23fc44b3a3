"""What a stream sends over TCP: parts that wait in its work folder until the receiver has them.

The name of a part says how many rows of the stream come before it, and how many it has. So what lies in the folder is
all that is to be known, whoever has died: a part comes when its epoch is committed, and goes when it is acknowledged.
"""

import asyncio
import contextlib
import re
import threading
import time
from collections.abc import Iterator, Sequence
from itertools import takewhile
from pathlib import Path
from typing import Final, NamedTuple

from muster._files.whole import sync, write
from muster._journal.events import Committed
from muster._model import Source
from muster._output.folder import WorkFolder
from muster._output.numbered import NumberedParts, lost
from muster._private.files import remove_all, work_folder
from muster._words.numbers import count, plural
from muster.errors import EngineError, UsageError

from .outgoing import FileRows

_NAME: Final = re.compile(r"(\d+)-(\d+)")
_HEADER: Final = "header"
"""A file that is there once a part was: the header of all parts, also when they are gone; empty for JSON lines."""

_UNREAD: Final = 8 << 20
"""Bytes that a receiver may have got and not read, as far as its system keeps them: Linux does 6 MiB at the most."""


class _Part(NamedTuple):
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

    def __init__(self, parts: Sequence[_Part] = ()) -> None:
        self._parts = {part.before: part for part in parts}
        self.size = sum(part.size for part in parts)
        """How many bytes they have."""

    def add(self, part: _Part) -> None:
        """Know of one behind all others."""
        self._parts[part.before] = part
        self.size += part.size

    def at(self, before: int) -> _Part | None:
        """Find the one that so many rows of the stream come before."""
        return self._parts.get(before)

    def first(self, *, but_for: int) -> _Part | None:
        """Find the first one that has rows behind so many."""
        return next((part for part in self._parts.values() if part.behind > but_for), None)

    def within(self, rows: int) -> list[_Part]:
        """List those whose rows are all among so many; those behind are not looked at."""
        return [*takewhile(lambda part: part.behind <= rows, self._parts.values())]

    def forget(self, parts: Sequence[_Part]) -> None:
        for part in parts:
            del self._parts[part.before]
            self.size -= part.size


class Outbox(NumberedParts):
    """Parts that wait, and the rows in them. The stream's thread adds; the sender's reads and frees."""

    def __init__(self, work: WorkFolder, *, delimiter: str, has_header: bool) -> None:
        """Know how parts are written, without a ``delimiter`` as JSON lines; nothing is made or read yet."""
        super().__init__(work)
        self.stream = ""
        self.header: bytes | None = None
        """That of CSV, once there has been a row."""
        self._place = work.outbox
        self._format = "csv" if delimiter else "jsonl"
        self._delimiter = delimiter
        self._has_header = has_header
        self._lock = threading.Lock()
        self._waiting = _Waiting()
        self._done = 0
        """How many rows are in epochs that are committed."""
        self._is_ending = False
        self._has_come = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    # For the stream

    def check_free(self, *, but_for_own: bool = False) -> None:
        """Raise ``UsageError`` likewise where a stream begins, and rows wait that another one was to send."""
        super().check_free(but_for_own=but_for_own)
        if not but_for_own and any(self._place.glob("*-*")):
            raise UsageError(
                f"{str(self._place)!r} holds rows that were not acknowledged, and the journal of their stream is not"
                " there any more. Restore that; or type the command again with --fresh, which removes these rows and"
                " starts over."
            )

    def remove(self) -> None:
        """Remove the rejects of an earlier stream, and the rows that it was to send."""
        super().remove()
        remove_all(self._place)

    def publish(self, committed: Committed, *, is_new: bool) -> None:
        """Have what an epoch adds wait to be sent, unless that has been done.

        Raises ``EngineError`` where it is gone. Of an epoch that an earlier process has committed, ``open`` tells that:
        its part may have been sent and acknowledged.
        """
        self._publish_rejects(committed)
        if not committed.part:
            return
        if (sealed := self._work.sealed / committed.part).exists():
            before = committed.totals.rows_out - committed.rows_out
            path = work_folder(self._place) / f"{before:015}-{committed.rows_out}.{self._format}"
            sealed.replace(path)
            self._see(path)
            sync(self._place)
            with self._lock:
                self._done = committed.totals.rows_out
                self._waiting.add(_part(path))
            self._ring()
        elif is_new and self.stream:
            raise lost(sealed)

    def _see(self, path: Path) -> None:
        """Keep the header of a part: who is told that the stream has ended hears it, though no part may wait."""
        if not self.has_begun:
            self.header = self._rows(path).header
            write(self._place / _HEADER, self.header or b"", durable=True)

    def open(self, stream: str, *, done: int) -> None:
        """Take what waits of a stream of so many rows. Raises ``EngineError`` where some of it is gone."""
        parts = sorted(_part(path) for path in self._place.glob("*-*") if _NAME.fullmatch(path.stem))
        if parts:
            self._see(parts[0].path)
        if self._has_header and self.has_begun:
            self.header = (self._place / _HEADER).read_bytes()
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
        self._is_ending = True
        self._ring()

    @property
    def has_begun(self) -> bool:
        """Tell whether there has been a row, and so it is known what a row looks like."""
        return (self._place / _HEADER).exists()

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

    def _ring(self) -> None:
        with self._lock:
            if self._loop is None:
                self._has_come.set()
                return
        with contextlib.suppress(RuntimeError):  # the sender has ended
            self._loop.call_soon_threadsafe(self._has_come.set)

    # For the sender

    def batches(self, after: int) -> tuple[int, Iterator[list[bytes] | None]]:
        """Go through the rows from the part on that has the one behind ``after``; ``None`` where more may come."""
        with self._lock:
            part = self._waiting.first(but_for=after)
            first = part.before if part else self._done
        return first, self._from(first)

    def _from(self, first: int) -> Iterator[list[bytes] | None]:
        while True:
            is_last = self._is_ending  # before a look at what is there, which may come until then
            with self._lock:
                part = self._waiting.at(first)
            if part is not None:
                yield from self._whole(part)
                first = part.behind
            elif is_last:
                return
            else:
                yield None

    def _whole(self, part: _Part) -> Iterator[list[bytes]]:
        """Read the rows of a part. Raises ``EngineError`` where they are others than it had."""
        there = 0
        for rows in self._rows(part.path).rows():
            there += len(rows)
            if rows:
                yield rows
        if there != part.rows:
            raise EngineError(
                f"{str(part.path)!r} has {plural(there, 'row')}, and had {count(part.rows)}: somebody has changed it."
                " Restore it; or type the command again with --fresh, to start over."
            )

    def _rows(self, path: Path) -> FileRows:
        found = path.stat()
        source = Source(str(path), found.st_size, str(found.st_mtime_ns), self._format)
        return FileRows([source], delimiter=self._delimiter, has_header=self._has_header)

    async def begun(self) -> bool:
        """Return once there is a header, where rows have one, or the stream ends without a row."""
        while self._has_header and self.header is None and not self._is_ending:
            await self.more()
        return self.header is not None or not self._has_header

    async def more(self) -> None:
        """Return once there may be more rows."""
        with self._lock:
            self._loop = asyncio.get_running_loop()
        await self._has_come.wait()
        self._has_come.clear()

    def free(self, safe: int) -> None:
        """Remove the parts whose rows are all among so many; the receiver has them."""
        with self._lock:
            gone = self._waiting.within(safe)
            self._waiting.forget(gone)
        for part in gone:
            part.path.unlink(missing_ok=True)

    def free_what_is_read(self, sent: int) -> None:
        """Remove parts of which so much was sent behind them that a receiver that tells nothing must have read them."""
        with self._lock:
            parts = self._waiting.within(sent)
        unread = 0
        while parts and unread < _UNREAD:
            unread += parts.pop().size
        if parts:
            self.free(parts[-1].behind)


def _part(path: Path) -> _Part:
    match = _NAME.fullmatch(path.stem)
    assert match is not None  # noqa: S101 (so it is named)
    return _Part(path, int(match[1]), int(match[2]), path.stat().st_size, time.monotonic())
