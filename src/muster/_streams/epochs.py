"""What an epoch is made of: a stretch of each file that is followed, copied to the spool, so that it can be read again.

Whatever becomes of a file, an epoch that was begun is read from its copy: so it is the same again after any crash.
"""

import contextlib
import time
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from muster._model import LocalCopy, Part, Source, Stretch
from muster._private.files import keep
from muster._words import plural, size
from muster.errors import DataError

from .arrivals import Behind, Came, shared
from .followed import Followed, Tail, check_has_grown, read_at, tail_of
from .stretches import Records, Text, whole_records, why_left

EPOCH_BYTES: Final = 64 << 20
"""How many bytes an epoch has at the most; there are as many only where a stream is behind."""

LONGEST_RECORD: Final = 16 << 20
"""How many bytes a row may have, as with frames: behind a quote that is never closed, all that comes would be one."""

Taken = tuple[Stretch, Records, Source]
"""A stretch, the records in it, and what it is a stretch of."""


class Epoch(NamedTuple):
    """An epoch: its stretches, and the parts and files that these are for workers."""

    number: int
    stretches: tuple[Stretch, ...]
    parts: tuple[Part, ...]
    sources: tuple[Source, ...]
    origin: int | None = None
    """Which of several sources all its rows are of, where epochs have those of one."""

    @property
    def rows(self) -> int:
        """Count its rows."""
        return sum(part.rows for part in self.parts)


