"""Footers of Parquet files, taken apart and put together without decoding a row, and without Arrow.

A footer is a struct in Thrift's compact protocol. Of all that it says of a column chunk, only where the chunk lies
depends on what stands before it in the file. So chunks that several processes have written become one file: their bytes
are copied, and those offsets are moved. All else is copied as Arrow wrote it, also what this module does not know of.

The numbers of fields below are those of ``parquet.thrift`` in apache/parquet-format, the kinds of values those of
``thrift-compact-protocol.md`` in apache/thrift.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

MAGIC: Final = b"PAR1"
_TAIL_BYTES: Final = 8
"""The length of the footer, in four bytes, and the magic: the end of every file."""

_BYTE, _DOUBLE, _BINARY, _LIST, _SET, _MAP, _STRUCT = 3, 7, 8, 9, 10, 11, 12
_TRUTHS: Final = frozenset({1, 2})
_INTEGERS: Final = frozenset({4, 5, 6})
_LONG_LIST: Final = 15
"""A list of so many elements or more says its length in bytes of its own."""

_MORE: Final = 0x80
"""Marks a byte of a number that another one follows."""
_FILE_ROWS, _FILE_GROUPS = 3, 4
_GROUP_CHUNKS, _GROUP_BYTES, _GROUP_ROWS, _GROUP_OFFSET, _GROUP_COMPRESSED, _GROUP_ORDINAL = 1, 2, 3, 5, 6, 7
_CHUNK_DETAILS: Final = 3
_CHUNK_OFFSETS: Final = frozenset({2, 4, 6})
"""Those of the details, of the index of pages and of that of their values."""
_DETAILS_OFFSETS: Final = frozenset({9, 10, 11, 14})
"""Those of the pages with data, of the index, of the dictionary and of the Bloom filter."""


class _Field(NamedTuple):
    number: int
    header: bytes
    kind: int
    start: int
    stop: int


class ColumnChunk(NamedTuple):
    """What a footer says of one column chunk: its offsets, and the text before, between and behind them."""

    texts: tuple[bytes, ...]
    offsets: tuple[int, ...]

    def moved(self, by: int) -> bytes:
        """Say the same of a chunk that lies so many bytes further on; an offset of 0 stands for none."""
        moved = [_integer(offset + by if offset else 0) for offset in self.offsets]
        return b"".join(part for pair in zip(self.texts, [*moved, b""], strict=True) for part in pair)


class ColumnChunks(NamedTuple):
    """What a file holds that has one row group: all columns of some rows, or only some of the columns."""

    chunks: tuple[ColumnChunk, ...]
    group: tuple[tuple[int, bytes, bytes], ...]
    """What else the footer says of the row group: the number, the header and the value of each field."""
    size: int
    """How many bytes the chunks have in the file; they begin behind the magic."""

    def number(self, field: int) -> int:
        """Read a number of the row group; 0 where the footer does not say it."""
        return next((_number(value, 0)[0] for number, _, value in self.group if number == field), 0)


def chunks_in(path: Path) -> ColumnChunks:
    """Read what lies in a file that has one row group."""
    with path.open("rb") as file:
        size = file.seek(-_TAIL_BYTES, os.SEEK_END) + _TAIL_BYTES
        length = int.from_bytes(file.read(_TAIL_BYTES - len(MAGIC)), "little")
        file.seek(size - _TAIL_BYTES - length)
        footer = file.read(length)
    return _taken_apart(footer, size - len(MAGIC) - length - _TAIL_BYTES)


def _taken_apart(footer: bytes, size: int) -> ColumnChunks:
    groups = _named(_fields(footer, 0)[0])[_FILE_GROUPS]
    at, _ = _elements(footer, groups.start)
    fields, _ = _fields(footer, at)
    at, count = _elements(footer, _named(fields)[_GROUP_CHUNKS].start)
    chunks = []
    for _ in range(count):
        chunk, at = _chunk(footer, at)
        chunks.append(chunk)
    group = [
        (field.number, field.header, b"" if field.number == _GROUP_CHUNKS else footer[field.start : field.stop])
        for field in fields
    ]
    return ColumnChunks(tuple(chunks), tuple(group), size)


def footer_of(data: bytes) -> bytes:
    """Take the footer out of a file."""
    length = int.from_bytes(data[-_TAIL_BYTES : -len(MAGIC)], "little")
    return data[-_TAIL_BYTES - length : -_TAIL_BYTES]


def end_of(blank: bytes, groups: Iterable[Sequence[ColumnChunks]]) -> bytes:
    """Write the footer, and what stands behind it, of a file that has these chunks one behind the other.

    Each row group is given as the chunks of some columns, of the next few, and so on. ``blank`` is the footer of a file
    with all columns and without a row group.
    """
    at, rows = len(MAGIC), 0
    written: list[bytes] = []
    for parts in groups:
        written.append(_row_group(parts, at, ordinal=len(written)))
        rows += parts[0].number(_GROUP_ROWS)
        at += sum(part.size for part in parts)
    values = {_FILE_ROWS: _integer(rows), _FILE_GROUPS: _list(written)}
    fields, _ = _fields(blank, 0)
    kept = [(field.number, field.header, blank[field.start : field.stop]) for field in fields]
    text = _struct(kept, values=values)
    return text + len(text).to_bytes(4, "little") + MAGIC


def _row_group(parts: Sequence[ColumnChunks], begin: int, *, ordinal: int) -> bytes:
    chunks, at = [], begin
    for part in parts:
        chunks += [chunk.moved(at - len(MAGIC)) for chunk in part.chunks]
        at += part.size
    first = parts[0]
    sums = (_GROUP_BYTES, _GROUP_COMPRESSED)
    values = {number: _integer(sum(part.number(number) for part in parts)) for number in sums}
    if offset := first.number(_GROUP_OFFSET):
        values[_GROUP_OFFSET] = _integer(offset + begin - len(MAGIC))
    return _struct(
        first.group, values={**values, _GROUP_CHUNKS: _list(chunks), _GROUP_ORDINAL: _integer(_in_16_bits(ordinal))}
    )


def _in_16_bits(ordinal: int) -> int:
    """Keep of a row group's number what Arrow keeps of it, which has no room for more than 32,768."""
    return (ordinal + (1 << 15)) % (1 << 16) - (1 << 15)


