"""The journal of a run as a file: one object of JSON a line, appended, and read again after a crash.

Each line ends with a check of the text before it, so that one byte that a disk, or somebody, has changed is found when
the line is read: a digit of what was kept would else give other rows. Lines of earlier versions have none.
"""

import contextlib
import errno
import json
import os
import time
import zlib
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from threading import RLock
from typing import Final, NamedTuple, Self

import orjson

from muster._files.whole import replacing
from muster._model import Schema
from muster._private.files import private

from .coding import as_fields, of_fields
from .events import KIND_OF, DamagedError, Event, Fields, Kept, KeptLater, Other, Shaped
from .fields import schemas_of

Kinds = Collection[type[Event]]

_MOST_HELD: Final = 64 << 10
"""How many bytes of events are held at most: beyond, a call of the kernel costs nothing beside what they cost."""

_WITH_OUTCOME: Final = (Kept, KeptLater)

_CHECK: Final = b',"check":"'
_CHECKED: Final = len(_CHECK) + len(b'01234567"}\n')
"""How many bytes at the end of a line are its check."""


class Entry(NamedTuple):
    """An event as it stands in a journal; ``at`` is when it was written, in seconds since 1970, if that is said."""

    event: Event
    at: float | None = None


class Journal:
    """Append events to a file. What a crash has torn is cut off when the journal is opened again."""

    def __init__(self, path: Path) -> None:
        """Open or create the journal."""
        self.path = path
        self._descriptor = private(path, os.O_RDWR | os.O_CREAT | os.O_APPEND)
        os.ftruncate(self._descriptor, max((end for _, end in _lines(path, checks=False)), default=0))
        self._held: list[bytes] = []
        self._bytes_held = 0
        self._numbers: dict[Schema, int] = {}
        """Of the schemas that it tells."""
        self._bytes_anew = 0
        """How many it had when it was written anew."""
        self._lock = RLock()
        """An epoch of a stream may be committed beside the tasks of the next."""

    def write(self, event: Event, *, at: float | None = None, durable: bool = False) -> None:
        """Append an event, with the time of day, and what was held; it outlives the death of this process.

        One that is ``durable`` also outlives a power cut, once this returns: so it is with what must be known for sure
        before the next step is taken. Raises ``OSError`` when the disk is full.
        """
        self.hold(event, at=at)
        self.flush()
        if durable:
            os.fdatasync(self._descriptor)

    def hold(self, event: Event, *, at: float | None = None) -> None:
        """Append an event later: with the next ``write`` or ``flush``, or once many are held.

        Until then the death of this process undoes it. Raises as ``flush`` does.
        """
        at = round(time.time(), 3) if at is None else at
        with self._lock:
            if isinstance(event, _WITH_OUTCOME):
                for schema in schemas_of(event.outcome):
                    if schema not in self._numbers:
                        self._numbers[schema] = number = len(self._numbers)
                        self._hold(Shaped(number, schema), at)
            self._hold(event, at)

    def _hold(self, event: Event, at: float) -> None:
        line = _line({"event": KIND_OF[type(event)], "at": at, **as_fields(event, self._numbers)})
        self._held.append(line)
        self._bytes_held += len(line)
        if self._bytes_held >= _MOST_HELD:
            self.flush()

    def flush(self) -> None:
        """Append what is held.

        Raises ``OSError`` when the disk is full: then all of that is forgotten, so that a shorter event has room.
        """
        with self._lock:
            if not self._held:
                return
            lines = b"".join(self._held)
            self._held, self._bytes_held = [], 0
            numbers, self._numbers = self._numbers, {}  # until the write succeeds, nobody has heard of some
            if (written := os.write(self._descriptor, lines)) < len(lines):
                os.ftruncate(self._descriptor, os.fstat(self._descriptor).st_size - written)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path))
            self._numbers = numbers

    def begin_anew(self, events: Iterable[Event], *, at: float) -> None:
        """Have these events be all that the journal says, as if they were written ``at`` that time. Raises ``OSError``.

        Who dies meanwhile leaves the journal as it was.
        """
        self.flush()
        lines = b"".join(_line({"event": KIND_OF[type(event)], "at": at, **as_fields(event, {})}) for event in events)
        self._numbers = {}
        with replacing(self.path, durable=True) as file:
            file.write(lines)
        self._bytes_anew = len(lines)
        before, self._descriptor = self._descriptor, private(self.path, os.O_RDWR | os.O_APPEND)
        os.close(before)

    def is_long(self, *, least: int) -> bool:
        """Tell whether it is worth writing anew: it has at least so many bytes, and twice those that it begins with."""
        return os.fstat(self._descriptor).st_size > max(least, 2 * self._bytes_anew)

    def close(self) -> None:
        """Append what is held, and close the file. Raises as ``flush`` does."""
        try:
            self.flush()
        finally:
            os.close(self._descriptor)

    def __enter__(self) -> Self:
        """Use as a context."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()


def replay(path: Path, *, without: Kinds = ()) -> Iterator[Entry]:
    """Yield what a journal tells, in order, up to where a crash or a power cut has torn it.

    Events of the kinds that are left out cost next to nothing. Raises ``UnreadableError``.
    """
    schemas: dict[int, Schema] = {}
    for said, _ in _lines(path, without=without):
        yield _entry(said, schemas)


def follow(path: Path, *, after: int = 0, without: Kinds = ()) -> Iterator[tuple[Entry, int]]:
    """Yield what stands behind an offset, as ``replay`` does, each with the offset behind it.

    Where those at the end are left out, an empty one tells how far it was read. Tasks that are done can be read from
    the beginning alone, as their schemas were told before them.
    """
    schemas: dict[int, Schema] = {}
    for said, end in _lines(path, after=after, without=without, tells_end=True):
        yield _entry(said, schemas), end


def abridge(journal: Path, to: Path, *, without: Kinds) -> None:
    """Move a journal, which nobody writes any more, and leave out events of some kinds. Raises ``OSError``."""
    skipped = _beginnings(without)
    with journal.open("rb") as lines, replacing(to) as kept:
        kept.writelines(line for line in lines if not line.startswith(skipped))
    journal.unlink()


def _beginnings(kinds: Kinds) -> tuple[bytes, ...]:
    """Write how the lines of some kinds of event begin."""
    return tuple(_dumped({"event": KIND_OF[kind]}).rstrip(b"}") for kind in kinds)


def _line(said: Fields) -> bytes:
    text = _dumped(said)[:-1]
    return b'%b%b%08x"}\n' % (text, _CHECK, zlib.crc32(text))


def _dumped(said: Fields) -> bytes:
    try:
        return orjson.dumps(said, option=orjson.OPT_NON_STR_KEYS)
    except TypeError:  # a file's name that is no text, as Linux allows
        return json.dumps(said, separators=(",", ":")).encode()


def _is_as_written(line: bytes) -> bool:
    """Compare a line with its check, if it has one."""
    text, check = line[:-_CHECKED], line[-_CHECKED:]
    return not check.startswith(_CHECK) or check[len(_CHECK) :] == b'%08x"}\n' % zlib.crc32(text)


def _entry(said: Fields, schemas: dict[int, Schema]) -> Entry:
    if not said:
        return Entry(Other())
    kind, at = said["event"], said.get("at")
    if not (isinstance(kind, str) and isinstance(at, int | float | None)):
        raise DamagedError(f"it has a line of kind {kind!r}, written at {at!r}, which is none that muster writes")
    return Entry(of_fields(kind, said, schemas), at)


def _object(line: bytes) -> Fields | None:
    """Read a line; ``None`` for one that is torn."""
    try:
        said = orjson.loads(line)
    except orjson.JSONDecodeError:
        try:
            said = json.loads(line)
        except ValueError:
            return None
    return said if isinstance(said, dict) and "event" in said else None


def _lines(
    path: Path, *, after: int = 0, without: Kinds = (), tells_end: bool = False, checks: bool = True
) -> Iterator[tuple[Fields, int]]:
    """Yield the lines that are whole, each with the offset behind it; an empty one for the end of those left out.

    Raises ``DamagedError`` for one that is not as it was written, unless told not to look.
    """
    end = whole = told = after
    skipped = _beginnings(without)
    with contextlib.suppress(FileNotFoundError), path.open("rb") as lines:
        lines.seek(after)
        for line in lines:
            end += len(line)
            if line.startswith(skipped):
                whole = end if line.endswith(b"\n") else whole
            elif line.endswith(b"\n"):
                said = _object(line)
                if said is None:
                    return
                if checks and not _is_as_written(line):
                    raise DamagedError(
                        f"what stands in its line from byte {end - len(line):,} on is not what was written"
                    )
                yield said, end
                told = end
        if tells_end and whole > told:
            yield {}, whole
