"""One task of one file, from bytes to pieces: read, call the function, find bad rows, write."""

import dataclasses
import json
import time
import zlib
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa

from muster._formats import _absent, _kinds, _rows, csv, csv_text
from muster._formats._encodings import Garbled, placed
from muster._formats._reader import reader
from muster._formats._records import records
from muster._formats._results import Reply, joined, shaped
from muster._formats.survey import LONGEST_TAIL
from muster._model import Briefing, Column, Fault, Outcome, Piece, Schema, Seconds, Span, StepMeasure, Task
from muster._places.urls import is_remote
from muster._private.files import private
from muster._progress.schema import united
from muster._words import plural
from muster.errors import DataError

from .steps import BadRow, MemoryBlame, Steps, reasons

_COUNTED: Final = 16 << 20
"""Bytes of a file whose lines are counted to name one: some hundredths of a second."""


@dataclass(slots=True)
class Called:
    """What calls of the steps on some rows gave: so many rows, of which some could not be read."""

    rows: int
    steps: Steps
    replies: list[Reply] = field(default_factory=list)
    refused_before: list[int] = field(default_factory=list)
    """How many rows had been refused when each reply came."""
    unread: Collection[int] = ()

    def add(self, other: "Called") -> None:
        """Take in what calls gave that refused no row."""
        self.rows += other.rows
        self.replies += other.replies
        self.steps.add(other.steps)


