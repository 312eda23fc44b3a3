"""Files that are followed: new ones are found, and of each that grows its new rows are read, once.

A file is known by device and inode, and by what was read of it: so one that is renamed goes on where it was, a new one
under the same name begins at its start, and a copy that took the place of its original goes on, too.
"""

import os
import resource
import zlib
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from muster._journal.events import FilesMoved
from muster._model import Position, Source
from muster._words import plural
from muster.errors import DataError

from .arrivals import Arrivals, Behind, Came

TAIL_BYTES: Final = 4096
"""How many bytes before a position are compared when a stream goes on."""

_CHUNK: Final = 1 << 20
_PATIENCE: Final = 10.0
"""Seconds until a file is forgotten that is nowhere: one that is renamed while files are listed is found by the next
look, which may take some seconds where files are many."""

_MOST_OPEN: Final = 10_000
"""How many files are held open at the most, so that what is read of one that is renamed or removed is not cut short."""


@dataclass(slots=True)
class Tail:
    """A file, and how far it was read."""

    source: Source
    position: Position
    size: int = 0
    changed: int = 0
    """When it was last written, in nanoseconds, as far as this was seen."""
    fruitless: int = -1
    """The size that it had when it was last read and no whole row was behind the position; -1 before that."""
    is_leaving: bool = False
    """Its name is another file's by now, or nobody's: it is read to its end."""
    left_at: float = 0.0
    """Since when it is."""
    stuck_since: float | None = None
    """Since when that is no whole row."""
    told: int = -1
    """Behind which byte that was told."""
    came: Arrivals | None = None
    """What is behind the position, as far as it was seen; ``None`` where nothing is, as for most of many files."""

    def is_stuck(self, since: float) -> bool:
        """Tell whether no whole row has come since a moment or before, though something has."""
        return self.stuck_since is not None and self.stuck_since <= since

    @property
    def path(self) -> str:
        """Tell where it is read from."""
        return self.source.path

    @property
    def waits_since(self) -> float | None:
        """Tell since when there is something behind the position."""
        return self.came.since if self.came is not None and self.unread else None

    def has_grown(self, count: int, since: float) -> None:
        """Know that so many bytes have come, after a moment."""
        self.came = self.came or Arrivals()
        self.came.add(Came(0, self.size, count, 0, since))

    def take_off(self) -> list[Came]:
        """Tell when that came which stands before the position, and was not taken before."""
        if self.came is None:
            return []
        came = self.came.take(0, self.position.bytes)
        if self.came.since is None:
            self.came = None
        return came

    @property
    def unread(self) -> int:
        """Count the bytes behind the position."""
        return max(self.size - self.position.bytes, 0)


