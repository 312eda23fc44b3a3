"""Rows that are written to files before they are epochs, as a source of a stream: they come beside the epochs.

What brings them works in threads of this process, so it ends with the stream. What it has brought is on the disk, and
is done once.
"""

import contextlib
import os
import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, Protocol

from muster._journal.events import EpochBegan, FilesMoved
from muster._model import LocalCopy, Position, Source, Stretch
from muster.errors import EngineError

from .arrivals import Behind, shared
from .epochs import EPOCH_BYTES, Epoch, Taken, epoch_of
from .pieces import first_line
from .source import NO_ORIGINS
from .spooled import Spooled
from .stretches import Text, whole_records, why_left

ENDS_WITHIN: Final = 10.0
"""Seconds: it waits for a write to the disk, and for a moment for the other end to close."""


class Inflow(Protocol):
    """What brings rows to the spool. Its methods are called by the stream's thread; it has threads of its own."""

    name: str
    """Where rows come from, as the user says it."""
    longest: int
    """How many bytes a row has at the most, as far as one knows: with so many at hand, one of them is whole."""

    def begin(self, spooled: Spooled, ring: Callable[[], None]) -> str:
        """Bring rows from now on; tell what whoever sends them has to know, or nothing.

        It may ``ring`` when there is something to look at, as it does at its end.
        """

    def look_again(self) -> None:
        """Know that more is done, and so there may be room, and something to acknowledge."""

    def has_failed(self) -> bool:
        """Tell whether the other end has failed for good: ``check`` raises that, once what it has given is done.

        Raises at once what is no fault of the other end.
        """

    def check(self) -> None:
        """Raise what has ended it, if that was an error."""

    def end(self) -> None:
        """Bring nothing that comes from now on."""

    def has_ended(self) -> bool:
        """Tell whether nothing is brought any more: all that was is in the spool then."""

    def away(self) -> str:
        """Say why the other end cannot be reached just now; empty where it can, and where nobody is to be reached."""

    def beyond(self) -> int:
        """Count the rows that wait at the other end to be brought, as far as it tells."""

    def skipped(self) -> int:
        """Count the rows that were gone at the other end before they were brought, since the stream began."""

    def remarks(self) -> Iterator[str]:
        """Say, once, what whoever watches should know."""

    def settle(self) -> None:
        """Know that nothing more is done: acknowledge the last of it. Raises what keeps it from that."""

    def close(self) -> bool:
        """Give back what it holds; tell whether it has: a write to the disk that hangs ends with the process."""


