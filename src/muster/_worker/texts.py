"""Read the rows of tasks over files of text: CSV and JSON lines."""

from abc import abstractmethod
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import pyarrow as pa

from muster._formats import csv
from muster._formats.encodings import COUNTED, Garbled, placed
from muster._formats.reader import reader
from muster._formats.records import records
from muster._formats.rows import Rows
from muster._formats.survey import LONGEST_TAIL
from muster._urls.urls import is_remote
from muster.errors import DataError

from .reader import Raw, Reader


class TextReader(Reader):
    """Reads rows that are lines, or records, of text."""

    def data(self) -> bytes:
        """Read the text of all rows of the task's parts. Raises ``DataError`` where it is no longer all there."""
        start, stop = self.task.start - self.origin, self.task.stop - self.origin
        data = reader(self.path).read(start, stop)
        if len(data) != stop - start:
            raise DataError(f"{self.source.name!r} became shorter while muster read it. Run again when it is whole.")
        return data

    @abstractmethod
    def parse(self, data: bytes) -> Rows:
        """Parse the text of the task's rows."""

    @abstractmethod
    def parse_together(self, stretches: Sequence[bytes], *, count: int) -> pa.Table | None:
        """Parse the text of several tasks, of so many rows, at once; ``None`` where that cannot be."""

    def parsed(self) -> Rows:
        """Read and parse the task's rows."""
        task, dialect = self.task, self.briefing.dialect
        start, data = self._own_data()
        rows = self.parse(data)
        if any(isinstance(error, Garbled) for error in rows.bad.values()):
            before = self._lines_before(start)
            where: Any = {"name": self.source.name, "row": task.lo, "start": start, "lines": before}
            rows.bad = placed(rows.bad, data, dialect, **where)
        if not rows.misfits:
            self.check_count(len(rows.numbers) + len(rows.bad), task.hi - task.lo)
        return rows

    def raw(self, rows: Collection[int]) -> Mapping[int, Raw]:
        """Find rows once more; of one that never ends, its beginning."""
        task, dialect = self.task, self.briefing.dialect
        if task.start == task.stop:
            begin = task.start - self.origin
            data = reader(self.path).read(begin, begin + LONGEST_TAIL)
            return {task.lo: Raw(task.start, data.decode(dialect.encoding, errors="backslashreplace"))}
        found = csv.raw_records(self.data(), dialect, wanted=[row - task.row for row in rows])
        return {task.row + at: Raw(task.start + offset, text) for at, (offset, text) in found.items()}

    def _own_data(self) -> tuple[int, bytes]:
        """Take the text of the task's rows alone, and where it begins: others may be those that no worker survives."""
        task, data = self.task, self.data()
        if task.is_whole:
            return task.start, data
        starts = [start for start, _ in records(data, self.briefing.dialect)]
        self.check_count(len(starts), task.rows)
        begin = starts[task.lo - task.row]
        return task.start + begin, data[begin : None if task.reaches_end else starts[task.hi - task.row]]

    def _lines_before(self, start: int) -> int | None:
        """Count the lines before a byte, where that takes no time; a stream and a store do not have them here."""
        if self.task.local_copy or is_remote(self.path) or start > COUNTED:
            return None
        return reader(self.path).read(0, start).count(b"\n")


class CsvReader(TextReader):
    """Reads CSV, as the dialect and the options of ``read_csv`` say."""

    def parse(self, data: bytes) -> Rows:
        """Parse the text of the task's rows."""
        dialect, reading = self.briefing.dialect, self.briefing.reading
        return csv.read(
            data, row=self.task.lo, order=self.order, columns=self.columns, dialect=dialect, reading=reading
        )

    def parse_together(self, stretches: Sequence[bytes], *, count: int) -> pa.Table | None:  # noqa: ARG002 (it is found)
        """Parse the text of several tasks at once."""
        dialect, reading = self.briefing.dialect, self.briefing.reading
        return csv.read_together(stretches, order=self.order, columns=self.columns, dialect=dialect, reading=reading)


class JsonLinesReader(TextReader):
    """Reads a JSON object from each line."""

    def parse(self, data: bytes) -> Rows:
        """Parse the text of the task's rows."""
        from muster._formats import jsonl

        task, encoding = self.task, self.briefing.dialect.encoding
        return jsonl.read(data, row=task.lo, count=task.hi - task.lo, columns=self.columns, encoding=encoding)

    def parse_together(self, stretches: Sequence[bytes], *, count: int) -> pa.Table | None:
        """Parse the text of several tasks at once."""
        from muster._formats import jsonl

        encoding = self.briefing.dialect.encoding
        return jsonl.read_together(stretches, count=count, columns=self.columns, encoding=encoding)
