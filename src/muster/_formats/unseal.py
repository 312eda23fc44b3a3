"""Take a file of an output apart into the pieces of its tasks again: the reverse of ``volumes``."""

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from muster._model import Schema
from muster._urls.urls import get, is_remote


class Cut(NamedTuple):
    """A piece that is to be cut out: the next so many bytes of text, or so many rows of Parquet."""

    name: str
    rows: int
    size: int
    crc: int
    arrow: bytes = b""
    """Of a Parquet piece, its schema as the task wrote it."""
    own: Schema | None = None
    """What these rows alone look like, where they are only some of a task's."""


class Unseal(NamedTuple):
    """Ask for the pieces of one file, or of one compressed stretch or one row group of a file."""

    path: str
    offset: int
    size: int
    row: int
    """The first row, in Parquet."""
    format: str
    codec: str
    cuts: tuple[Cut, ...]
    folder: str
    """Where the pieces go; it may be a URL."""

    def answer(self) -> list[tuple[int, int, str]]:
        """Write the pieces, compressed where they are Parquet, of which there may be much more than there are new rows.

        Return the size, CRC-32 and stamp of each, with size -1 where it cannot be restored.
        """
        pieces = self._of_parquet() if self.format == "parquet" else self._of_text()
        return [(-1, 0, "") if data is None else self._put(cut.name, data) for cut, data in pieces]

    def _put(self, name: str, data: bytes) -> tuple[int, int, str]:
        stamp = ""
        if is_remote(self.folder):
            from muster._urls.objects import put

            stamp = put(f"{self.folder}/{name}", data)
        else:
            from muster._private.files import private

            with open(f"{self.folder}/{name}", "wb", opener=private) as file:
                file.write(data)
        return len(data), zlib.crc32(data), stamp

    def _data(self) -> bytes:
        if is_remote(self.path):
            return get(self.path)
        with Path(self.path).open("rb") as file:
            file.seek(self.offset)
            return file.read(self.size)

    def _of_text(self) -> Iterator[tuple[Cut, bytes | None]]:
        """Count from the end of the text, as a header of unknown size stands before the pieces."""
        text = memoryview(decompressed(self._data(), self.codec))
        at = len(text) - sum(cut.size for cut in self.cuts)
        for cut in self.cuts:
            data = bytes(text[max(at, 0) : max(at + cut.size, 0)])
            at += cut.size
            yield cut, data if (len(data), zlib.crc32(data)) == (cut.size, cut.crc) else None

    def _of_parquet(self) -> Iterator[tuple[Cut, bytes | None]]:
        import pyarrow as pa
        import pyarrow.parquet as pq

        from . import parquet, parquet_pieces, parquet_schema

        opened = pa.BufferReader(self._data()) if is_remote(self.path) else parquet.bytes_of(self.path)
        file = pq.ParquetFile(opened)
        table, at = _rows(file, self.row, sum(cut.rows for cut in self.cuts)), 0
        for cut in self.cuts:
            rows = table.slice(at, cut.rows)
            at += cut.rows
            piece = parquet_schema.as_it_was(rows, parquet_pieces.read_schema(cut.arrow), own=cut.own, rows=cut.rows)
            yield cut, None if piece is None else parquet_pieces.piece_of(piece, packed=True)


def _rows(file: Any, row: int, count: int) -> Any:  # noqa: ANN401 (Arrow has no types)
    """Read some rows of a Parquet file."""
    groups: list[int] = []
    first = before = 0
    for group in range(file.metadata.num_row_groups):
        last = first + file.metadata.row_group(group).num_rows
        if first < row + count and row < last:
            before = before if groups else row - first
            groups.append(group)
        first = last
    return file.read_row_groups(groups, use_threads=False).slice(before, count)


class PieceSchemas(NamedTuple):
    """Ask for the schemas of Parquet pieces, as their tasks wrote them."""

    pieces: tuple[str, ...]

    def answer(self) -> tuple[list[bytes], list[int]]:
        """Give each schema once, as Arrow writes it, and for each piece which of them it has."""
        from . import parquet_pieces

        written = [parquet_pieces.own_schema(piece) for piece in self.pieces]
        places = {schema: at for at, schema in enumerate(dict.fromkeys(written))}
        return list(places), [places[schema] for schema in written]


def decompressed(data: bytes, codec: str) -> bytes:
    """Decompress what ``volumes.compress`` made."""
    if not codec:
        return data
    if codec == "gzip":
        return gzip.decompress(data)
    import pyarrow as pa

    with pa.CompressedInputStream(pa.BufferReader(data), "zstd") as stream:
        return bytes(stream.read())
