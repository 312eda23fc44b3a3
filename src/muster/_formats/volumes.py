"""Make the files of the output out of the pieces that tasks wrote."""

import csv
import gzip
import hashlib
import io
import shutil
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Final, NamedTuple

from muster._files.temporary import temporary
from muster._urls.urls import get, is_remote, upload
from muster.errors import EngineError

from .labels import header_rows
from .parquet_footer import ColumnChunks, chunks_in

_COPY_BYTES: Final = 1 << 20
"""Memory stays small, and a block is worth its calls."""

_ZSTD_LEVEL: Final = 3
"""Zstandard's own default. Another level would give other bytes, so a resumed run must keep to it."""


class Seal(NamedTuple):
    """Ask for one file, or one compressed stretch of a file, made of pieces that lie next to each other.

    Compressed stretches can be put one behind the other: gzip members and zstd frames add up to one file.
    """

    pieces: tuple[str, ...]
    output: str
    format: str
    codec: str = ""
    header: bytes = b""
    schema: bytes = b""
    """That of all Parquet files of the output, as Arrow writes it."""
    sums: tuple[tuple[int, int], ...] = ()
    """The size and the CRC-32 of each piece, which are compared where it is fetched from a store."""

    def answer(self) -> tuple[int, str]:
        """Write it; return its size in bytes and its SHA-256."""
        if is_remote(self.output):
            return self._answer_remotely()
        if self.format == "parquet":
            from . import parquet_pieces

            parquet_pieces.write(self.pieces, parquet_pieces.read_schema(self.schema), self.output)
        elif self.codec:
            data = self.header + b"".join(Path(piece).read_bytes() for piece in self.pieces)
            Path(self.output).write_bytes(compress(data, self.codec))
        else:
            with Path(self.output).open("wb") as output:
                output.write(self.header)
                for piece in self.pieces:
                    with Path(piece).open("rb") as rows:
                        shutil.copyfileobj(rows, output, _COPY_BYTES)
        digest = hashlib.sha256()
        with Path(self.output).open("rb") as written:
            while block := written.read(_COPY_BYTES):
                digest.update(block)
        return Path(self.output).stat().st_size, digest.hexdigest()

    def _answer_remotely(self) -> tuple[int, str]:
        """Fetch the pieces, make the file here, and put it in its place, where it appears whole."""
        with temporary() as folder:
            paths = tuple(f"{folder}/{at}" for at, _ in enumerate(self.pieces))
            for path, url, (size, crc) in zip(paths, self.pieces, self.sums, strict=True):
                data = get(url)
                if (len(data), zlib.crc32(data)) != (size, crc):
                    raise EngineError(
                        f"{url!r} is not what a worker of this run has put there. Nothing was replaced. Type the same"
                        " command again: what is damaged is done anew."
                    )
                Path(path).write_bytes(data)
            answer = self._replace(pieces=paths, output=f"{folder}/whole").answer()
            upload(Path(folder, "whole"), self.output)
        return answer


class ShareSchema(NamedTuple):
    """Ask for the schema of all Parquet files of an output; the pieces of each are given, in the order of the input."""

    volumes: tuple[tuple[str, ...], ...]

    def answer(self) -> tuple[bytes, list[list[int]]]:
        """Find it, in what the pieces say; for each volume, tell how many bytes of memory each of its columns takes.

        Raises ``DataError`` when they cannot share one.
        """
        from . import parquet_pieces

        schema, sizes = parquet_pieces.schema_and_bytes(self.volumes)
        return bytes(schema.serialize().to_pybytes()), sizes


class BlankFooter(NamedTuple):
    """Ask for the footer of a Parquet file of this schema that has no row group."""

    schema: bytes

    def answer(self) -> bytes:
        """Write it."""
        from . import parquet_pieces

        return parquet_pieces.blank(parquet_pieces.read_schema(self.schema))


class SealChunks(NamedTuple):
    """Ask for column chunks of one row group: those of the columns from first to last.

    Its rows are those of the pieces. Chunks can be put one behind the other, as ``parquet_footer`` does.
    """

    pieces: tuple[str, ...]
    output: str
    schema: bytes
    first: int
    last: int

    def answer(self) -> ColumnChunks:
        """Write them to a file of their own; say what lies in it. Raises ``DataError`` where a value does not fit."""
        from . import parquet_pieces

        schema = parquet_pieces.read_schema(self.schema)
        parquet_pieces.write(self.pieces, schema, self.output, first=self.first, last=self.last)
        return chunks_in(Path(self.output))


def header(columns: Iterable[str], *, delimiter: str) -> bytes:
    """Write the header of a CSV output: one row, or one for each level of the labels."""
    line = io.StringIO()
    csv.writer(line, delimiter=delimiter, lineterminator="\n").writerows(header_rows(columns))
    return line.getvalue().encode()


def compress(data: bytes, codec: str) -> bytes:
    """Compress bytes so that equal input gives equal output, at any time."""
    if codec == "gzip":
        return gzip.compress(data, mtime=0)
    import pyarrow as pa

    return bytes(pa.Codec("zstd", _ZSTD_LEVEL).compress(data, asbytes=True))
