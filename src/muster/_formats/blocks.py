"""Rows between two stages, in a file: sections of rows that have one schema, each cut into stretches.

A stretch is read alone, without the others: the rows of a lane, or results of groups that lie near each other in the
output. The rows are in Arrow's own format, perhaps packed; where each stretch lies stands at the end of the file.
"""

import bisect
import functools
import itertools
import json
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import pyarrow as pa

from muster._model import Schema
from muster.errors import EngineError

_MARK: Final = b"MUSTERB1"
_END: Final = 8
"""Bytes of a number behind a block: its size, and its CRC."""

_PLAIN: Final = pa.ipc.IpcWriteOptions(use_threads=False)
_PACKED: Final = pa.ipc.IpcWriteOptions(compression="lz4", use_threads=False)
_READING: Final = pa.ipc.IpcReadOptions(use_threads=False)
"""To hand a few columns to a thread, and to wait for it, takes longer than to unpack them."""

_BATCH_BYTES: Final = 64 << 10
"""How much is written, and read, together at the least: a column of a batch takes 10 µs, however few rows it has."""

PLACE: Final = "place"
"""The last column of results: the place of each row's group in the output."""

INDEX: Final = "index"
"""What is said of a section that tells of each group, by its place, how many rows of results it has."""

KEYS: Final = "keys"
"""What is said of a section that tells the key of each group, beside its place, in the order of the results."""

RANKS: Final = "ranks"
"""What is said of a section that tells the rank of each group among the sorted keys, beside its place."""


class Section(NamedTuple):
    """Rows of one schema; ``borders`` are where stretches begin, and where the last one ends."""

    table: pa.Table
    borders: Sequence[int]
    said: dict[str, Any]
    """What is to be known of them: JSON."""


class StoredSection(NamedTuple):
    """A section of a block that was written: ``offsets`` is where each batch begins and the last one ends.

    A batch is of one stretch, or of several small ones that follow each other.
    """

    path: str
    at: int
    offsets: tuple[int, ...]
    said: dict[str, Any]

    @property
    def schema(self) -> pa.Schema:
        """Read what its columns are."""
        with pa.ipc.open_stream(pa.BufferReader(self.head)) as stream:
            return stream.schema

    @property
    def head(self) -> bytes:
        """Read what stands before the first stretch."""
        with Path(self.path).open("rb") as file:
            return _bytes_at(file, self.at, self.offsets[0])

    @property
    def body(self) -> bytes:
        """Read all that stands behind that."""
        with Path(self.path).open("rb") as file:
            return _bytes_at(file, self.at + self.offsets[0], self.offsets[-1] - self.offsets[0])

    @property
    def block(self) -> int | None:
        """Tell the number of the block that it is copied from, where it is a part of an excerpt."""
        number: int | None = self.said.get("block")
        return number

    @property
    def batches(self) -> Sequence[int]:
        """Say at which stretches batches begin, and where the last one ends."""
        stretches = len(self.said["rows"])
        return self.said.get("batches") or range(stretches + 1)  # of a run that an earlier muster began

    def rows(self, first: int, last: int) -> Sequence[int]:
        """Tell how many rows some stretches have that follow each other; an excerpt must have them."""
        before = self.said.get("before", 0)
        counts: Sequence[int] = self.said["rows"][first - before : last - before]
        return counts

    def span(self, first: int, last: int) -> tuple[int, int]:
        """Choose the batches that are read for some stretches: from the first to before the last."""
        begin = 0 if self.said["needs_all"] else bisect.bisect_right(self.batches, first) - 1
        return begin, bisect.bisect_left(self.batches, last)

    def read(self, first: int, last: int) -> pa.Table:
        """Read some stretches that follow each other; an excerpt must have them."""
        before = self.said.get("before", 0)
        first, last = first - before, last - before
        rows, batches = self.said["rows"], self.batches
        begin, end = self.span(first, last)
        with open(self.path, "rb") as file:  # noqa: PTH123 (each task opens every block, and pathlib takes as long as this)
            head = _bytes_at(file, self.at, self.offsets[0])
            data = _bytes_at(file, self.at + self.offsets[begin], self.offsets[end] - self.offsets[begin])
        with pa.ipc.open_stream(pa.BufferReader(head + data), options=_READING) as stream:
            table = stream.read_all()
        return table.slice(sum(rows[batches[begin] : first]), sum(rows[first:last]))


