"""Nouns as fields of events, and back."""

import base64
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final

from muster._model import Column, Outcome, Part, Piece, Place, Schema, Seconds, Span, Spool, Task

_DIGITS: Final = 6
"""Microseconds are enough."""


_AT_SPOOL: Final = Task._fields.index("spool")
_OF_OUTCOME: Final = (
    "task", "spool", "rows_in", "rows_out", "bad_rows", "output", "rejects", "schema", "written", "spans",
)  # fmt: skip


def of_outcome(outcome: Outcome) -> dict[str, Any]:
    """Write an outcome as fields of an event: those that are not empty, and the seconds that are not 0."""
    task = outcome.task
    told = (
        task[1:_AT_SPOOL],
        task.spool and task.spool._asdict(),
        outcome.rows_in,
        outcome.rows_out,
        outcome.bad_rows,
        outcome.output and _piece_as_fields(outcome.output),
        outcome.rejects and _piece_as_fields(outcome.rejects),
        outcome.schema and tuple(outcome.schema),
        outcome.written and tuple(outcome.written),
        outcome.spans and [_span_as_fields(span, outcome.schema) for span in outcome.spans],
    )
    said: dict[str, Any] = {name: value for name, value in zip(_OF_OUTCOME, told, strict=True) if value}
    said["seconds"] = {
        name: round(value, _DIGITS) for name, value in zip(Seconds._fields, outcome.seconds, strict=True) if value
    }
    return said


def read_outcome(said: dict[str, Any]) -> Outcome:
    """Read an outcome from the fields of an event."""
    first, last, file, start, stop, row, rows, lo, hi = said["task"]
    spool = Spool(**said["spool"]) if "spool" in said else None
    return Outcome(
        Task(0, first, last, file, start, stop, row, rows, lo, hi, spool),
        rows_in=said.get("rows_in", 0),
        rows_out=said.get("rows_out", 0),
        output=_as_piece(said.get("output")),
        rejects=_as_piece(said.get("rejects")),
        bad_rows=said.get("bad_rows", 0),
        schema=_as_schema(said.get("schema")),
        written=_as_schema(said.get("written")),
        spans=tuple(_as_span(span, said.get("schema")) for span in said.get("spans", ())),
        seconds=Seconds(**said["seconds"]),
    )


def _as_schema(fields: list[list[Any]] | None) -> Schema | None:
    if fields is None:
        return None
    columns, kinds = fields
    return _only_one(Schema(tuple(columns), tuple(map(tuple, kinds))))


@lru_cache(maxsize=256)
def _only_one(schema: Schema) -> Schema:
    """Give the same object for what is equal: a journal of a million tasks says few schemas, a million times."""
    return schema


def _span_as_fields(span: Span, schema: Schema | None) -> list[Any]:
    """Write a span; most have the schema of their task, which is said once."""
    own = "same" if span.schema == schema else span.schema and tuple(span.schema)
    return [span.lo, span.hi, span.bad_rows, span.rows_out, span.bytes, span.crc, own]


def _as_span(fields: list[Any], schema: list[list[Any]] | None) -> Span:
    lo, hi, bad_rows, rows_out, size, crc, own = fields
    return Span(lo, hi, bad_rows, rows_out, size, crc, _as_schema(schema if own == "same" else own))


def _piece_as_fields(piece: Piece) -> dict[str, Any]:
    name, size, crc, rows, place, stamp = piece
    told: dict[str, Any] = {"name": name, "bytes": size, "crc": crc, "rows": rows}
    if place is not None:
        told["place"] = place._asdict()
    if stamp:
        told["stamp"] = stamp
    return told


def _as_piece(fields: dict[str, Any] | None) -> Piece | None:
    if not fields:
        return None
    return Piece(**fields | {"place": Place(**fields["place"]) if "place" in fields else None})


def of_columns(columns: Sequence[Column]) -> list[list[Any]]:
    """Write columns as a field of an event."""
    return [[column.name, sorted(column.kinds), column.fixed, column.dates] for column in columns]


def read_columns(fields: Sequence[Sequence[Any]]) -> tuple[Column, ...]:
    """Read columns from a field of an event."""
    return tuple(Column(name, frozenset(kinds), fixed, dates) for name, kinds, fixed, dates in fields)


def of_parts(parts: Sequence[Part]) -> list[list[Any]]:
    """Write parts as a field of an event."""
    return [[part.file, part.start, part.stop, part.row, part.rows, part.fault] for part in parts]


def read_parts(fields: Sequence[Sequence[Any]]) -> tuple[Part, ...]:
    """Read parts from a field of an event."""
    return tuple(Part(file, start, stop, row, rows, fault=fault) for file, start, stop, row, rows, fault in fields)


def of_bytes(data: bytes) -> str:
    """Write bytes as a field of an event."""
    return base64.b64encode(data).decode()


def read_bytes(text: str) -> bytes:
    """Read bytes from a field of an event."""
    return base64.b64decode(text)
