"""The last stage of a job without steps behind its groups: what the function gave is put in order, and written."""

import time
import zlib
from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from muster._formats.blocks import PLACE, StoredSection, each_section, schema_of
from muster._formats.ranks import Ranks, ranks_at, ranks_in
from muster._formats.results import Reply, laid_out
from muster._model import Briefing, Exchange, Outcome, Piece, Schema, Seconds, Span, Task
from muster._progress.schema import ABSENT, EMPTY, MISSING, by_column, numbered, united
from muster.errors import EngineError

from .writing import ShapedResults, Writer


class _Alike(NamedTuple):
    """Results that look alike, and the place of each row: that of its group in the output."""

    reply: Reply
    forms: Sequence[str]
    places: np.ndarray


class Ordering:
    """Puts the results of one task in order: those of groups whose places are in a range."""

    def __init__(self, briefing: Briefing, task: Task, exchange: Exchange) -> None:
        """Take the task; nothing is read yet."""
        self._briefing = briefing
        self._task = task
        self._exchange = exchange
        self._schema = exchange.schema or Schema()

    def outcomes(self) -> Iterator[Outcome]:
        """Read the results and write them in order. Raises ``EngineError`` where no worker survives that."""
        began, task = time.perf_counter(), self._task
        if task.condemned:
            raise EngineError(
                f"No worker survives putting the results of groups in order: {task.condemned}. Is there memory left?"
                " Try fewer workers, then type the same command again."
            )
        alike = self._alike()
        read = time.perf_counter()
        piece, spans = self._written(alike)
        ended = time.perf_counter()
        seconds = Seconds(read=read - began, write=ended - read, total=ended - began)
        outcome = Outcome(task, task.hi - task.lo, piece.rows, output=piece, schema=self._schema, seconds=seconds)
        yield outcome._replace(spans=spans)

    def _written(self, alike: Sequence[_Alike]) -> tuple[Piece, tuple[Span, ...]]:
        """Write rows in the order of their places; those of one place stay in order.

        Say what lies between groups that are missing: there they belong once they are done after all.
        """
        writer = Writer(self._briefing, self._task)
        is_parquet = self._briefing.format == "parquet"
        alike = [_as_parquet(alike, self._schema)] if is_parquet else _merged(alike, self._schema)
        chosen = list(self._chosen(alike))
        if is_parquet:
            written = writer.write([reply for reply, _ in chosen], apart=False)
            if written.piece is None:
                raise EngineError("rows of Parquet without a piece")
            return written.piece, self._spans([], [])
        texts = writer.texts_of(ShapedResults(reply.table, forms, reply.rows) for reply, forms in chosen)
        rows = [reply.rows for reply, _ in chosen]
        return writer.piece("rows", texts, sum(rows)), self._spans(rows, texts)

    @cached_property
    def _gaps(self) -> list[int]:
        """Say before which rows of the task groups are missing, counted from its first."""
        task = self._task
        return sorted({gap.row - task.lo for gap in self._exchange.gaps if task.lo < gap.row < task.hi})

    def _spans(self, rows: Sequence[int], texts: Sequence[bytes | memoryview]) -> tuple[Span, ...]:
        """Say what the rows between two gaps are, where there are gaps, and their text; no gap is within a text."""
        if not self._gaps:
            return ()
        task, spans = self._task, list[Span]()
        edges = [0, *self._gaps, task.hi - task.lo]
        begins = np.searchsorted(np.cumsum([0, *rows]), edges).tolist()  # the text that begins at each edge
        for (lo, hi), (first, last) in zip(pairwise(edges), pairwise(begins), strict=True):
            size, crc = 0, 0
            for text in texts[first:last]:
                size, crc = size + len(text), zlib.crc32(text, crc)
            spans.append(
                Span(
                    lo=task.lo + lo,
                    hi=task.lo + hi,
                    bad_rows=0,
                    rows_out=hi - lo,
                    bytes=size,
                    crc=crc,
                    schema=self._schema,
                )
            )
        return tuple(spans)

    def _chosen(self, alike: Sequence[_Alike]) -> Iterator[tuple[Reply, Sequence[str]]]:
        """Go through rows in order, as many at a time as look alike."""
        places = np.concatenate([one.places for one in alike])
        of = np.repeat(np.arange(len(alike)), [len(one.places) for one in alike])
        row = np.concatenate([np.arange(len(one.places)) for one in alike])
        order = in_order(places, self._task, self._exchange)
        of, row = of[order], row[order]
        borders = sorted({0, *(np.flatnonzero(np.diff(of)) + 1).tolist(), *self._gaps, len(order)})
        for lo, hi in pairwise(borders):
            one = alike[of[lo]]
            table = one.reply.table.take(pa.array(row[lo:hi])) if one.reply.table.num_columns else one.reply.table
            yield Reply(table, hi - lo, one.reply.schema), one.forms

    def _alike(self) -> list[_Alike]:
        """Read the results of the task's groups: of each section of each block, the stretches that may hold some."""
        found: dict[tuple[Schema, bytes], list[pa.Table]] = {}
        for section, table in results_of(self._task, self._exchange):
            key = schema_of(section), table.schema.serialize().to_pybytes()
            found.setdefault(key, []).append(table)
        alike = [_of_tables(schema, tables) for (schema, _), tables in found.items()]
        return sorted(alike, key=lambda one: int(one.places.min()))