def _most_open() -> int:
    """Leave as many for all else that the process opens."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _MOST_OPEN if soft == resource.RLIM_INFINITY else min(soft // 2, _MOST_OPEN)


@dataclass(slots=True)
class OpenFiles:
    """Files that are held open, by what names them for good."""

    descriptors: "OrderedDict[tuple[int, int], int]" = field(default_factory=OrderedDict)
    most: int = field(default_factory=_most_open)
    kept: set[tuple[int, int]] = field(default_factory=set)
    """Those that are nowhere by name: who closes one loses what is not read of it."""

    def of(self, tail: Tail) -> int:
        """Open a file, unless it is open. Raises ``FileNotFoundError`` where another has its name by now, or none."""
        key = tail.position.file_id
        if (descriptor := self.descriptors.get(key)) is not None:
            self.descriptors.move_to_end(key)
            return descriptor
        descriptor = os.open(tail.path, os.O_RDONLY | os.O_CLOEXEC)
        status = os.fstat(descriptor)
        if (status.st_dev, status.st_ino) != key:
            os.close(descriptor)
            raise FileNotFoundError(tail.path)
        self.descriptors[key] = descriptor
        if len(self.descriptors) > self.most:
            oldest = next(file_id for file_id in self.descriptors if file_id == key or file_id not in self.kept)
            if oldest != key:
                os.close(self.descriptors.pop(oldest))
        return descriptor

    def keep(self, tail: Tail) -> None:
        """Hold a file open until it is forgotten, if it is open."""
        if (file_id := tail.position.file_id) in self.descriptors:
            self.kept.add(file_id)

    def forget(self, tail: Tail) -> None:
        """Close a file."""
        self.kept.discard(tail.position.file_id)
        if (descriptor := self.descriptors.pop(tail.position.file_id, None)) is not None:
            os.close(descriptor)

    def close(self) -> None:
        """Close all."""
        while self.descriptors:
            os.close(self.descriptors.popitem()[1])


@dataclass(slots=True)
class Followed:
    """All files of a stream; ``tails`` has one for each path, and those that are leaving."""

    tails: dict[str, Tail] = field(default_factory=dict)
    leaving: list[Tail] = field(default_factory=list)
    known: list[Position] = field(default_factory=list)
    """How far files were read in an earlier process, until they are seen again."""
    gone: list[tuple[int, int]] = field(default_factory=list)
    """Devices and inodes of files that are there no more, and read to their end."""
    moved: list[Position] = field(default_factory=list)
    """Those of files that have other names now, or are copies."""
    dropped: list[str] = field(default_factory=list)
    """What is to be told of those that had something behind the last row."""
    files: OpenFiles = field(default_factory=OpenFiles)
    looked_at: float | None = None
    """When somebody looked last: what is new has come since then."""
    beside: dict[str, dict[int, str]] = field(default_factory=dict)
    """What a look has seen in folders, by inode: all names there, also those that are no inputs."""

    def look(self, sources: Sequence[Source], *, now: float) -> None:
        """Take note of the files that are there. Raises ``DataError`` where one is not what it was."""
        self.beside.clear()
        if self.known:
            self._go_on(sources)
        found = {file_id: source for source in sources if (file_id := _file_id_of(source.path)) is not None}
        by_path = {source.path: file_id for file_id, source in found.items()}
        for tail in list(self.tails.values()):
            self._look_at(tail, found, by_path)
            tail.left_at = now
        for tail in [one for one in self.leaving if one.position.file_id in found]:
            self._find_again(tail, found[tail.position.file_id])
        known = {tail.position.file_id for tail in self.each()}
        for file_id, source in found.items():
            if file_id not in known and source.path not in self.tails:
                self.tails[source.path] = Tail(source, Position(source.path, *file_id))
        for tail in self.each():
            self._measure(tail, now)
        self.looked_at = now
        self._let_go(now)

    def each(self) -> Iterator[Tail]:
        """Yield the files by name; those that are leaving first."""
        yield from self.leaving
        yield from (self.tails[path] for path in sorted(self.tails))

    def _look_at(self, tail: Tail, found: dict[tuple[int, int], Source], by_path: dict[str, tuple[int, int]]) -> None:
        """Follow a file to its new name, or see that another has taken its name."""
        file_id, there = tail.position.file_id, by_path.get(tail.path)
        if there == file_id:
            tail.source = found[file_id]
            return
        del self.tails[tail.path]
        if file_id in found and found[file_id].path not in self.tails and _is_same(found[file_id], tail.position):
            tail.source = found[file_id]
            self._move(tail, tail.position._replace(path=tail.path))
        elif there is not None and self._is_copy(found[there].path, tail):
            self.files.forget(tail)
            self.gone.append(tail.position.file_id)
            self._move(tail, tail.position._replace(device=there[0], inode=there[1]))
        else:
            tail.is_leaving = True
            self.leaving.append(tail)
            self.files.keep(tail)

    def _move(self, tail: Tail, position: Position) -> None:
        tail.position = position
        self.tails[tail.path] = tail
        if position.bytes:
            self.moved.append(position)

    def _is_copy(self, path: str, tail: Tail) -> bool:
        """Tell whether a file that has taken the name of another is a copy of it, which has perhaps grown.

        A file that was renamed is still there, and the one that has its name is another, even if it begins alike.
        """
        descriptor = self.files.descriptors.get(tail.position.file_id)
        if descriptor is None:
            return self._beside(tail.position) is None and _begins_alike(path, tail.position)
        if (status := os.fstat(descriptor)).st_nlink:
            return False
        return _begins_with(path, descriptor, status.st_size) or _begins_alike(path, tail.position)

    def _measure(self, tail: Tail, now: float) -> None:
        try:
            descriptor = self._open(tail)
        except FileNotFoundError:
            tail.size = tail.position.bytes if tail.is_leaving else tail.size
            return
        status, before = os.fstat(descriptor), (tail.size, tail.changed)
        tail.size, tail.changed = status.st_size, status.st_mtime_ns
        if before != (tail.size, tail.changed):
            check_has_grown(descriptor, tail)
        if tail.fruitless <= tail.position.bytes:
            tail.stuck_since = None
        elif tail.stuck_since is None:
            tail.stuck_since = now
        if (more := tail.size - max(before[0], tail.position.bytes)) > 0:
            tail.has_grown(more, since=now if self.looked_at is None else self.looked_at)

    def _open(self, tail: Tail) -> int:
        """Open a file; one that was not open when it was renamed, under its other name in its folder."""
        try:
            return self.files.of(tail)
        except FileNotFoundError:
            if not tail.is_leaving or (source := self._beside(tail.position)) is None:
                raise
        tail.source = source
        return self.files.of(tail)

    def _find_again(self, tail: Tail, source: Source) -> None:
        """Go on in a file that was renamed between two steps of a look, and so seemed to be nowhere."""
        if source.path in self.tails:
            return
        if _is_same(source, tail.position):
            self.leaving.remove(tail)
            self.files.kept.discard(tail.position.file_id)
            tail.source, tail.is_leaving = source, False
            self._move(tail, tail.position._replace(path=source.path))
        elif (
            tail.position.file_id not in self.files.descriptors
        ):  # it is removed, and another file has its inode by now
            self._forget(tail)

    def _let_go(self, now: float) -> None:
        """Forget files that are leaving and have nothing more to read; a last line without an end was never whole."""
        read = [one for one in self.leaving if not one.unread or one.fruitless == one.size]
        for tail in [one for one in read if now - one.left_at >= _PATIENCE]:
            if tail.unread:
                left = plural(tail.unread, "byte")
                self.dropped.append(
                    f"{tail.source.name} was renamed or removed, and is forgotten: {left} behind row"
                    f" {tail.position.rows:,} made no whole row"
                )
            self._forget(tail)

    def _forget(self, tail: Tail) -> None:
        self.leaving.remove(tail)
        self.files.forget(tail)
        if tail.position.bytes:
            self.gone.append(tail.position.file_id)

    # Going on where an earlier process was

    def _go_on(self, sources: Sequence[Source]) -> None:
        """Find the files that an earlier process has read. Raises ``DataError`` where one is not what it was."""
        known, self.known = self.known, []
        there = {file_id: source for source in sources if (file_id := _file_id_of(source.path)) is not None}
        by_path = {source.path: source for source in sources}
        file_ids = {position.file_id for position in known}
        for position in known:
            file_id = position.file_id
            source, named = there.get(file_id), by_path.get(position.path)
            if source is not None and (source is named or _is_same(source, position)):
                tail = Tail(source, position)
                check_has_grown(self.files.of(tail), tail)
                self.tails[source.path] = tail
                if position.path != source.path:
                    self._move(tail, position._replace(path=source.path))
            elif (beside := self._beside(position)) is not None:  # it was renamed while nobody followed it
                self.leaving.append(Tail(beside, position, is_leaving=True))
            elif named is not None and _file_id_of(named.path) not in file_ids and _begins_alike(named.path, position):
                device, inode = _file_id_of(named.path) or file_id
                self.gone.append(file_id)
                self._move(Tail(named, position), position._replace(device=device, inode=inode))
            else:
                self.gone.append(file_id)

    def behind(self, now: float) -> Behind:
        """Tell what is not read; rows are reckoned, as those that were read have so many bytes each."""
        tails = [*self.each()]
        unread, waiting = sum(tail.unread for tail in tails), [tail.waits_since for tail in tails]
        rows, done = sum(tail.position.rows for tail in tails), sum(tail.position.bytes for tail in tails)
        oldest = min((since for since in waiting if since is not None), default=now)
        return Behind(unread, round(unread * rows / done) if done else None if unread else 0, now - oldest)

    def moves(self) -> FilesMoved | None:
        """Tell what has come of files since this was asked, but for their rows; ``None`` where nothing has."""
        if not (self.moved or self.gone):
            return None
        moved, self.moved = self.moved, []
        gone, self.gone = self.gone, []
        return FilesMoved(moved, gone)

    def _beside(self, position: Position) -> Source | None:
        """Find a file in its folder that is there under another name, by what was read of it."""
        folder = str(Path(position.path).parent)
        if folder not in self.beside:
            self.beside[folder] = _paths_in(folder)
        path = self.beside[folder].get(position.inode)
        if path is None or _file_id_of(path) != position.file_id:
            return None
        source = Source(path, 0, "", "", given=position.path)
        return source if _is_same(source, position) else None


def _paths_in(folder: str) -> dict[int, str]:
    try:
        with os.scandir(folder) as entries:
            return {entry.inode(): entry.path for entry in entries}
    except OSError:
        return {}


def _file_id_of(path: str) -> tuple[int, int] | None:
    try:
        status = os.stat(path)  # noqa: PTH116 (asked of each file, again and again)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def read_at(descriptor: int, start: int, count: int) -> bytes:
    """Read so many bytes from an offset on, or as many as there are."""
    pieces, left = [], count
    while left and (piece := os.pread(descriptor, left, start + count - left)):
        pieces.append(piece)
        left -= len(piece)
    return b"".join(pieces)


def tail_of(descriptor: int, end: int) -> int:
    """Sum up the bytes before a position."""
    begin = max(end - TAIL_BYTES, 0)
    return zlib.crc32(read_at(descriptor, begin, end - begin))


def _holds(descriptor: int, position: Position) -> bool:
    """Tell whether what stands before a position is what was read there."""
    return os.fstat(descriptor).st_size >= position.bytes and tail_of(descriptor, position.bytes) == position.tail


def _begins_alike(path: str, position: Position) -> bool:
    """Tell whether another file begins with all that was read of one: it is a copy of it, which has perhaps grown."""
    try:
        if not position.bytes or os.stat(path).st_size < position.bytes:  # noqa: PTH116 (as above)
            return False
        crc, left = 0, position.bytes
        with open(path, "rb") as file:  # noqa: PTH123 (likewise)
            while left and (block := file.read(min(_CHUNK, left))):
                crc, left = zlib.crc32(block, crc), left - len(block)
    except OSError:
        return False
    return not left and crc == position.crc


def _begins_with(path: str, descriptor: int, count: int) -> bool:
    """Tell whether a file begins with so many bytes of one that is open, and these are some."""
    try:
        with open(path, "rb") as file:  # noqa: PTH123 (as above)
            for start in range(0, count, _CHUNK):
                block = read_at(descriptor, start, min(_CHUNK, count - start))
                if file.read(len(block)) != block:
                    return False
    except OSError:
        return False
    return count > 0


def _is_same(source: Source, position: Position) -> bool:
    """Tell whether a file has what was read of one with its device and inode, which another may have by now."""
    try:
        with open(source.path, "rb") as file:  # noqa: PTH123 (as above)
            return _holds(file.fileno(), position)
    except OSError:
        return False


_CURE: Final = (
    "So nobody knows which of its rows are done. A file that is followed may only grow: write a new one beside it, or"
    " rename it and begin another under its name. Restore it, or move it away, and type the same command again: what is"
    " done stays done. A copy of it under another name counts as a new file."
)


def check_has_grown(descriptor: int, tail: Tail) -> None:
    """Raise ``DataError`` where a file has no more what was read of it, however long it is by now."""
    there, done = os.fstat(descriptor).st_size, tail.position.bytes
    if there < done:
        raise DataError(
            f"{tail.source.name!r} was cut short: {done:,} bytes of it are done, and it has {there:,} now. {_CURE}"
        )
    if not _holds(descriptor, tail.position):
        raise DataError(
            f"{tail.source.name!r} was written anew: what stands before byte {done:,} is not what was read there."
            f" {_CURE}"
        )
