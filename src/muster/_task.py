"""What a worker does: answer questions about the input, and run tasks. The one worker body, which engines carry."""

import dataclasses
import json
import pickle
import time
import zlib
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd  # noqa: F401 (imported once, before workers are forked)
import pyarrow as pa

from muster._cuts import calls_of
from muster._formats import _absent, _kinds, _rows, csv, csv_text
from muster._formats._reader import reader
from muster._formats._records import records
from muster._formats._results import Reply, shaped
from muster._formats.survey import LONGEST_TAIL
from muster._grown import write_in_turn
from muster._model import Briefing, Column, DataFile, Fault, Outcome, Piece, Schema, Seconds, Span, StepMeasure, Task
from muster._private import private
from muster._schema import united
from muster._steps import BadRow, MemoryBlame, Steps, reasons
from muster._user_code import facts  # noqa: F401 (likewise)
from muster._user_code.listening import Ear
from muster._user_code.targets import Loaded
from muster._vitals import Vitals
from muster.errors import DataError


def use_one_core() -> None:
    """Keep Arrow from starting threads: this process is one of many, each on a core."""
    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)


class Worker:
    """Answer one request after another under the current briefing."""

    def __init__(self, *, is_replaceable: bool = True) -> None:
        """Wait for a briefing; questions are answered without one.

        Where memory runs out in a process that is replaceable, another may do better: then a task raises
        ``MemoryError`` unless nothing has piled up yet.
        """
        self._memory = MemoryBlame(is_replaceable)
        self._briefing: Briefing | None = None
        self._inputs: frozenset[str] = frozenset()
        self._folder = ""
        self._vitals = Vitals()
        self._loaded = Loaded()
        self.ear = Ear()

    def brief(self, briefing: bytes) -> None:
        """Take a pickled ``Briefing`` for the tasks that follow."""
        self._briefing = pickle.loads(briefing)  # noqa: S301 (it comes from the muster process that started this worker)
        self._inputs = frozenset(source.path for source in self._briefing.sources)
        self._folder = str(Path(self._briefing.folder).parent.parent)
        self._loaded.have(self._briefing.state, self._briefing.code)

    def is_spent(self, request: Any) -> bool:  # noqa: ANN401 (a task, any question, or none)
        """Tell whether a fresh process should take the place of this one: its function has been called enough."""
        most, done = self._briefing.calls_per_worker if self._briefing else None, self._memory.calls
        if most is None or not done:
            return False
        to_come = calls_of(request, self._briefing.batch_rows) if isinstance(request, Task) and self._briefing else 0
        return done >= most or done + to_come > most

    def end(self) -> None:
        """Release the user's functions."""
        self._loaded.end()

    def __call__(self, request: Any) -> object:  # noqa: ANN401 (a task, or any question with an answer)
        """Run a task, or answer a question."""
        with self._loaded.used(), self.ear.listening():
            answer = self._answered(request)
        return self._with_files(answer) if isinstance(answer, Outcome) else answer

    def _with_files(self, outcome: Outcome) -> Outcome:
        """Add to an outcome which files the user's code has opened; most tasks open none."""
        read, written = self.files()
        if not read and not written:
            return outcome
        return dataclasses.replace(outcome, read_files=read, written_files=written)

    def files(self) -> tuple[tuple[DataFile, ...], tuple[str, ...]]:
        """Tell once which files the user's code has opened for reading, and which for writing."""
        if self._briefing is None:
            return (), ()
        return self.ear.tell(besides=self._inputs, folder=self._folder, modules=self._loaded.modules)

    def _answered(self, request: Any) -> object:  # noqa: ANN401 (likewise)
        if isinstance(request, Task):
            if self._briefing is None:
                raise RuntimeError("a worker got a task before a briefing")
            work = _Work(self._briefing, request, memory=self._memory)
            return self._vitals.measured(work.run, folder=Path(self._briefing.folder).parent)
        return request.answer()


def rows_of(briefing: Briefing, task: Task) -> _rows.Rows:
    """Read the rows of a task, and do nothing with them."""
    return _Work(briefing, task, memory=MemoryBlame())._read()  # noqa: SLF001 (of this room)


