"""Nouns as fields of events, and back."""

import base64
import sys
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

from muster._model import (
    Column,
    FailedGroup,
    LocalCopy,
    Outcome,
    Part,
    Piece,
    PieceLocation,
    Position,
    Schema,
    Seconds,
    Span,
    Stretch,
    Task,
)

from .events import DamagedError

_DIGITS: Final = 6
"""Microseconds are enough."""


_AT_COPY: Final = Task._fields.index("local_copy")


def of_outcome(outcome: Outcome, numbers: Mapping[Schema, int]) -> dict[str, Any]:
    """Write an outcome as fields of an event: those that are not empty. Schemas are told by their numbers."""
    task, schema, written, spans = outcome.task, outcome.schema, outcome.written, outcome.spans
    said: dict[str, Any] = {
        "task": task[1:_AT_COPY],
        "seconds": [one and round(one, _DIGITS) for one in outcome.seconds],
    }
    if outcome.rows_in:
        said["rows_in"] = outcome.rows_in
    if outcome.rows_out:
        said["rows_out"] = outcome.rows_out
    if outcome.bad_rows:
        said["bad_rows"] = outcome.bad_rows
    if outcome.output is not None:
        said["output"] = _piece_as_fields(outcome.output)
    if outcome.rejects is not None:
        said["rejects"] = _piece_as_fields(outcome.rejects)
    if schema is not None:
        said["schema"] = numbers[schema]
    if written is not None:
        said["written"] = numbers[written]
    if spans:
        said["spans"] = [_span_as_fields(span, schema, numbers) for span in spans]
    if outcome.failed or task.local_copy:
        rarely = {"failed": outcome.failed, "spool": task.local_copy and task.local_copy._asdict()}
        said.update({name: value for name, value in rarely.items() if value})
    return said


def schemas_of(outcome: Outcome) -> Iterable[Schema]:
    """List the schemas that an outcome tells of; the same ones again and again."""
    own, written, spans = outcome.schema, outcome.written, outcome.spans
    if written is None and not spans:  # as most often
        return () if own is None else (own,)
    return [one for one in (own, written, *(span.schema for span in spans)) if one is not None]


def read_outcome(said: dict[str, Any], schemas: Mapping[int, Schema]) -> Outcome:
    """Read an outcome from the fields of an event, with the schemas that were told before it.

    Raises ``DamagedError`` where one was not.
    """
    schema = _as_schema(said.get("schema"), schemas)
    first, last, file, start, stop, row, rows, lo, hi = said["task"]
    local_copy = LocalCopy(**said["spool"]) if "spool" in said else None
    return Outcome(
        Task(
            number=0,
            first=first,
            last=last,
            file=file,
            start=start,
            stop=stop,
            row=row,
            rows=rows,
            lo=row if lo == row else lo,
            hi=hi,
            local_copy=local_copy,
        ),
        rows_in=said.get("rows_in", 0),
        rows_out=said.get("rows_out", 0),
        output=_as_piece(said.get("output")),
        rejects=_as_piece(said.get("rejects")),
        bad_rows=said.get("bad_rows", 0),
        schema=schema,
        written=_as_schema(said.get("written"), schemas),
        spans=tuple(_as_span(span, schema, schemas) for span in said.get("spans", ())),
        seconds=_as_seconds(said["seconds"]),
        failed=tuple(FailedGroup(*one) for one in said.get("failed", ())),
    )


def _as_seconds(told: Sequence[float] | dict[str, float]) -> Seconds:
    """Read where the time went: since format 3 a list, before that by name, without those that are 0."""
    return Seconds(**told) if isinstance(told, dict) else Seconds(*(one or 0.0 for one in told))


def _as_schema(told: int | list[list[Any]] | None, schemas: Mapping[int, Schema]) -> Schema | None:
    """Read a schema: since format 3 a number, before that in full."""
    if told is None:
        return None
    if not isinstance(told, int):
        return read_schema(told)
    try:
        return schemas[told]
    except KeyError:
        raise DamagedError(f"a task that is done names schema {told}, and no line before it tells that") from None


def read_schema(fields: Sequence[Sequence[Any]]) -> Schema:
    """Read a schema from a field of an event."""
    columns, kinds = fields
    return _only_one(Schema(tuple(columns), tuple(map(tuple, kinds))))


@lru_cache(maxsize=256)
def _only_one(schema: Schema) -> Schema:
    """Give the same object for what is equal: before format 3, each task said its own."""
    return schema


def _span_as_fields(span: Span, schema: Schema | None, numbers: Mapping[Schema, int]) -> list[Any]:
    """Write a span; most have the schema of their task, which is said once."""
    own = "same" if span.schema == schema else span.schema and numbers[span.schema]
    return [span.lo, span.hi, span.bad_rows, span.rows_out, span.bytes, span.crc, own]


def _as_span(fields: list[Any], schema: Schema | None, schemas: Mapping[int, Schema]) -> Span:
    lo, hi, bad_rows, rows_out, size, crc, own = fields
    return Span(
        lo=lo,
        hi=hi,
        bad_rows=bad_rows,
        rows_out=rows_out,
        bytes=size,
        crc=crc,
        schema=schema if own == "same" else _as_schema(own, schemas),
    )


def _piece_as_fields(piece: Piece) -> dict[str, Any]:
    name, size, crc, rows, location, stamp = piece
    told: dict[str, Any] = {"name": name, "bytes": size, "crc": crc, "rows": rows}
    if location is not None:
        told["place"] = location._asdict()
    if stamp:
        told["stamp"] = stamp
    return told


def _as_piece(fields: dict[str, Any] | None) -> Piece | None:
    if not fields:
        return None
    location = PieceLocation(**fields["place"]) if "place" in fields else None
    name = sys.intern(fields["name"])  # it is said once more where it moves
    return Piece(
        name=name,
        bytes=fields["bytes"],
        crc=fields["crc"],
        rows=fields["rows"],
        location=location,
        stamp=fields.get("stamp", ""),
    )


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


def read_position(fields: Sequence[Any]) -> Position:
    """Read how far a file was read from a field of an event, which has it as a list."""
    path, device, inode, size, rows, crc, tail, order = fields
    return Position(
        path=path, device=device, inode=inode, bytes=size, rows=rows, crc=crc, tail=tail, order=tuple(order)
    )


def read_stretch(fields: Sequence[Any]) -> Stretch:
    """Read a stretch likewise."""
    start, row, crc, spool, name, keys, position = fields
    return Stretch(
        start=start,
        row=row,
        begin_crc=crc,
        spool=spool,
        name=name,
        keys=tuple(map(tuple, keys)),
        position=read_position(position),
    )


def of_bytes(data: bytes) -> str:
    """Write bytes as a field of an event."""
    return base64.b64encode(data).decode()


def read_bytes(text: str) -> bytes:
    """Read bytes from a field of an event."""
    return base64.b64decode(text)