class Intake:
    """Takes epochs off files that are followed."""

    def __init__(self, followed: Followed, text: Text, spool: Path, *, most: int = EPOCH_BYTES) -> None:
        """Know how the text is written, where copies go, and how many bytes an epoch may have."""
        self._followed = followed
        self._text = text
        self._spool = spool
        self._most = most
        self._doing = dict[int, list[tuple[int, list[Came]]]]()
        """Rows of epochs that are not done for good, and when these came, of each stretch."""

    def take(
        self, number: int, *, limits: Mapping[tuple[int, int], int] | None = None, most: int = EPOCH_BYTES
    ) -> Epoch | None:
        """Take what is whole of the files, one after the other, as far as the epoch has room for so many bytes.

        ``None`` where that is nothing. ``limits`` are sizes beyond which nothing is taken, by device and inode. Raises
        ``DataError`` for a row that is too long.
        """
        left, taken, doing = min(self._most, most), list[Taken](), list[tuple[int, list[Came]]]()
        for tail in list(self._followed.each()):
            end = tail.size if limits is None else min(tail.size, limits.get(tail.position.file_id, 0))
            if end <= tail.position.bytes or tail.fruitless == end or left <= 0:
                continue
            if (stretch := self._take(tail, end, most=left, spool=f"epoch-{number}-{len(taken)}")) is not None:
                taken.append((*stretch, tail.source))
                left -= stretch[0].bytes
                doing.append((stretch[0].rows, tail.take_off()))
        if not taken:
            return None
        self._doing[number] = doing
        return epoch_of(number, taken)

    def _take(self, tail: Tail, end: int, *, most: int, spool: str) -> tuple[Stretch, Records] | None:
        before, path = tail.position, str(self._spool / spool)
        try:
            descriptor = self._followed.files.of(tail)
        except FileNotFoundError:
            return None  # which the next look takes note of
        copy = LocalCopy(path, before.bytes)
        data = read_at(descriptor, before.bytes, min(end - before.bytes, max(most, LONGEST_RECORD)))
        check_has_grown(descriptor, tail)  # after it was read, as it may have been written anew since the last look
        found = whole_records(data, self._text, start=before.bytes, row=before.rows, spool=copy, name=tail.source.name)
        if not found.rows:
            self._found_none(tail, end, data)
            return None
        keep(path, data[: found.bytes])
        tail.position = before._replace(
            bytes=before.bytes + found.bytes,
            rows=before.rows + found.rows,
            crc=zlib.crc32(data[: found.bytes], before.crc),
            tail=tail_of(descriptor, before.bytes + found.bytes),
            order=found.order or before.order,
        )
        tail.fruitless = -1
        stretch = Stretch(
            start=before.bytes,
            row=before.rows,
            begin_crc=before.crc,
            spool=spool,
            name=tail.source.name,
            keys=tail.source.keys,
            position=tail.position,
        )
        return stretch, found

    def _found_none(self, tail: Tail, end: int, data: bytes) -> None:
        """Wait until there is more behind a row without an end, unless that is too long for one."""
        if len(data) >= LONGEST_RECORD:
            raise DataError(
                f"{tail.source.name!r}: the row at byte {tail.position.bytes:,} has no end within"
                f" {size(LONGEST_RECORD)}. Is a quote opened there that is never closed? Mend it, and type the same"
                " command again; or, where quotes mean nothing, say quoting=csv.QUOTE_NONE."
            )
        tail.fruitless = end

    def left(self, *, since: float | None = None) -> Iterator[str]:
        """Say where something waits that is no whole row; or where it has waited since a moment, of each place once."""
        for tail in self._followed.each():
            begin, end = tail.position.bytes, tail.fruitless
            if end <= begin or (since is not None and (tail.told == begin or not tail.is_stuck(since))):
                continue
            with contextlib.suppress(FileNotFoundError):  # which the next look takes note of
                data = read_at(self._followed.files.of(tail), begin, min(end - begin, LONGEST_RECORD))
                tail.told = begin
                if why := why_left(data, self._text, start=begin):
                    verb = "is" if end - begin == 1 else "are"
                    count = plural(end - begin, "byte")
                    yield f"{tail.source.name}: {count} behind row {tail.position.rows:,} {verb} left: {why}"

    def again(self, number: int, stretches: Sequence[Stretch]) -> Epoch | None:
        """Take an epoch once more that was begun, from its copies; ``None`` where these are not whole any more."""
        taken, doing, now = list[Taken](), list[tuple[int, list[Came]]](), time.monotonic()
        for stretch in stretches:
            path, after = self._spool / stretch.spool, stretch.position
            data = path.read_bytes() if path.exists() else b""
            if len(data) != stretch.bytes or zlib.crc32(data, stretch.begin_crc) != after.crc:
                return None
            found = whole_records(
                data,
                self._text,
                start=stretch.start,
                row=stretch.row,
                spool=LocalCopy(str(path), stretch.start),
                name=stretch.name,
            )
            source = Source(after.path, 0, "", self._text.format, given=stretch.name, keys=stretch.keys)
            taken.append((stretch, found, source))
            doing.append((stretch.rows, [Came(0, after.bytes, stretch.bytes, 0, now)]))
        self._doing = {number: doing}
        return epoch_of(number, taken)

    def forget(self, epoch: Epoch) -> list[tuple[int, float]]:
        """Remove the copies of an epoch that is done; tell since when its rows were there."""
        for stretch in epoch.stretches:
            (self._spool / stretch.spool).unlink(missing_ok=True)
        return [one for rows, came in self._doing.pop(epoch.number, []) for one in shared(rows, came)]

    def behind(self, now: float) -> Behind:
        """Tell what is in no epoch that is done: in those that were taken, and behind them."""
        unread, doing = self._followed.behind(now), [one for each in self._doing.values() for one in each]
        came = [one for _, came in doing for one in came]
        if not came:
            return unread
        rows = sum(rows for rows, _ in doing)
        return Behind(
            unread.bytes + sum(one.bytes for one in came),
            None if unread.rows is None else unread.rows + rows,
            max(unread.seconds, now - min(one.since for one in came)),
        )


def epoch_of(number: int, taken: Sequence[Taken]) -> Epoch:
    """Make an epoch of stretches."""
    return Epoch(
        number,
        tuple(stretch for stretch, *_ in taken),
        tuple(_parts(taken)),
        tuple(source for *_, source in taken),
    )


def _parts(taken: Sequence[Taken]) -> Iterator[Part]:
    for file, (_, found, _) in enumerate(taken):
        yield from (part._replace(file=file) for part in found.parts)
