"""The log of a stream's states: what each epoch has changed, on the disk before the journal says that it is committed.

Of each lane it holds a record of all keys, and behind that records of those that epochs touched. What a later record of
all keys makes useless is left out when the log is written anew, which is when it is more than half of it.
"""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Final

from muster._files.whole import sync, write_all
from muster._formats.state_records import StateRecord, records_in
from muster._model import LaneRecords, StoredStates
from muster._private.files import private
from muster.errors import EngineError

_NAME: Final = "states"
_FEWEST_BYTES: Final = 1 << 20
"""A log that is smaller is not written anew: it takes no time to read, and a file more has a price, too."""


class StateLog:
    """The log, in the work folder of the stream."""

    def __init__(self, folder: Path, name: str = "", size: int = 0, *, fewest_bytes: int = _FEWEST_BYTES) -> None:
        """Go on with the log of this name, of which so many bytes count. Raises ``EngineError`` where they are not."""
        self._folder = folder
        self._fewest_bytes = fewest_bytes
        self._lanes: dict[int, dict[int, LaneRecords]] = {}
        self._keys: dict[tuple[int, int], int | None] = {}
        """Of each lane of a stage; ``None`` where an earlier muster has not counted."""
        self._name = name or f"{_NAME}-0"
        self._size = size
        self._file = self._opened(self._name)
        if os.fstat(self._file.fileno()).st_size < size:
            raise EngineError(
                f"{str(folder / self._name)!r} is shorter than it was, and holds the states of the stream's keys."
                " Restore the work folder from a copy; or type the command again with --fresh to start over."
            )
        self._file.truncate(size)
        for record in records_in(str(folder / self._name), end=size):
            self._take(record)

    def _opened(self, name: str) -> IO[bytes]:
        return os.fdopen(private(self._folder / name, os.O_RDWR | os.O_CREAT), "r+b", buffering=0)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    @property
    def place(self) -> tuple[str, int]:
        """Tell the log's name, and how many bytes of it count."""
        return self._name, self._size

    @property
    def keys(self) -> int | None:
        """Count the keys that have a state; ``None`` where an earlier muster has not counted all of them."""
        counts = [*self._keys.values()]
        known = [count for count in counts if count is not None]
        return sum(known) if len(known) == len(counts) else None

    @property
    def live_bytes(self) -> int:
        """Add up the records that are needed."""
        return sum(lane.bytes for lanes in self._lanes.values() for lane in lanes.values())

    def stored(self, stage: int, *, ends: bool) -> StoredStates:
        """Say what workers must know of the states of a stage."""
        return StoredStates(str(self._folder / self._name), stage, dict(self._lanes.get(stage, {})), ends)

    def append(self, pieces: Iterable[Path], *, epoch: int) -> None:
        """Add the records of an epoch; once this returns they are on the disk, whatever comes. Raises ``OSError``."""
        if self._size > max(2 * self.live_bytes, self._fewest_bytes):
            self._begin_anew(f"{_NAME}-{epoch}")
        for piece in pieces:
            data = piece.read_bytes()
            self._write(data)
            for record in records_in(str(piece), end=len(data)):
                self._take(record._replace(offset=self._size + record.offset))
            self._size += len(data)
        os.fdatasync(self._file.fileno())
        sync(self._folder)

    def _take(self, record: StateRecord) -> None:
        lanes = self._lanes.setdefault(record.stage, {})
        before = lanes[record.lane].spans if record.lane in lanes and not record.is_whole else ()
        lanes[record.lane] = LaneRecords(record.mark, (*before, (record.offset, record.bytes)))
        self._count(record)

    def _count(self, record: StateRecord) -> None:
        lane, keys = (record.stage, record.lane), record.keys
        before = self._keys.get(lane, 0)
        if keys is not None and keys.is_of_all:
            self._keys[lane] = keys.number
        else:
            self._keys[lane] = before + keys.number if keys is not None and before is not None else None

    def _write(self, data: bytes) -> None:
        self._file.seek(self._size)
        write_all(self._file.fileno(), data)

    def _begin_anew(self, name: str) -> None:
        """Copy what is needed to another file. The one before stays until an epoch is committed with the new one."""
        before, lanes, self._size = self._file, self._lanes, 0
        self._name, self._file, self._lanes = name, self._opened(name), {}
        self._file.truncate(0)
        with before:
            for stage, own in lanes.items():
                self._lanes[stage] = {lane: self._copied(before, records) for lane, records in own.items()}

    def _copied(self, before: IO[bytes], records: LaneRecords) -> LaneRecords:
        spans = list[tuple[int, int]]()
        for offset, count in records.spans:
            data = os.pread(before.fileno(), count, offset)
            self._write(data)
            spans.append((self._size, len(data)))
            self._size += len(data)
        return records._replace(spans=tuple(spans))

    def tidy(self) -> None:
        """Remove logs that nothing needs any more: an epoch is committed with this one, or it was, in the journal."""
        for path in self._folder.glob(f"{_NAME}-*"):
            if path.name != self._name:
                path.unlink(missing_ok=True)
