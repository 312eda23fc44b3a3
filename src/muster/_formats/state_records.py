"""Records of states: one says all keys of a lane, or what has become of those that an epoch touched.

A record has a head, which says of what it is, and a pickle, which only workers read. Whoever keeps the records copies
them as they are.
"""

import os
import struct
import zlib
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from muster.errors import EngineError

_HEAD: Final = struct.Struct("<4sHHB8sQI")
_MAGIC: Final = b"MST1"


class StateRecord(NamedTuple):
    """A record in a file: where it begins, and how many bytes it has, with its head."""

    stage: int
    lane: int
    is_whole: bool
    """It says all keys of the lane: what stands before it counts no more."""
    mark: str
    offset: int
    bytes: int


def record(stage: int, lane: int, payload: bytes, *, is_whole: bool) -> tuple[str, bytes]:
    """Write a record; return its mark, which no other has, and its bytes."""
    mark = os.urandom(8)
    head = _HEAD.pack(_MAGIC, stage, lane, is_whole, mark, len(payload), zlib.crc32(payload))
    return mark.hex(), head + payload


def records_in(path: str, *, end: int) -> Iterator[StateRecord]:
    """List the records of a file up to ``end``, by their heads. Raises ``EngineError`` where one is damaged."""
    offset = 0
    try:
        with open(path, "rb") as file:  # noqa: PTH123 (as with pieces, by the thousand)
            while offset < end:
                file.seek(offset)
                magic, stage, lane, is_whole, mark, length, _ = _HEAD.unpack(file.read(_HEAD.size))
                if magic != _MAGIC or offset + _HEAD.size + length > end:
                    raise _damaged(path)
                yield StateRecord(
                    stage=stage,
                    lane=lane,
                    is_whole=bool(is_whole),
                    mark=mark.hex(),
                    offset=offset,
                    bytes=_HEAD.size + length,
                )
                offset += _HEAD.size + length
    except (OSError, struct.error) as error:
        raise _damaged(path) from error


def payloads(path: str, spans: Sequence[tuple[int, int]]) -> Iterator[bytes]:
    """Read records, each from its offset on. Raises ``EngineError`` where one is not what was written."""
    try:
        with open(path, "rb") as file:  # noqa: PTH123 (likewise)
            for offset, count in spans:
                file.seek(offset)
                data = file.read(count)
                payload = data[_HEAD.size :]
                if len(data) != count or _HEAD.unpack_from(data)[-1] != zlib.crc32(payload):
                    raise _damaged(path)
                yield payload
    except (OSError, struct.error) as error:
        raise _damaged(path) from error


def _damaged(path: str) -> EngineError:
    return EngineError(
        f"{path!r} is not what this stream has written there: it holds the states of its keys. Restore the work folder"
        " from a copy; or type the command again with --fresh to start over."
    )
