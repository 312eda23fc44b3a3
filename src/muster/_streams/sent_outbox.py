"""The outbox of a stream that sends its rows over TCP: the rows of the parts, one by one, behind their header."""

import asyncio
import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from muster._files.whole import write
from muster._model import Source
from muster._output.folder import WorkFolder
from muster._words.numbers import count, plural
from muster.errors import EngineError

from .outbox import Outbox, OutboxPart
from .outgoing import FileRows
from .values import payload_of

_HEADER: Final = "header"
"""A file that is there once a part was: the header of all parts, also when they are gone; empty for JSON lines."""

_UNREAD: Final = 8 << 20
"""Bytes that a receiver may have got and not read, as far as its system keeps them: Linux does 6 MiB at the most."""


class SentOutbox(Outbox):
    """Parts whose rows go over TCP. The sender's thread reads them."""

    def __init__(self, work: WorkFolder, called: str, *, delimiter: str, has_header: bool, has_payloads: bool) -> None:
        """Know how parts are written, without a ``delimiter`` as JSON lines, which may be of payloads."""
        super().__init__(work, called, format_="csv" if delimiter else "jsonl")
        self.header: bytes | None = None
        """That of CSV, once there has been a row."""
        self._delimiter = delimiter
        self._has_header = has_header
        self._has_payloads = has_payloads
        self._more = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    def _see(self, path: Path) -> None:
        """Keep the header of a part: who is told that the stream has ended hears it, though no part may wait."""
        if not self.has_begun:
            self.header = self._rows(path).header
            write(self._place / _HEADER, self.header or b"", durable=True)

    def open(self, stream: str, *, done: int) -> None:
        """Take what waits, and the header. Raises ``EngineError`` where some of it is gone."""
        super().open(stream, done=done)
        if self._has_header and self.has_begun:
            self.header = (self._place / _HEADER).read_bytes()

    @property
    def has_begun(self) -> bool:
        """Tell whether there has been a row, and so it is known what a row looks like."""
        return (self._place / _HEADER).exists()

    def _ring(self) -> None:
        with self._lock:
            if self._loop is None:
                self._more.set()
                return
        with contextlib.suppress(RuntimeError):  # the sender has ended
            self._loop.call_soon_threadsafe(self._more.set)

    def batches(self, after: int) -> tuple[int, Iterator[list[bytes] | None]]:
        """Go through the rows from the part on that has the one behind ``after``; ``None`` where more may come."""
        with self._lock:
            part = self._waiting.first(but_for=after)
            first = part.before if part else self._done
        return first, self._from(first)

    def _from(self, first: int) -> Iterator[list[bytes] | None]:
        while True:
            is_last = self.is_ending  # before a look at what is there, which may come until then
            with self._lock:
                part = self._waiting.at(first)
            if part is not None:
                yield from self._whole(part)
                first = part.behind
            elif is_last:
                return
            else:
                yield None

    def _whole(self, part: OutboxPart) -> Iterator[list[bytes]]:
        """Read the rows of a part. Raises ``EngineError`` where they are others than it had."""
        there = 0
        for rows in self._rows(part.path).rows():
            there += len(rows)
            if rows:
                yield [*map(payload_of, rows)] if self._has_payloads else rows
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
        while self._has_header and self.header is None and not self.is_ending:
            await self.more()
        return self.header is not None or not self._has_header

    async def more(self) -> None:
        """Return once there may be more rows."""
        with self._lock:
            self._loop = asyncio.get_running_loop()
        await self._more.wait()
        self._more.clear()

    def free_what_is_read(self, sent: int) -> None:
        """Remove parts of which so much was sent behind them that a receiver that tells nothing must have read them."""
        with self._lock:
            parts = self._waiting.within(sent)
        unread = 0
        while parts and unread < _UNREAD:
            unread += parts.pop().size
        if parts:
            self.free(parts[-1].behind)
