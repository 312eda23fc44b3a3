"""Read the rows of tasks, in whatever format their files are; of many small files at once where that can be."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Final

import numpy as np
import pyarrow as pa

from muster._formats.rows import Among, Frame, Rows
from muster._model import NO_FILE, Briefing, Task
from muster.errors import DataError

from .ordered import OrderedReader
from .reader import Raw, Reader
from .texts import CsvReader, JsonLinesReader, TextReader


class ParquetReader(Reader):
    """Reads rows of Parquet, which has no text: positions are rows."""

    def parsed(self) -> Rows:
        """Read the task's rows."""
        rows = self._between(self.task.lo - self.origin, self.task.hi - self.origin)
        return Rows(rows.table, rows.numbers + self.origin)

    def _between(self, lo: int, hi: int) -> Rows:
        from muster._formats import parquet

        try:
            return parquet.read(self.path, lo=lo, hi=hi, agreed=self.briefing.agreed, columns=self.columns)
        except DataError as error:  # of the copy, where it is read as one
            raise DataError(str(error).replace(repr(self.path), repr(self.source.name))) from error

    def empty(self) -> pa.Table:
        """Read no row."""
        return self._between(0, 0).table

    def raw(self, rows: Collection[int]) -> Mapping[int, Raw]:
        """Write rows as text."""
        from muster._formats import parquet

        agreed = self.briefing.agreed
        return {row: Raw(None, parquet.as_text(self.path, row - self.origin, agreed=agreed)) for row in rows}

    def survive(self) -> None:
        """Raise ``DataError`` where reading kills: as rows are read by the thousand, all of those would die."""
        if self.task.dies_unread:
            raise DataError(
                f"{self.source.name!r}: no worker survives reading row {self.task.lo}: {self.task.condemned}. The file"
                " may be damaged there, or need more memory than there is. Write it anew, in smaller row groups, or"
                " leave it out."
            )
        super().survive()


_PLAIN: Final = (
    *(pa.types.is_integer, pa.types.is_boolean, pa.types.is_string, pa.types.is_large_string, pa.types.is_timestamp),
)
"""Types of Arrow that pandas has a type for which does not depend on the rows, where none is missing."""

_READERS: Final[Mapping[str, type[Reader]]] = {"csv": CsvReader, "jsonl": JsonLinesReader, "parquet": ParquetReader}


def reader_of(briefing: Briefing, task: Task) -> Reader:
    """Make what reads a task: of one file, or of what steps gave."""
    if task.file == NO_FILE and briefing.exchange is not None:
        return OrderedReader(briefing, task, briefing.exchange)
    return _READERS[briefing.sources[task.file].format](briefing, task)


def readers_of(briefing: Briefing, task: Task) -> Iterator[Reader]:
    """Make what reads each file of a task, in order; files whose columns stand alike are read when the first is due."""
    readers = [reader_of(briefing, one) for one in task.members or (task,)]
    for _, group in groupby(readers, key=lambda one: (type(one), one.order)):
        alike = list(group)
        _read_ahead(alike)
        yield from alike


def _read_ahead(readers: Sequence[Reader]) -> None:
    """Read small files at once, so that a frame of all their rows is made once. Else each is read by itself."""
    if len(readers) > 1 and isinstance(readers[0], ParquetReader):
        _share_a_frame(readers)
        return
    first, count = readers[0], sum(one.task.rows for one in readers)
    texts = [one for one in readers if isinstance(one, TextReader)]
    columns = first.columns
    if len(texts) < max(len(readers), 2) or len(columns) < len(first.briefing.columns):
        return
    table = texts[0].parse_together([one.data() for one in texts], count=count)
    if table is None or len(table) != count:
        return
    frame, at = Frame(table, columns, header=not first.briefing.dialect.is_numbered), 0
    for one in readers:
        row, rows = one.task.row, one.task.rows
        one.ahead = Rows(table.slice(at, rows), np.arange(row, row + rows), among=Among(frame, at))
        at += rows


def _share_a_frame(readers: Sequence[Reader]) -> None:
    """Read files of Parquet, each by itself, and have their frames be cut from one, where that changes no type."""
    for one in readers:
        one.ahead = one.read()
    read = [one.ahead for one in readers if one.ahead is not None]
    first = read[0].table.schema
    if not all(rows.table.schema.equals(first, check_metadata=True) and is_plain(rows.table) for rows in read):
        return
    briefing, table = readers[0].briefing, pa.concat_tables([rows.table for rows in read])
    frame, at = Frame(table, briefing.columns, header=not briefing.dialect.is_numbered), 0
    for rows in read:
        rows.among = Among(frame, at)
        at += len(rows.numbers)


def is_plain(table: pa.Table) -> bool:
    """Tell whether pandas has the same types for these rows, whatever rows of the same columns are among them."""
    return all(
        pa.types.is_floating(column.type) or (any(holds(column.type) for holds in _PLAIN) and not column.null_count)
        for column in table.columns
    )