def by_number(table: pa.Table, behind: pa.Array, name: str) -> pa.Table:
    """Call columns by their numbers, as a name may stand twice, and put one behind them that has a name."""
    fields = [field.with_name(str(at)) for at, field in enumerate(table.schema)]
    return pa.table([*table.columns, behind], schema=pa.schema([*fields, pa.field(name, behind.type)]))


def as_block(sections: Iterable[Section], *, is_packed: bool = True) -> Iterator[bytes | memoryview]:
    """Write sections as the bytes of a block."""
    at, told = 0, []
    for section in sections:
        data, its_end = written_section(section, at=at, is_packed=is_packed)
        told.append(its_end)
        at += len(data)
        yield data
    yield ending(told)


def written_section(section: Section, *, at: int, is_packed: bool) -> tuple[memoryview, dict[str, Any]]:
    """Write a section that begins ``at`` a byte of its block, and what stands at the end of the block about it."""
    table, borders, said = section
    sink = pa.BufferOutputStream()
    offsets, rows = list[int](), [hi - lo for lo, hi in itertools.pairwise(borders)]
    head = len(table.schema.serialize())  # which is written together with the first rows
    with pa.ipc.new_stream(sink, table.schema, options=_PACKED if is_packed else _PLAIN) as stream:
        whole, batches = table.combine_chunks(), _batches(table, borders)
        for first, last in itertools.pairwise(batches):
            offsets.append(max(sink.tell(), head))
            count = borders[last] - borders[first]
            for batch in whole.slice(borders[first], count).to_batches() if count else ():
                stream.write_batch(batch)
        offsets.append(max(sink.tell(), head))
    needs_all = any(map(pa.types.is_dictionary, table.schema.types))  # whose values stand at the beginning
    cut = {"rows": rows, "batches": batches, "needs_all": needs_all}
    return memoryview(sink.getvalue()), {"at": at, "offsets": offsets, "said": {**said, **cut}}


def ending(told: Sequence[dict[str, Any]]) -> bytes:
    """Write what stands at the end of a block: where its sections are."""
    end = json.dumps(told).encode()
    return end + len(end).to_bytes(_END, "little") + zlib.crc32(end).to_bytes(_END, "little") + _MARK


def _batches(table: pa.Table, borders: Sequence[int]) -> list[int]:
    """Say at which stretches batches begin, and where the last one ends: small stretches take longer to read alone."""
    fewest = _BATCH_BYTES * len(table) // max(table.nbytes, 1)
    begins = [0]
    for at in range(1, len(borders) - 1):
        if borders[at] - borders[begins[-1]] >= fewest:
            begins.append(at)
    return [*begins, len(borders) - 1] if len(borders) > 1 else begins


def sections_of(path: str) -> tuple[StoredSection, ...]:
    """Find the sections of a block. Raises ``EngineError`` where it is none, or not whole."""
    try:
        stat = Path(path).stat()
    except OSError as error:
        raise _damaged(path) from error
    return _sections(path, (stat.st_ino, stat.st_size, stat.st_mtime_ns))


@functools.lru_cache(maxsize=4096)
def _sections(path: str, _version: tuple[int, int, int]) -> tuple[StoredSection, ...]:
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
    return tuple(StoredSection(path, one["at"], tuple(one["offsets"]), one["said"]) for one in json.loads(end))


def _damaged(path: str) -> EngineError:
    return EngineError(
        f"{path!r} is not what a worker of this run has written there. Type the same command again: what is damaged is"
        " done anew."
    )


def _bytes_at(file: Any, at: int, size: int) -> bytes:  # noqa: ANN401 (of any kind)
    file.seek(at)
    return bytes(file.read(size))


def each_section(paths: Sequence[str]) -> Iterator[tuple[int, StoredSection]]:
    """Go through the sections of blocks, each with the number of its block: also where one path is an excerpt."""
    for at, path in enumerate(paths):
        for section in sections_of(path):
            yield at if section.block is None else section.block, section


def schema_of(section: StoredSection) -> Schema:
    """Say what the results of a section look like."""
    columns, kinds = section.said["schema"]
    return Schema(tuple(columns), tuple(map(tuple, kinds)))
