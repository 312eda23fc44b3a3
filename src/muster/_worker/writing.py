"""Write what the steps gave for a task, and what they refused, as pieces: files, or objects of a store."""

import json
import zlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from muster._files.whole import naming
from muster._formats import csv_text
from muster._formats.blocks import Section, as_block
from muster._formats.results import Reply, joined, shaped
from muster._model import Briefing, Piece, Schema, Task
from muster._private.files import private
from muster._progress.schema import united

from .reader import Raw
from .steps import BadRow

_Text = bytes | memoryview


class Written(NamedTuple):
    """What was written of a task's results."""

    rows: int = 0
    piece: Piece | None = None
    schema: Schema | None = None
    """That of the results; ``None`` where none of them has columns."""
    as_written: Schema | None = None
    """The one that the text was shaped for."""
    texts: Sequence[_Text] = ()
    """The text of each reply, in order, if they were to stay apart; empty where the format has none of its own."""


class ShapedResults(NamedTuple):
    """Results that have all columns of the run's schema, and for each the form in which its moments are written."""

    table: pa.Table
    forms: Sequence[str]
    rows: int


class Writer:
    """Writes the pieces of one task, in the format of the output."""

    def __init__(self, briefing: Briefing, task: Task) -> None:
        """Name the task; nothing is written yet. Blocks and Parquet are packed once no more of them may lie plainly."""
        self._briefing = briefing
        self._task = task
        self._is_packed = not briefing.plain_bytes

    def write(self, replies: Sequence[Reply], *, apart: bool) -> Written:
        """Write results, in order; the text of each reply can be told where they stay ``apart``."""
        is_parquet = self._briefing.format == "parquet"  # of which each part is written by itself
        replies = replies if is_parquet or apart else joined(replies)
        telling = [reply for reply in replies if reply.schema is not None]
        if not telling:
            return Written(texts=[b""] * len(replies))
        own, rows = united(reply.schema for reply in telling if reply.schema), sum(reply.rows for reply in replies)
        schema = united([self._task.expected or own, own])
        texts: Sequence[_Text] = [b""] * len(replies) if is_parquet else [self._text(one, schema) for one in replies]
        whole = _as_parquet(telling, is_packed=self._is_packed) if is_parquet else texts
        return Written(rows, self.piece("rows", whole, rows) if rows or is_parquet else None, own, schema, texts)

    def texts_of(self, shaped_: Iterable["ShapedResults"]) -> list[_Text]:
        """Make the text of results that are shaped already, each by itself."""
        return [self._text_of(*one) for one in shaped_]

    def reject(self, bad: Mapping[int, BadRow], raw: Mapping[int, Raw], *, name: str) -> Piece:
        """Write bad rows of the file of this name, each with its text and why it is bad."""
        return self.reject_all([(name, row, raw[row], one) for row, one in sorted(bad.items())])

    def reject_all(self, bad: Sequence[tuple[str, int, Raw, BadRow]]) -> Piece:
        """Write bad rows of several files, in order: each with its file and its number there."""
        lines = [
            {
                "file": name,
                "row": row,
                "byte_offset": raw.offset,
                "raw": raw.text,
                "step": one.step,
                **({"key": one.key} if one.key else {}),
                "error": one.error,
                "traceback": one.traceback,
            }
            for name, row, raw, one in bad
        ]
        text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
        return self.piece("rejects", [text.encode(errors="backslashreplace")], len(bad))

    def _text(self, reply: Reply, schema: Schema) -> _Text:
        if reply.schema is None:
            return b""
        return self._text_of(*shaped(reply, schema), reply.rows)

    def _text_of(self, table: pa.Table, forms: Sequence[str], rows: int) -> _Text:
        if self._briefing.format == "csv":
            return _as_csv(table, forms, rows, delimiter=self._briefing.delimiter)
        from muster._formats import jsonl_text

        return jsonl_text.render(table, rows=rows)

    def block(self, sections: Iterable[Section], rows: int) -> Piece:
        """Write rows for another stage: each section when it is there, so that they need not all be in memory."""
        path, size, crc = self._path("block"), 0, 0
        with naming(path), open(path, "wb", opener=private) as file:
            for text in as_block(sections, is_packed=self._is_packed):
                size, crc = size + len(text), zlib.crc32(text, crc)
                file.write(text)
        return Piece(path.name, size, crc, rows)

    def _path(self, kind: str) -> Path:
        return Path(f"{self._briefing.folder}-{self._task.number}.{kind}")

    def piece(self, kind: str, texts: Sequence[_Text], rows: int) -> Piece:
        """Write a file of the task of this kind, or an object of a store where rows go there."""
        path = self._path(kind)
        crc, stamp = 0, ""
        for text in texts:
            crc = zlib.crc32(text, crc)
        if kind == "rows" and self._briefing.staging:
            from muster._urls.objects import put

            stamp = put(f"{self._briefing.staging}/{path.name}", b"".join(texts))
        else:
            with naming(path), open(path, "wb", opener=private) as file:
                file.writelines(texts)
        return Piece(path.name, sum(map(len, texts)), crc, rows, stamp=stamp)


def _as_parquet(replies: Sequence[Reply], *, is_packed: bool) -> Sequence[_Text]:
    from muster._formats import parquet_pieces, parquet_schema

    return parquet_pieces.stretches_of(parquet_schema.piece(replies), packed=is_packed)


def _as_csv(table: pa.Table, forms: Sequence[str], rows: int, *, delimiter: str) -> _Text:
    if not table.num_columns:
        return b"\n" * rows  # as pandas writes rows without columns
    places = list(map(str, range(table.num_columns)))  # a name may stand twice
    fine = {place: form for place, form in zip(places, forms, strict=True) if form}
    return csv_text.render(table.rename_columns(places), delimiter=delimiter, forms=fine)
