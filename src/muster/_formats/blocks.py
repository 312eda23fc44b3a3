"""Rows between two stages, in a file: sections of rows that have one schema, each cut into stretches.

A stretch is read alone, without the others: the rows of a lane, or results of groups that lie near each other in the
output. The rows are in Arrow's own format, compressed; where each stretch lies stands at the end of the file.
"""

import functools
import itertools
import json
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import pyarrow as pa

from muster._model import Schema
from muster.errors import EngineError

_MARK: Final = b"MUSTERB1"
_END: Final = 8
_OPTIONS: Final = pa.ipc.IpcWriteOptions(compression="lz4", use_threads=False)


PLACE: Final = "place"
"""The last column of results: the place of each row's group in the output."""

INDEX: Final = "index"
"""What is said of a section that tells of each group, by its place, how many rows of results it has."""

KEYS: Final = "keys"
"""What is said of a section that tells the key of each group, beside its place, in the order of the results."""


class Section(NamedTuple):
    """Rows of one schema; ``borders`` are where stretches begin, and where the last one ends."""

    table: pa.Table
    borders: Sequence[int]
    said: dict[str, Any]
    """What is to be known of them: JSON."""


class Stretches(NamedTuple):
    """A section of a block that was written: ``offsets`` is where each stretch begins and the last one ends."""

    path: str
    at: int
    offsets: tuple[int, ...]
    said: dict[str, Any]

    def read(self, first: int, last: int) -> pa.Table:
        """Read some stretches that follow each other."""
        with Path(self.path).open("rb") as file:
            head = _bytes_at(file, self.at, self.offsets[0])
            begin = 0 if self.said["needs_all"] else first
            data = _bytes_at(file, self.at + self.offsets[begin], self.offsets[last] - self.offsets[begin])
        with pa.ipc.open_stream(pa.BufferReader(head + data)) as stream:
            table = stream.read_all()
        return table.slice(sum(self.said["rows"][begin:first]))


def packed(sections: Sequence[Section]) -> list[bytes | memoryview]:
    """Write sections as the bytes of a block."""
    written: list[bytes | memoryview] = []
    at, told = 0, []
    for table, borders, said in sections:
        sink = pa.BufferOutputStream()
        offsets, rows = list[int](), [hi - lo for lo, hi in itertools.pairwise(borders)]
        head = len(table.schema.serialize())  # which is written together with the first rows
        with pa.ipc.new_stream(sink, table.schema, options=_OPTIONS) as stream:
            whole = table.combine_chunks()
            for lo, count in zip(borders, rows, strict=False):
                offsets.append(max(sink.tell(), head))
                for batch in whole.slice(lo, count).to_batches() if count else ():
                    stream.write_batch(batch)
            offsets.append(max(sink.tell(), head))
        data = memoryview(sink.getvalue())
        needs_all = any(map(pa.types.is_dictionary, table.schema.types))  # whose values stand at the beginning
        told.append({"at": at, "offsets": offsets, "said": {**said, "rows": rows, "needs_all": needs_all}})
        at += len(data)
        written.append(data)
    end = json.dumps(told).encode()
    return [*written, end, len(end).to_bytes(_END, "little"), zlib.crc32(end).to_bytes(_END, "little"), _MARK]


def sections_of(path: str) -> tuple[Stretches, ...]:
    """Find the sections of a block. Raises ``EngineError`` where it is none, or not whole."""
    try:
        stat = Path(path).stat()
    except OSError as error:
        raise _damaged(path) from error
    return _sections(path, (stat.st_ino, stat.st_size, stat.st_mtime_ns))


@functools.lru_cache(maxsize=4096)
def _sections(path: str, _version: tuple[int, int, int]) -> tuple[Stretches, ...]:
    try:
        with Path(path).open("rb") as file:
            tail = 2 * _END + len(_MARK)
            size = file.seek(0, 2)
            last = _bytes_at(file, size - tail, tail)
            count = int.from_bytes(last[:_END], "little")
            end = _bytes_at(file, size - tail - count, count)
    except (OSError, ValueError) as error:
        raise _damaged(path) from error
    if not last.endswith(_MARK) or zlib.crc32(end) != int.from_bytes(last[_END : 2 * _END], "little"):
        raise _damaged(path)
    return tuple(Stretches(path, one["at"], tuple(one["offsets"]), one["said"]) for one in json.loads(end))


def _damaged(path: str) -> EngineError:
    return EngineError(
        f"{path!r} is not what a worker of this run has written there. Type the same command again: what is damaged is"
        " done anew."
    )


def _bytes_at(file: Any, at: int, size: int) -> bytes:  # noqa: ANN401 (of any kind)
    file.seek(at)
    return bytes(file.read(size))


def each_section(paths: Sequence[str]) -> Iterator[tuple[int, Stretches]]:
    """Go through the sections of blocks, each with the number of its block."""
    for at, path in enumerate(paths):
        for section in sections_of(path):
            yield at, section


def schema_of(section: Stretches) -> Schema:
    """Say what the results of a section look like."""
    columns, kinds = section.said["schema"]
    return Schema(tuple(columns), tuple(map(tuple, kinds)))