def _struct(fields: Iterable[tuple[int, bytes, bytes]], *, values: Mapping[int, bytes]) -> bytes:
    """Write fields, some with other values than they have."""
    return b"".join(header + values.get(number, value) for number, header, value in fields) + b"\0"


def _list(structs: Sequence[bytes]) -> bytes:
    count = len(structs)
    short = count < _LONG_LIST
    header = bytes([count << 4 | _STRUCT]) if short else bytes([_LONG_LIST << 4 | _STRUCT]) + _varint(count)
    return header + b"".join(structs)


def _chunk(data: bytes, at: int) -> tuple[ColumnChunk, int]:
    """Read what is said of a chunk, and where that ends."""
    fields, stop = _fields(data, at)
    places = [field for field in fields if field.number in _CHUNK_OFFSETS]
    if details := _named(fields).get(_CHUNK_DETAILS):
        places += [field for field in _fields(data, details.start)[0] if field.number in _DETAILS_OFFSETS]
    places.sort(key=lambda field: field.start)
    edges = [at, *(edge for field in places for edge in (field.start, field.stop)), stop]
    texts = [data[begin:end] for begin, end in zip(edges[::2], edges[1::2], strict=True)]
    return ColumnChunk(tuple(texts), tuple(_number(data, field.start)[0] for field in places)), stop


def _named(fields: Sequence[_Field]) -> dict[int, _Field]:
    return {field.number: field for field in fields}


def _fields(data: bytes, at: int) -> tuple[list[_Field], int]:
    """List the fields of a struct, and tell where it ends."""
    fields: list[_Field] = []
    number = 0
    while data[at]:
        header, kind, step = at, data[at] & 15, data[at] >> 4
        number, at = (number + step, at + 1) if step else _number(data, at + 1)
        stop = at if kind in _TRUTHS else _behind(data, at, kind)
        fields.append(_Field(number, data[header:at], kind, at, stop))
        at = stop
    return fields, at + 1


def _behind(data: bytes, at: int, kind: int) -> int:
    """Tell where a value ends."""
    if kind in _INTEGERS:
        return _unsigned(data, at)[1]
    if kind == _BINARY:
        length, at = _unsigned(data, at)
        return at + length
    if kind == _STRUCT:
        return _fields(data, at)[1]
    if kind == _MAP:
        return _behind_map(data, at)
    if kind in {_LIST, _SET}:
        of = data[at] & 15
        at, count = _elements(data, at)
        for _ in range(count):
            at = at + 1 if of in _TRUTHS else _behind(data, at, of)
        return at
    return at + {_BYTE: 1, _DOUBLE: 8}[kind]


def _behind_map(data: bytes, at: int) -> int:
    count, at = _unsigned(data, at)
    if not count:
        return at
    kinds, at = (data[at] >> 4, data[at] & 15), at + 1
    for _ in range(count):
        for kind in kinds:
            at = at + 1 if kind in _TRUTHS else _behind(data, at, kind)
    return at


def _elements(data: bytes, at: int) -> tuple[int, int]:
    """Tell where the elements of a list begin, and how many there are."""
    count = data[at] >> 4
    if count < _LONG_LIST:
        return at + 1, count
    count, at = _unsigned(data, at + 1)
    return at, count


def _unsigned(data: bytes, at: int) -> tuple[int, int]:
    """Read a number, seven bits to a byte, and tell where it ends."""
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & (_MORE - 1)) << shift
        if byte < _MORE:
            return value, at
        shift += 7


def _number(data: bytes, at: int) -> tuple[int, int]:
    """Read a number with a sign, which is its lowest bit, and tell where it ends."""
    value, at = _unsigned(data, at)
    return value >> 1 ^ -(value & 1), at


def _varint(value: int) -> bytes:
    written = bytearray()
    while value >= _MORE:
        written.append(value & (_MORE - 1) | _MORE)
        value >>= 7
    return bytes([*written, value])


def _integer(value: int) -> bytes:
    return _varint(value << 1 ^ value >> 63)
