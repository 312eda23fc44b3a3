"""The rows that ``muster send`` sends: those of files, or such as are made. They can be gone through again from any."""

import asyncio
import hashlib
import socket
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final, Protocol

from muster._dialects.dialect import Dialect
from muster._formats.compression import open_stream
from muster._formats.newlines import BOM
from muster._formats.records import records
from muster._model import Source
from muster._urls.urls import is_remote
from muster._words import text_of
from muster.errors import DataError, UsageError

_AT_ONCE: Final = 1 << 20
"""Bytes of a file that are read together: some thousand rows."""

_LARGEST: Final = 64 << 20
"""Bytes of a record that no more is read for: no frame may be so large."""


class Outgoing(Protocol):
    """Rows of one stream, numbered from 1."""

    stream: str
    header: bytes | None

    def batches(self, after: int) -> tuple[int, Iterator[list[bytes] | None]]:
        """Go through the rows behind one, and perhaps some before it, many at a time, without their line ends.

        Tell how many rows lie before those. ``None`` comes where there are no more yet; then ``more`` waits for some.
        """

    async def begun(self) -> bool:
        """Return once it is known how the rows begin; tell whether there are any."""
        return True

    async def more(self) -> None:
        """Return once there may be more rows: never, where all are there from the start."""
        await asyncio.Event().wait()


class MadeRows(Outgoing):
    """The rows of ``muster generate``."""

    def __init__(self, rows: int, *, header: str, lines: Callable[[int], Iterator[str]]) -> None:
        """``lines`` makes so many rows as text."""
        self.stream = f"generated-{rows}-{socket.gethostname()}"
        self.header: bytes | None = header.rstrip("\n").encode()
        self._rows = rows
        self._lines = lines

    def batches(self, after: int) -> tuple[int, Iterator[list[bytes]]]:
        del after
        return 0, (text.encode().splitlines() for text in self._lines(self._rows))


class FileRows(Outgoing):
    """The rows of files of CSV or JSON lines: those of one after those of the other."""

    def __init__(
        self,
        sources: Sequence[Source],
        *,
        delimiter: str,
        has_header: bool = True,
        may_grow: bool = False,
        at_once: int = _AT_ONCE,
    ) -> None:
        """Take files, ``at_once`` bytes at a time; ``delimiter`` is empty for JSON lines, which have no header either.

        Where they ``may_grow``, a last line without a line end is left for the next time. Raises ``UsageError`` for
        files that are no text.
        """
        self._may_grow = may_grow
        self.left_behind = ""
        """A file whose last line was left, as it has no line end yet."""
        self._at_once = at_once
        if sources[0].format == "parquet":
            raise UsageError(
                f"{sources[0].name!r} is Parquet, and rows of CSV or JSON lines are sent as they stand in their files."
                " Write it as one of these first."
            )
        self._sources = sources
        self._dialect = Dialect(delimiter, '"' if delimiter else "")
        self._has_header = bool(delimiter) and has_header
        self.stream = _name_of(sources)
        self.header = self._first_header()

    def _first_header(self) -> bytes | None:
        if not self._has_header:
            return None
        first = next((next(iter(rows)) for source in self._sources for rows in self._records(source)), None)
        if first is None:
            raise DataError(f"{self._sources[0].name!r} is empty, and has no header. Name a file with rows.")
        return first

    def batches(self, after: int) -> tuple[int, Iterator[list[bytes]]]:
        del after
        return 0, self.rows()

    def rows(self) -> Iterator[list[bytes]]:
        """Go through all rows. Raises ``DataError``."""
        for source in self._sources:
            is_first = self._has_header
            for rows in self._records(source):
                if is_first and rows[0] != self.header:
                    raise DataError(
                        f"The header of {source.name!r} is {_shown(rows[0])}, and that of {self._sources[0].name!r} is"
                        f" {_shown(self.header or b'')}: one stream has one header. Send them apart."
                    )
                yield rows[1:] if is_first else rows
                is_first = False

    def _records(self, source: Source) -> Iterator[list[bytes]]:
        """Read the records of a file that are not blank, at least one at a time. Raises ``DataError``."""
        try:
            self._check_is_as_found(source)
            yield from self._read(source)
            self._check_is_as_found(source)
        except OSError as error:
            raise DataError(
                f"Cannot read {source.name!r}: {error.strerror or text_of(error)}. Mend that, and type the same"
                " command again."
            ) from error

    def _read(self, source: Source) -> Iterator[list[bytes]]:
        with open_stream(source) as file:
            data = file.read(self._at_once).removeprefix(BOM)
            while more := file.read(self._at_once):
                rows, rest = self._split(data)
                if rows:
                    yield rows
                elif len(rest) > _LARGEST:
                    raise DataError(
                        f"A row of {source.name!r} has more than {_LARGEST:,} bytes. Most likely a quote opens a cell"
                        " that none closes: look for it, or name what separates cells with --sep."
                    )
                data = rest + more
        rows, rest = self._split(data)
        if rest and self._may_grow:
            self.left_behind = source.name
        else:
            rows += [self._bare(rest[start:end]) for start, end in records(rest, self._dialect)]
        if rows:
            yield rows

    def _check_is_as_found(self, source: Source) -> None:
        """Raise ``DataError`` for a file that has changed: rows of two versions are no stream. Stores say so alone."""
        if is_remote(source.path):
            return
        now = Path(source.path).stat()
        if (now.st_size, str(now.st_mtime_ns)) == (source.size, source.stamp):
            return
        if not self._may_grow:
            raise DataError(
                f"{source.name!r} has changed since this command began, so rows of two versions would be sent as one"
                " stream. Type the command again, to send it as it is now, as another stream; of a file that only"
                " grows, --stream NAME sends what is new."
            )
        if now.st_size < source.size:
            raise DataError(
                f"{source.name!r} has become shorter since this command began, and a stream only grows. Send it as"
                " another stream: --stream with another name."
            )

    def _split(self, data: bytes) -> tuple[list[bytes], bytes]:
        """Cut bytes that begin with a record into records and what may go on behind them."""
        if self._is_plain(data):
            *rows, rest = data.split(b"\n")
            if b"" not in rows:  # which would be a blank line
                return rows, rest
        behind = data.rfind(b"\n") + 1
        found = list(records(data[:behind], self._dialect))
        if found and found[-1][1] == behind:  # the newline may stand in a cell that goes on
            behind, _ = found.pop()
        return [self._bare(data[start:end]) for start, end in found], data[behind:]

    def _is_plain(self, data: bytes) -> bool:
        """Tell whether newlines alone end rows, and no line is of blanks alone, unless it is empty.

        One byte is found many times as fast as two in a row, and most text has none of these.
        """
        marks = b"\r" + BOM[:1] + self._dialect.quote.encode()
        if any(mark in data for mark in marks):
            return False
        there = [blank for blank in (b" ", b"\t") if blank in data]
        return not any(data.startswith(blank) or b"\n" + blank in data for blank in there)

    def _bare(self, record: bytes) -> bytes:
        return record.removesuffix(b"\n").removesuffix(b"\r")


def _name_of(sources: Sequence[Source]) -> str:
    """Name a stream by its files: the same while they are unchanged."""
    digest = hashlib.sha256(socket.gethostname().encode())
    for source in sources:
        digest.update(f"\n{source.path} {source.size} {source.stamp}".encode("utf-8", "surrogateescape"))
    name = Path(sources[0].name).name[:60]
    return f"{''.join(mark if mark.isprintable() else '?' for mark in name)}-{digest.hexdigest()[:12]}"


def _shown(header: bytes) -> str:
    return repr(header[:200].decode("utf-8", "replace"))