class Single:
    """One task, from bytes to pieces."""

    def __init__(self, briefing: Briefing, task: Task, *, memory: MemoryBlame) -> None:
        self.briefing = briefing
        self.task = task
        self.memory = memory
        self.source = briefing.sources[task.file]
        self.path = task.spool.path if task.spool else self.source.path
        self.origin = task.spool.origin if task.spool else 0

    def run(self) -> Outcome:
        """Do the task."""
        began = time.perf_counter()
        self._try_reading()
        rows = self.read()
        if rows.misfits:
            return Outcome(self.task, 0, 0, misfits=rows.misfits)
        steps = self.steps(rows)
        if (fault := self._fault(rows, steps)) is not None:
            count, spent = len(rows.numbers) + len(rows.bad), time.perf_counter() - began
            seconds = Seconds(spent - steps.seconds, steps.seconds, total=spent)
            return Outcome(self.task, count, 0, bad_rows=count, seconds=seconds, fault=fault)
        return self.settled(self.called(rows, steps), began=began)

    def steps(self, rows: _rows.Rows) -> Steps:
        """Take the steps to these rows; those that could not be read are bad already."""
        steps = Steps(self.briefing, self.task.bad_rows_left, self.memory, self.task.file)
        steps.bad.update({row: BadRow(self._reader, error) for row, error in rows.bad.items()})
        return steps

    def called(self, rows: _rows.Rows, steps: Steps) -> "Called":
        """Call the steps on one batch after another."""
        called = Called(len(rows.numbers) + len(rows.bad), steps, unread=rows.bad)
        for batch in self._batches(rows):
            for reply in () if steps.exhausted else steps.results(batch):
                called.replies.append(reply)
                called.refused_before.append(len(steps.bad) - len(rows.bad))
        return called

    def settled(self, called: "Called", *, began: float) -> Outcome:
        """Write what the steps gave, and what they refused."""
        applied = time.perf_counter()
        steps, replies = called.steps, called.replies
        first_error = next((f"{bad.error}\n{bad.traceback}".strip() for bad in steps.bad.values()), "")
        outcome = Outcome(
            self.task, called.rows, 0, bad_rows=len(steps.bad), first_error=first_error, index=steps.index
        )
        if steps.bad and not steps.exhausted:
            outcome = dataclasses.replace(
                outcome, rejects=self._write_piece("rejects", [self._rejects(steps.bad)], len(steps.bad))
            )
        sorted_out = time.perf_counter()
        if not steps.exhausted:
            is_text = self.briefing.format != "parquet"  # of which each part is written by itself
            outcome, texts = self._write(outcome, joined(replies) if is_text and not steps.bad else replies)
            if steps.bad and not self.task.condemned:
                between = self._between(steps.bad, unread=called.unread)
                spans = _spans(between, zip(called.refused_before, replies, texts, strict=True))
                outcome = dataclasses.replace(outcome, spans=spans)
        ended = time.perf_counter()
        return dataclasses.replace(
            outcome,
            seconds=Seconds(
                applied - began - steps.seconds - steps.sorting,
                steps.seconds,
                ended - (sorted_out if steps.bad else applied),
                ended - began,
                sorting=steps.sorting + (sorted_out - applied if steps.bad else 0.0),
                failed=steps.failed,
            ),
            steps=tuple(
                StepMeasure(one.rows_in, one.rows_out, one.batches, one.seconds, dict(one.bins)) for one in steps.sums
            ),
            reasons=reasons(steps.bad.values()),
        )

    @property
    def order(self) -> tuple[str, ...]:
        """Name the file's own columns, as they stand; nothing where the format has none."""
        return self.briefing.orders[self.task.file] if self.briefing.orders else ()

    @property
    def _reader(self) -> str:
        """Name the step of rows whose worker died: reading, or after that any of the steps."""
        if self.task.condemned and self.task.start < self.task.stop and not self.task.dies_unread:
            return " or ".join(step.name for step in self.briefing.steps)
        return "read"

    def _fault(self, rows: _rows.Rows, steps: Steps) -> Fault | None:
        """Tell how the function fails on all rows alike, if no row is known to be good."""
        if not self.task.is_doubted or self.task.condemned or not len(rows.numbers):
            return None
        return steps.fault(rows, next(self._batches(rows)))

    def data(self) -> bytes:
        """Read the text of all rows of the task's parts. Raises ``DataError`` where it is no longer all there."""
        start, stop = self.task.start - self.origin, self.task.stop - self.origin
        data = reader(self.path).read(start, stop)
        if len(data) != stop - start:
            raise DataError(f"{self.source.name!r} became shorter while muster read it. Run again when it is whole.")
        return data

    def _try_reading(self) -> None:
        """Read rows that no worker survived: if this one does, the function is to blame, not reading."""
        task = self.task
        if not task.condemned or task.start == task.stop:
            return
        if not task.dies_unread:
            self._read_some()
        elif (
            self.source.format == "parquet"
        ):  # whose rows are read by the thousand, so all of those would die one by one
            raise DataError(
                f"{self.source.name!r}: no worker survives reading row {task.lo}: {task.condemned}. The file may"
                " be damaged there, or need more memory than there is. Write it anew, in smaller row groups, or"
                " leave it out."
            )

    def read(self) -> _rows.Rows:
        """Read the rows of the task."""
        if self.task.start == self.task.stop or self.task.condemned:
            return self._no_rows()
        return self._read_some()

    def _read_some(self) -> _rows.Rows:
        task, briefing, order = self.task, self.briefing, self.order
        columns = _absent.own(briefing.columns, order)
        if self.source.format == "parquet":
            from muster._formats import parquet

            lo, hi = task.lo - self.origin, task.hi - self.origin
            try:
                rows = parquet.read(self.path, lo=lo, hi=hi, agreed=briefing.agreed, columns=columns)
            except DataError as error:  # of the copy, where it is read as one
                raise DataError(str(error).replace(repr(self.path), repr(self.source.name))) from error
            rows = _rows.Rows(rows.table, rows.numbers + self.origin)
        else:
            rows = self._read_text(columns, order)
        return _absent.completed(rows, briefing.columns, dict(self.source.keys))

    def _read_text(self, columns: tuple[Column, ...], order: tuple[str, ...]) -> _rows.Rows:
        task, dialect, data = self.task, self.briefing.dialect, self._own_data()
        if self.source.format == "jsonl":
            from muster._formats import jsonl

            count = task.hi - task.lo
            rows = jsonl.read(data, row=task.lo, count=count, columns=columns, encoding=dialect.encoding)
        else:
            reading = self.briefing.reading
            rows = csv.read(data, row=task.lo, order=order, columns=columns, dialect=dialect, reading=reading)
        if any(isinstance(error, Garbled) for error in rows.bad.values()):
            before = self._lines_before()
            where: Any = {"name": self.source.name, "row": task.lo, "start": task.start, "lines": before}
            rows.bad = placed(rows.bad, data, dialect, **where)
        if not rows.misfits:
            self._check_count(len(rows.numbers) + len(rows.bad), task.hi - task.lo)
        return rows

    def _lines_before(self) -> int | None:
        """Count the lines before the task, where that takes no time; a stream and a store do not have them here."""
        if self.task.spool or is_remote(self.path) or self.task.start > _COUNTED or not self.task.is_whole:
            return None
        return reader(self.path).read(0, self.task.start).count(b"\n")

    def _own_data(self) -> bytes:
        """Take the text of the task's rows alone: the others of its parts may be those that no worker survives."""
        task, data = self.task, self.data()
        if task.is_whole:
            return data
        starts = [start for start, _ in records(data, self.briefing.dialect)]
        self._check_count(len(starts), task.rows)
        return data[starts[task.lo - task.row] : None if task.reaches_end else starts[task.hi - task.row]]

    def _check_count(self, found: int, expected: int) -> None:
        if found != expected:
            raise DataError(
                f"{self.source.name!r}: expected {plural(expected, 'row')} from byte {self.task.start} on, found"
                f" {found}. The file changed while muster read it. Run again with --fresh."
            )

    def _no_rows(self) -> _rows.Rows:
        """Give a frame without rows; those of a task that is condemned are bad."""
        if self.source.format == "parquet":
            from muster._formats import parquet

            columns = _absent.own(self.briefing.columns, ())
            table = parquet.read(self.path, lo=0, hi=0, agreed=self.briefing.agreed, columns=columns).table
        else:
            types = [(column.name, _kinds.ARROW[_rows.type_of(column)]) for column in self.briefing.columns]
            table = pa.schema(types).empty_table()
        bad = dict.fromkeys(range(self.task.lo, self.task.hi), self.task.condemned) if self.task.condemned else {}
        rows = _rows.Rows(table, np.empty(0, np.int64), bad)
        return _absent.completed(rows, self.briefing.columns, {})

    def _batches(self, rows: _rows.Rows) -> Iterator[_rows.Rows]:
        size = self.briefing.batch_rows
        if size is None or self.task.lo == self.task.hi:
            if len(rows.numbers) or self.task.lo == self.task.hi:
                yield rows
            return
        for lo in range(self.task.lo - self.task.lo % size, self.task.hi, size):
            batch = rows.between(lo, lo + size)
            if len(batch.numbers):
                yield batch

    def _between(self, bad: Collection[int], *, unread: Collection[int]) -> list[Span]:
        """Name the rows between those that the function failed on: before the first, between two, behind the last."""
        refused = sorted(set(bad) - set(unread))
        edges = pairwise([self.task.lo - 1, *refused, self.task.hi])
        return [Span(one + 1, other, sum(one < row < other for row in unread), 0, 0, 0, None) for one, other in edges]

    def _write(self, outcome: Outcome, replies: list[Reply]) -> tuple[Outcome, list[bytes | memoryview]]:
        """Write the results; give the text of each, too, which is empty where the format has none of its own."""
        telling = [reply for reply in replies if reply.schema is not None]
        if not telling:
            return outcome, [b""] * len(replies)
        own, rows = united(reply.schema for reply in telling if reply.schema), sum(reply.rows for reply in replies)
        schema = united([self.task.expected or own, own])
        if self.briefing.format == "parquet":
            from muster._formats import parquet, parquet_schema

            texts: list[bytes | memoryview] = [b""] * len(replies)
            whole: list[bytes | memoryview] = [parquet.render(parquet_schema.piece(telling))]
        else:
            texts = whole = [self._text(reply, schema) for reply in replies]
        written = dataclasses.replace(
            outcome,
            rows_out=rows,
            output=self._write_piece("rows", whole, rows) if rows or self.briefing.format == "parquet" else None,
            schema=own,
            written=None if schema == own else schema,
        )
        return written, texts

    def _text(self, reply: Reply, schema: Schema) -> bytes | memoryview:
        if reply.schema is None:
            return b""
        if self.briefing.format == "csv":
            return _as_csv(reply, schema, delimiter=self.briefing.delimiter)
        from muster._formats import jsonl_text

        return jsonl_text.render(shaped(reply, schema)[0], rows=reply.rows)

    def _write_piece(self, kind: str, texts: Sequence[bytes | memoryview], rows: int) -> Piece:
        path = Path(f"{self.briefing.folder}-{self.task.number}.{kind}")
        crc = 0
        for text in texts:
            crc = zlib.crc32(text, crc)
        size = sum(map(len, texts))
        if kind == "rows" and self.briefing.staging:
            from muster._places.objects import put

            stamp = put(f"{self.briefing.staging}/{path.name}", b"".join(texts))
            return Piece(path.name, size, crc, rows, stamp=stamp)
        with open(path, "wb", opener=private) as file:
            file.writelines(texts)
        return Piece(path.name, size, crc, rows)

    def _rejects(self, bad: dict[int, BadRow]) -> bytes:
        raw = self._raw(bad)
        lines = [
            {
                "file": self.source.name,
                "row": row,
                "byte_offset": raw[row][0],
                "raw": raw[row][1],
                "step": found.step,
                "error": found.error,
                "traceback": found.traceback,
            }
            for row, found in sorted(bad.items())
        ]
        text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
        return text.encode(errors="backslashreplace")

    def _raw(self, rows: Iterable[int]) -> dict[int, tuple[int | None, str]]:
        """Find where each row starts in its file, and its text."""
        task, dialect = self.task, self.briefing.dialect
        if self.source.format == "parquet":
            from muster._formats import parquet

            return {row: (None, parquet.as_text(self.path, row - self.origin)) for row in rows}
        if task.start == task.stop:
            begin = task.start - self.origin
            data = reader(self.path).read(begin, begin + LONGEST_TAIL)
            return {task.lo: (task.start, data.decode(dialect.encoding, errors="backslashreplace"))}
        found = csv.raw_records(self.data(), dialect, wanted=[row - task.row for row in rows])
        return {task.row + at: (task.start + offset, text) for at, (offset, text) in found.items()}


def _spans(between: Sequence[Span], written: Iterable[tuple[int, Reply, bytes | memoryview]]) -> tuple[Span, ...]:
    """Add to each stretch of rows what was written of it; replies say how many rows were refused before them."""
    spans = list(between)
    for at, reply, text in written:
        span = spans[at]
        spans[at] = span._replace(
            rows_out=span.rows_out + reply.rows,
            bytes=span.bytes + len(text),
            crc=zlib.crc32(text, span.crc),
            schema=united(one for one in (span.schema, reply.schema) if one) if reply.schema else span.schema,
        )
    return tuple(span for span in spans if span.lo < span.hi)


def _as_csv(reply: Reply, schema: Schema, *, delimiter: str) -> bytes | memoryview:
    table, forms = shaped(reply, schema)
    if not table.num_columns:
        return b"\n" * reply.rows  # as pandas writes rows without columns
    places = list(map(str, range(table.num_columns)))  # a name may stand twice
    fine = {place: form for place, form in zip(places, forms, strict=True) if form}
    return csv_text.render(table.rename_columns(places), delimiter=delimiter, forms=fine)