class _Work:
    """One task, from bytes to pieces."""

    def __init__(self, briefing: Briefing, task: Task, *, memory: MemoryBlame) -> None:
        self.briefing = briefing
        self.task = task
        self.memory = memory
        self.source = briefing.sources[task.file]
        self.path = task.spool.path if task.spool else self.source.path
        self.origin = task.spool.origin if task.spool else 0

    def run(self) -> Outcome:
        began = time.perf_counter()
        self._try_reading()
        rows = self._read()
        if rows.misfits:
            return Outcome(self.task, 0, 0, misfits=rows.misfits)
        steps = Steps(self.briefing, self.task.bad_rows_left, self.memory, self.task.file)
        steps.bad.update({row: BadRow(self._reader, error) for row, error in rows.bad.items()})
        if (fault := self._fault(rows, steps)) is not None:
            count, spent = len(rows.numbers) + len(rows.bad), time.perf_counter() - began
            seconds = Seconds(spent - steps.seconds, steps.seconds, total=spent)
            return Outcome(self.task, count, 0, bad_rows=count, seconds=seconds, fault=fault)
        replies, refused_before = [], []
        for batch in self._batches(rows):
            for reply in () if steps.exhausted else steps.results(batch):
                replies.append(reply)
                refused_before.append(len(steps.bad) - len(rows.bad))
        applied = time.perf_counter()
        first_error = next((f"{bad.error}\n{bad.traceback}".strip() for bad in steps.bad.values()), "")
        outcome = Outcome(
            self.task, len(rows.numbers) + len(rows.bad), 0, bad_rows=len(steps.bad), first_error=first_error
        )
        if steps.bad and not steps.exhausted:
            outcome = dataclasses.replace(
                outcome, rejects=self._write_piece("rejects", [self._rejects(steps.bad)], len(steps.bad))
            )
        sorted_out = time.perf_counter()
        if not steps.exhausted:
            outcome, texts = self._write(outcome, replies)
            if steps.bad and not self.task.condemned:
                between = self._between(steps.bad, unread=rows.bad)
                spans = _spans(between, zip(refused_before, replies, texts, strict=True))
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

    def _data(self) -> bytes:
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

    def _read(self) -> _rows.Rows:
        if self.task.start == self.task.stop or self.task.condemned:
            return self._no_rows()
        return self._read_some()

    def _read_some(self) -> _rows.Rows:
        task, briefing = self.task, self.briefing
        order = briefing.orders[task.file] if briefing.orders else ()
        columns = _absent.own(briefing.columns, order)
        if self.source.format == "parquet":
            from muster._formats import parquet  # noqa: PLC0415 (a worker for text starts sooner without)

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
            from muster._formats import jsonl  # noqa: PLC0415 (a worker for CSV starts sooner without)

            count = task.hi - task.lo
            rows = jsonl.read(data, row=task.lo, count=count, columns=columns, encoding=dialect.encoding)
        else:
            reading = self.briefing.reading
            rows = csv.read(data, row=task.lo, order=order, columns=columns, dialect=dialect, reading=reading)
        if not rows.misfits:
            self._check_count(len(rows.numbers) + len(rows.bad), task.hi - task.lo)
        return rows

    def _own_data(self) -> bytes:
        """Take the text of the task's rows alone: the others of its parts may be those that no worker survives."""
        task, data = self.task, self._data()
        if task.is_whole:
            return data
        starts = [start for start, _ in records(data, self.briefing.dialect)]
        self._check_count(len(starts), task.rows)
        return data[starts[task.lo - task.row] : None if task.reaches_end else starts[task.hi - task.row]]

    def _check_count(self, found: int, expected: int) -> None:
        if found != expected:
            raise DataError(
                f"{self.source.name!r}: expected {expected} rows from byte {self.task.start} on, found {found}. The"
                " file changed while muster read it. Run again with --fresh."
            )

    def _no_rows(self) -> _rows.Rows:
        """Give a frame without rows; those of a task that is condemned are bad."""
        if self.source.format == "parquet":
            from muster._formats import parquet  # noqa: PLC0415 (likewise)

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
            from muster._formats import parquet, parquet_schema  # noqa: PLC0415 (likewise)

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
        from muster._formats import jsonl_text  # noqa: PLC0415 (likewise)

        return jsonl_text.render(shaped(reply, schema)[0], rows=reply.rows)

    def _write_piece(self, kind: str, texts: Sequence[bytes | memoryview], rows: int) -> Piece:
        path = Path(f"{self.briefing.folder}-{self.task.number}.{kind}")
        crc = 0
        for text in texts:
            crc = zlib.crc32(text, crc)
        size = sum(map(len, texts))
        if kind == "rows" and self.briefing.staging:
            from muster._objects import put  # noqa: PLC0415 (most rows go to files of this computer)

            stamp = put(f"{self.briefing.staging}/{path.name}", b"".join(texts))
            return Piece(path.name, size, crc, rows, stamp=stamp)
        grown = self.briefing.grown if kind == "rows" else ""
        place = write_in_turn(Path(grown), self.task, texts) if grown else None
        if place is None:
            with open(path, "wb", opener=private) as file:
                file.writelines(texts)
        return Piece(path.name, size, crc, rows, place)

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
            from muster._formats import parquet  # noqa: PLC0415 (likewise)

            return {row: (None, parquet.as_text(self.path, row - self.origin)) for row in rows}
        if task.start == task.stop:
            begin = task.start - self.origin
            data = reader(self.path).read(begin, begin + LONGEST_TAIL)
            return {task.lo: (task.start, data.decode(dialect.encoding, errors="backslashreplace"))}
        found = csv.raw_records(self._data(), dialect, wanted=[row - task.row for row in rows])
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
