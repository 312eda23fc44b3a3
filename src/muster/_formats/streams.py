"""Read an input that cannot be split (compressed, or in an encoding whose bytes are not its characters) as a stream.

muster's own process decompresses it once, a block at a time, into spool files of whole records; workers do the rest.
"""

import codecs
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Final

from muster._dialects import Dialect
from muster._model import LocalCopy, Part, Source
from muster._private.files import keep
from muster._words import bare
from muster.errors import DataError

from .compression import Bytes, open_stream
from .encodings import Spot, explained
from .lines import without_mark
from .records import records, scan
from .stitch import RecordRange, ScannedBlock, stitch
from .survey import atom_of, has_header_among_rows, numbered, refuse_long_tail

BLOCK_BYTES: Final = 4 << 20
"""What is searched for rows at once: a few milliseconds of work, and little memory."""

_ASCII: Final = bytes(range(128))


def is_splittable(encoding: str) -> bool:
    """Tell whether a byte of a delimiter, quote or newline always means that in this encoding."""
    codec = codecs.lookup(encoding)
    if codec.name in {"utf-8", "utf-8-sig"}:
        return True
    if getattr(codec.incrementaldecoder, "__bases__", ()) != (codecs.IncrementalDecoder,):
        return False  # it has state, or characters of several bytes
    try:
        return _ASCII.decode(encoding) == _ASCII.decode()
    except UnicodeError:
        return False


class Stream:
    """One file read as a stream: iterate to get the parts of one spool file after another."""

    def __init__(  # noqa: PLR0913 (what to read, how it is written, where to put it, how to cut it)
        self,
        source: Source,
        file: int,
        *,
        dialect: Dialect,
        folder: Path,
        atom: int | None = None,
        batch_rows: int | None = None,
        data_start: int = 0,
        before: int = 0,
    ) -> None:
        """Say what to read and where spool files go; nothing is opened yet. ``data_start``: where the header ends.

        How large the stream is shows only at its end, so parts grow with what was read so far: for there not to be too
        many. The ``before`` bytes of the streams before this one count, too.
        """
        self._source = source
        self._file = file
        self._dialect = dialect
        self._folder = folder
        self._atom = atom
        self._before = before
        self.size = 0
        """How many bytes of it have become parts so far."""
        self._batch_rows = batch_rows
        self._row = 0
        self._data_start = data_start
        self._begins = b""
        self._taken = 0
        self._decoder = None if is_splittable(dialect.encoding) else _decoder(dialect)

    def __iter__(self) -> Iterator[tuple[Part, ...]]:
        """Yield the parts of each spool file, in order. Raises ``DataError`` when the file is damaged."""
        with open_stream(self._source) as stream:
            data, origin, ended = b"", 0, False
            if self._dialect.has_preamble:
                data, origin = self._behind_preamble(stream), self._data_start
            while not ended:
                block = self._more(stream)
                if block and len(data) > len(block):  # read twice as much: a record of n blocks is scanned log n times
                    block += b"".join(self._more(stream) for _ in range(len(data) // len(block)))
                data, ended = data + block, not block
                used, parts = self._cut(data, origin, ended=ended)
                if parts:
                    yield parts
                data, origin = data[used:], origin + used
                self.size = origin

    def _behind_preamble(self, stream: Bytes) -> bytes:
        """Read to where the data starts, and what has been read with it."""
        data = b""
        while len(data) < self._data_start and (block := self._more(stream)):
            data += block
        return data[self._data_start :]

    def _more(self, stream: Bytes) -> bytes:
        block = stream.read(BLOCK_BYTES)
        if self._decoder is None:
            return block
        self._begins = self._begins or block
        self._taken += len(block)
        try:
            text = self._decoder.decode(block, final=not block)
        except UnicodeDecodeError as error:
            spot, encoding = Spot(self._taken - len(error.object) + error.start), self._dialect.encoding
            why = explained(error.object, error.start, encoding=encoding, spot=spot, begins=self._begins)
            raise DataError(f"{self._source.name!r}, {why}.") from error
        except UnicodeError as error:  # such as a byte order mark that is missing
            raise DataError(
                f"{self._source.name!r} is not {self._dialect.encoding}: {bare(error)}. Name its encoding with"
                " --encoding."
            ) from error
        return text.encode() or (self._more(stream) if block else b"")

    def head(self) -> tuple[str, int]:
        """Write the first block to a file, for the header to be read; return its path and size."""
        path = self._folder / f"{self._file}-head"
        with open_stream(self._source) as stream:
            block = self._more(stream)
        keep(path, block)
        return str(path), len(block)

    def _cut(self, data: bytes, origin: int, *, ended: bool) -> tuple[int, tuple[Part, ...]]:
        dialect, atom = self._dialect, self._atom or atom_of(self._before + origin)
        block = scan(data, dialect, start=origin, atom=atom, assume_quoted=False)
        if not ended:
            block = _whole_records(block)
        stretches, unclosed = stitch([block])
        refuse_long_tail(self._source, unclosed, origin + len(data))
        if self._batch_rows:
            stretches = self._whole_batches(data, stretches, origin, atom=atom, ended=ended)
            if not stretches and not ended:
                return 0, ()
        copy = LocalCopy(str(self._folder / f"{self._file}-{origin}"), origin)
        first = origin == 0
        data_start = self._data_start if first else 0
        has_header = first and self._source.format == "csv" and has_header_among_rows(dialect)
        parts = numbered(
            self._file,
            stretches,
            data_start,
            has_header=has_header,
            row=self._row,
            local_copy=copy,
            unclosed=unclosed,
        )
        self._row += sum(part.rows for part in parts)
        used = (stretches[-1].stop if stretches and not ended else block.stop) - origin
        if parts:
            keep(copy.path, data if unclosed is not None else data[:used])
        return used, tuple(parts)

    def _whole_batches(
        self, data: bytes, stretches: list[RecordRange], origin: int, *, atom: int, ended: bool
    ) -> list[RecordRange]:
        """Cut at rows that are multiples of ``batch_rows`` instead, and leave the rows of an unfinished batch."""
        batch_rows = self._batch_rows or 1
        headers = int(origin == 0 and self._source.format == "csv" and has_header_among_rows(self._dialect))
        rows = sum(stretch.rows for stretch in stretches) - headers
        per_part = batch_rows * max(1, rows * atom // max(len(data), 1) // batch_rows)
        last = rows if ended else rows - rows % batch_rows
        if last <= 0:
            return stretches if ended else []
        text = data[: stretches[-1].stop - origin]
        text = text if origin else without_mark(text)
        starts = [start for start, _ in records(text, self._dialect)]
        cuts = list(range(per_part, last, per_part))
        edges = [0, *(starts[row + headers] for row in cuts)]
        edges.append(starts[last + headers] if last < rows else len(text))
        counts = [stop - start for start, stop in pairwise([0, *cuts, last])]
        counts[0] += headers
        return [RecordRange(origin + a, origin + b, n) for (a, b), n in zip(pairwise(edges), counts, strict=True)]


def _decoder(dialect: Dialect) -> codecs.IncrementalDecoder:
    return codecs.getincrementaldecoder(dialect.encoding)(dialect.encoding_errors)


def _whole_records(block: ScannedBlock) -> ScannedBlock:
    """Leave out the record that goes on in the next block."""
    flow = block.plain
    if flow is None or flow.open is None:
        return block
    return block._replace(stop=flow.open, plain=flow._replace(open=None, ends_quoted=False))
