"""Records of states: one says all keys of a lane, or what has become of those that an epoch touched.

A record has a head, which says of what it is, and a pickle, which only workers read. Whoever keeps the records copies
them as they are.
"""

import io
import os
import struct
import zlib
from collections.abc import Collection, Iterator, Sequence
from typing import IO, Final, NamedTuple

from muster.errors import EngineError

_HEAD: Final = struct.Struct("<4sHHB8sQI")
_COUNT: Final = struct.Struct("<q")
"""Stands behind the head in records of the second format: those of the first do not say how many keys there are."""

_UNCOUNTED: Final = b"MST1"
_COUNTED: Final = b"MST2"
_IS_WHOLE: Final = 1
"""A bit of the flags."""

_COUNTS_ALL: Final = 2
"""The next bit: the count is of all keys of the lane."""


class KeyCount(NamedTuple):
    """How many keys a lane has behind a record; or how many more than before, or fewer."""

    number: int
    is_of_all: bool


class StateRecord(NamedTuple):
    """A record in a file: where it begins, and how many bytes it has, with its head."""

    stage: int
    lane: int
    is_whole: bool
    """It says all keys of the lane: what stands before it counts no more."""
    mark: str
    offset: int
    bytes: int
    keys: KeyCount | None
    """``None`` in a record that an earlier muster has written."""


def record(stage: int, lane: int, payload: bytes, *, is_whole: bool, keys: KeyCount) -> tuple[str, bytes]:
    """Write a record; return its mark, which no other has, and its bytes."""
    mark = os.urandom(8)
    flags = is_whole * _IS_WHOLE | keys.is_of_all * _COUNTS_ALL
    head = _HEAD.pack(_COUNTED, stage, lane, flags, mark, len(payload), zlib.crc32(payload))
    return mark.hex(), head + _COUNT.pack(keys.number) + payload


def _head_bytes(magic: bytes) -> int:
    return _HEAD.size + (_COUNT.size if magic == _COUNTED else 0)


def records_in(path: str, *, end: int) -> Iterator[StateRecord]:
    """List the records of a file up to ``end``, by their heads. Raises ``EngineError`` where one is damaged."""
    try:
        with open(path, "rb") as file:  # noqa: PTH123 (as with pieces, by the thousand)
            yield from _read(file, end=end)
    except (OSError, struct.error, ValueError) as error:
        raise _damaged(path) from error


def _read(file: IO[bytes], *, end: int) -> Iterator[StateRecord]:
    """List records by their heads. Raises ``ValueError`` or ``struct.error`` where one is damaged."""
    offset = 0
    while offset < end:
        file.seek(offset)
        magic, stage, lane, flags, mark, length, _ = _HEAD.unpack(file.read(_HEAD.size))
        count = _head_bytes(magic) + length
        if magic not in {_UNCOUNTED, _COUNTED} or offset + count > end:
            raise ValueError("no record")
        keys = None
        if magic == _COUNTED:
            (number,) = _COUNT.unpack(file.read(_COUNT.size))
            keys = KeyCount(number, is_of_all=bool(flags & _COUNTS_ALL))
        yield StateRecord(
            stage=stage,
            lane=lane,
            is_whole=bool(flags & _IS_WHOLE),
            mark=mark.hex(),
            offset=offset,
            bytes=count,
            keys=keys,
        )
        offset += count


def check_records(data: bytes, *, stage: int, lanes: Collection[int]) -> None:
    """Raise ``ValueError`` for what is no records of some lanes of a stage, whole ones and nothing else."""
    try:
        for one in _read(io.BytesIO(data), end=len(data)):
            if (one.stage, one.lane in lanes) != (stage, True) or one.keys is None:
                raise ValueError(f"states of lane {one.lane} of stage {one.stage}")
            _payload(data[one.offset : one.offset + one.bytes])
    except struct.error as error:
        raise ValueError("states that are cut short") from error


def _payload(record_: bytes) -> bytes:
    """Take the pickle out of a record. Raises ``ValueError`` where it is not what was written."""
    payload = record_[_head_bytes(record_[: len(_COUNTED)]) :]
    if _HEAD.unpack_from(record_)[-1] != zlib.crc32(payload):
        raise ValueError("states that have changed on their way")
    return payload


def payloads(path: str, spans: Sequence[tuple[int, int]]) -> Iterator[bytes]:
    """Read records, each from its offset on. Raises ``EngineError`` where one is not what was written."""
    if not spans:  # nor need there be a file, where machines are sent the records of their tasks
        return
    try:
        with open(path, "rb") as file:  # noqa: PTH123 (likewise)
            for offset, count in spans:
                file.seek(offset)
                data = file.read(count)
                if len(data) != count:
                    raise _damaged(path)
                yield _payload(data)
    except (OSError, struct.error, ValueError) as error:
        raise _damaged(path) from error


def _damaged(path: str) -> EngineError:
    return EngineError(
        f"{path!r} is not what this stream has written there: it holds the states of its keys. Restore the work folder"
        " from a copy; or type the command again with --fresh to start over."
    )