def results_of(task: Task, exchange: Exchange) -> Iterator[tuple[StoredSection, pa.Table]]:
    """Read the results that a task is about: of each section of each block, the stretches that may hold some."""
    places = exchange.places[task.first : task.last]
    ranks = ranks_in(exchange.excerpt) if exchange.excerpt else ranks_at(exchange.ranks)
    for _, section in each_section(exchange.paths):
        table = _between(section, places[0].lo, places[-1].hi, ranks)
        if len(table):
            yield section, table


def in_order(places: np.ndarray, task: Task, exchange: Exchange) -> np.ndarray:
    """Say which of the results of some places come next in the order of the output, for the rows of a task."""
    skip = exchange.places[task.first].skip - task.row
    return np.argsort(places, kind="stable")[skip + task.lo : skip + task.hi]


def _between(section: StoredSection, lo: int, hi: int, ranks: Ranks) -> pa.Table:
    """Read the rows of a section whose places are in a range; ranks take the place of those that they are known of."""
    begin, end = ranks.stretches(section, lo, hi)
    if begin == end:
        return pa.table({})
    table = section.read(begin, end)
    places = ranks.of(table.column(PLACE).to_numpy())
    first, last = np.searchsorted(places, [lo, hi + 1]).tolist()
    ranked = table.set_column(table.num_columns - 1, PLACE, pa.array(places, pa.int64()))
    return ranked.slice(first, last - first)


def _of_tables(schema: Schema, tables: Sequence[pa.Table]) -> _Alike:
    table = pa.concat_tables(tables).combine_chunks()
    places = table.column(PLACE).to_numpy()
    fields = [field.with_name(name) for field, name in zip(table.schema, schema.columns, strict=False)]
    rows = pa.table(table.columns[:-1], schema=pa.schema(fields))
    return _Alike(Reply(rows, len(places), schema), (), places)


def _as_parquet(alike: Sequence[_Alike], whole: Schema) -> _Alike:
    """Give all the types that they have in common, and the columns that no row has: so they are one table."""
    from muster._formats import parquet_schema

    replies = [*(one.reply for one in alike), *_without_rows(whole)]
    if len(replies) == 1:
        return alike[0]
    table = parquet_schema.piece(replies)
    kinds = by_column(united(one.schema for one in replies if one.schema))
    schema = Schema(tuple(table.column_names), tuple(kinds[column] for column in numbered(table.column_names)))
    return _Alike(Reply(table, len(table), schema), (), np.concatenate([one.places for one in alike]))


def _without_rows(whole: Schema) -> list[Reply]:
    """Make an empty result of the columns that only results without a row have: no task reads these."""
    kinds = {name: own for (name, _), own in by_column(whole).items() if all(map(_is_of_no_row, own))}
    if not kinds:
        return []
    table = pa.table([pa.nulls(0)] * len(kinds), names=[*kinds])
    return [Reply(table, 0, Schema((*kinds,), (*kinds.values(),)))]


def _is_of_no_row(kind: str) -> bool:
    return kind == ABSENT or kind.startswith(EMPTY)


def _merged(alike: Sequence[_Alike], schema: Schema) -> list[_Alike]:
    """Make one table of results that are written in the same way: they differ in what has no value, if at all."""
    made: list[tuple[list[tuple[pa.DataType, str]], list[_Alike]]] = []
    for one in alike:
        shaped = _shaped(one, schema)
        looks = list(zip(shaped.reply.table.schema.types, shaped.forms, strict=True))
        for common, members in made:
            if all(map(_goes_with, common, looks)):
                common[:] = [own if pa.types.is_null(its[0]) else its for own, its in zip(looks, common, strict=True)]
                members.append(shaped)
                break
        else:
            made.append((looks, [shaped]))
    return [_together(looks, members) for looks, members in made]


def _shaped(one: _Alike, schema: Schema) -> _Alike:
    """Give results all columns of the schema, and say how their moments are written; what is missing has no type."""
    narrow = one.reply.schema or Schema()
    table, forms = laid_out(one.reply, narrow, schema)
    kinds = by_column(narrow)
    columns = [
        pa.nulls(len(cells)) if kinds.get(column, (MISSING,))[0].startswith((MISSING, EMPTY)) else cells
        for column, cells in zip(by_column(schema), table.columns, strict=True)
    ]
    named = pa.table(columns, names=table.column_names)
    return _Alike(Reply(named, one.reply.rows, schema), forms, one.places)


def _goes_with(one: tuple[pa.DataType, str], other: tuple[pa.DataType, str]) -> bool:
    return one == other or pa.types.is_null(one[0]) or pa.types.is_null(other[0])


def _together(looks: Sequence[tuple[pa.DataType, str]], members: Sequence[_Alike]) -> _Alike:
    if len(members) == 1:
        return members[0]
    columns = [
        pa.chunked_array(
            [chunk for one in members for chunk in _typed(one.reply.table.column(at), kind).chunks], kind
        ).combine_chunks()
        for at, (kind, _) in enumerate(looks)
    ]
    first = members[0].reply
    table = pa.table(columns, names=first.table.column_names)
    rows = sum(one.reply.rows for one in members)
    places = np.concatenate([one.places for one in members])
    return _Alike(Reply(table, rows, first.schema), [form for _, form in looks], places)


def _typed(cells: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    return pa.chunked_array([pa.nulls(len(cells), kind)]) if pa.types.is_null(cells.type) else cells