class SpooledSource:
    """The rows that one inflow brings."""

    turns = 1

    def __init__(
        self, inflow: Inflow, text: Text, spool: Callable[[Callable[[], None]], Spooled], *, device: int = 0
    ) -> None:
        """``spool`` makes where rows are kept; nothing comes before ``open``.

        Of several, each has another number, which stands in its positions in the place of a device.
        """
        self.seconds = 0.0
        self._device = device
        self._inflow = inflow
        self._text = text
        self._make = spool
        self._wake = _Wake()
        self._own: Spooled | None = None
        self._at = self._last_of(())
        """Up to where rows are in epochs; the number of a file stands for its inode."""
        self._known = set[int]()
        """Files whose positions are journaled."""
        self._has_failed = False
        self._doing = 0
        """How many epochs are taken and not done for good."""
        self._ends_since: float | None = None
        """Since when it is asked to end, until that is remarkable."""

    def fileno(self) -> int:
        return self._wake.reading

    def hold(self, done: Sequence[Position], columns: Sequence[str]) -> None:
        del columns  # a header that has come is on the disk
        spooled, position = self._make(self._wake.ring), self._last_of(done)
        try:  # before anybody is told that rows are safe there
            spooled.check_holds(position.inode, position.bytes)
            spooled.know_left(position.inode, position.bytes, position.rows, now=time.monotonic())
        except BaseException:
            spooled.close()
            raise
        self._own = spooled

    def open(self) -> str:
        return self._inflow.begin(self._spooled, self._wake.ring)

    def _last_of(self, positions: Sequence[Position]) -> Position:
        """Tell up to where rows are in epochs; without any it is the first file's beginning."""
        return max(positions, key=lambda position: position.inode, default=Position("", self._device, 1))

    @property
    def _spooled(self) -> Spooled:
        assert self._own is not None  # noqa: S101 (hold)
        return self._own

    def again(self, begun: EpochBegan) -> Epoch:
        taken = list[Taken]()
        for stretch in begun.stretches:
            path = self._spooled.path(stretch.position.inode)
            data = _read(path, stretch.start, stretch.bytes) if path.exists() else b""
            if len(data) != stretch.bytes or zlib.crc32(data, stretch.begin_crc) != stretch.position.crc:
                raise EngineError(
                    f"{str(path)!r} has other bytes than those that were read of it, and rows that were acknowledged"
                    " are nowhere else. Restore it; or type the command again with --fresh, to start over."
                )
            found = whole_records(
                data, self._text, start=stretch.start, row=stretch.row, spool=LocalCopy(str(path), 0), name=stretch.name
            )
            taken.append((stretch, found, self._source(path)))
        self._doing = 1
        return epoch_of(begun.number, taken)

    def go_on(self, positions: Sequence[Position]) -> None:
        self._known = {position.inode for position in positions}
        self._at = self._last_of(positions)
        if not positions:
            self._at = self._at._replace(path=self._inflow.name)
        self._spooled.check_holds(self._at.inode, self._at.bytes)
        if not self._doing:  # which is read once more, and not done yet
            self._free(self._at)

    def look(self) -> FilesMoved | None:
        self._wake.hush()
        self._has_failed = self._inflow.has_failed()  # before a look at what is there, which may come until then
        gone = sorted(self._known - {max(self._known, default=0)})
        self._known -= {*gone}
        return FilesMoved([], [(self._device, piece) for piece in gone]) if gone else None

    def take(self, number: int, *, most: int = EPOCH_BYTES) -> Epoch | None:
        left, taken, before = most, list[Taken](), self._at
        while left > 0 and (one := self._next(left)) is not None:
            taken.append(one)
            left -= one[0].bytes
        if not taken and self._has_failed:
            self._inflow.check()
        if not (taken or self._doing) and self._at != before:  # files of blank lines
            self._free(self._at)
        self._doing += bool(taken)
        return epoch_of(number, taken) if taken else None

    def _next(self, most: int) -> Taken | None:
        """Take what is whole of the file that is read, or of the next one; ``None`` where nothing is."""
        while True:
            is_full = self._spooled.is_full(self._at.inode)  # before its size is asked for, which may grow until then
            left = self._spooled.size(self._at.inode) - self._at.bytes
            if left > 0:
                path = self._spooled.path(self._at.inode)
                enough = min(left, max(most, 2 * (self._inflow.longest + 1)))  # a header, and a row
                for count in dict.fromkeys((enough, left)):  # all that is there where that much is blank
                    data = _read(path, self._at.bytes, count)
                    if (taken := self._cut(data, path)) is not None:
                        return taken
                if is_full:
                    self._check_blank(data, path)
            if not is_full:
                return None
            before = self._at
            self._at = Position(before.path, self._device, before.inode + 1, rows=before.rows, order=before.order)

    def _check_blank(self, data: bytes, path: Path) -> None:
        """Raise ``EngineError`` where what is no whole row at the end of a file is more than blank lines."""
        start = self._at.bytes
        if data[0 if start else len(first_line(self._spooled.state.header)) :].strip():
            raise EngineError(
                f"{str(path)!r} holds no whole row from byte {start:,} on, and is not blank there:"
                f" {why_left(data, self._text, start=start) or 'somebody has changed it'}. Restore it; or type the"
                " command again with --fresh, to start over."
            )

    def _cut(self, data: bytes, path: Path) -> Taken | None:
        before = self._at
        found = whole_records(
            data, self._text, start=before.bytes, row=before.rows, spool=LocalCopy(str(path), 0), name=before.path
        )
        if not found.rows:
            return None
        self._at = before._replace(
            bytes=before.bytes + found.bytes,
            rows=before.rows + found.rows,
            crc=zlib.crc32(memoryview(data)[: found.bytes], before.crc),
            order=found.order or before.order,
        )
        stretch = Stretch(
            start=before.bytes,
            row=before.rows,
            begin_crc=before.crc,
            spool=path.name,
            name=before.path,
            keys=(),
            position=self._at,
        )
        return stretch, found, self._source(path)

    def _source(self, path: Path) -> Source:
        return Source(str(path), 0, "", "csv", given=self._inflow.name)

    def forget(self, epoch: Epoch) -> list[tuple[int, float]]:
        self._doing -= 1
        came = list[tuple[int, float]]()
        for stretch in epoch.stretches:
            self._known.add(stretch.position.inode)
            came += shared(stretch.rows, self._spooled.arrivals.take(stretch.position.inode, stretch.position.bytes))
        self._free(epoch.stretches[-1].position if self._doing else self._at)
        return came

    def _free(self, done: Position) -> None:
        """Know that all is done up to a position: of the last epoch, or of blank lines behind it, which are in none."""
        needed = max(self._known, default=1)  # which tells, in the next process, that rows are there
        self._spooled.free(done.inode, done.bytes, needed=needed)
        self._spooled.arrivals.take(done.inode, done.bytes)
        self._inflow.look_again()

    def end(self) -> None:
        """Have nothing come from now on; what has come is done. Rows may still be on their way to the disk."""
        self._inflow.end()
        self._ends_since = time.monotonic()

    def has_ended(self) -> bool:
        return self._inflow.has_ended()

    def settle(self) -> None:
        self._inflow.settle()

    def behind(self) -> Behind:
        arrivals = self._spooled.arrivals
        since = arrivals.since
        rows = arrivals.rows + self._inflow.beyond()
        waited = 0.0 if since is None else time.monotonic() - since
        return Behind(self._spooled.waiting, rows, waited, self._inflow.skipped(), self._inflow.away())

    def silences(self) -> Mapping[int, float]:
        return NO_ORIGINS

    def remarks(self, *, at_the_end: bool = False) -> Iterator[str]:
        del at_the_end
        yield from self._inflow.remarks()
        if self._ends_since is not None and time.monotonic() - self._ends_since > ENDS_WITHIN and not self.has_ended():
            self._ends_since = None
            yield f"{self._at.path}: rows that have come are not on the disk yet, which is slow; they are waited for"

    def close(self) -> None:
        if self._inflow.close() and self._own is not None:
            self._own.close()
        self._wake.close()


class _Wake:
    """A descriptor that can be read once any thread has rung, until it is hushed."""

    def __init__(self) -> None:
        self.reading, self._writing = os.pipe()
        os.set_blocking(self.reading, False)
        os.set_blocking(self._writing, False)

    def ring(self) -> None:
        with contextlib.suppress(OSError):  # it is full, which rings, too; or the stream has ended
            os.write(self._writing, b"!")

    def hush(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while os.read(self.reading, 4096):
                pass

    def close(self) -> None:
        os.close(self.reading)
        os.close(self._writing)


def _read(path: Path, start: int, count: int) -> bytes:
    with path.open("rb", buffering=0) as file:
        file.seek(start)
        return file.read(count)
