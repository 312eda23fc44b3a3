"""The run's durable record: one JSON object a line, appended, and read again after a crash."""

import contextlib
import errno
import json
import os
from collections.abc import Collection, Iterator
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, Final, Self

import orjson

from muster._model import Outcome, Piece, Place, Schema, Seconds, Span, Spool, Task
from muster._private import private

Event = dict[str, Any]
_DIGITS: Final = 6
"""Microseconds are enough."""

_SECONDS: Final = tuple(field.name for field in fields(Seconds))


class Journal:
    """Append events to a file. What a crash has torn is cut off when the journal is opened again."""

    def __init__(self, path: Path) -> None:
        """Open or create the journal."""
        self.path = path
        self._descriptor = private(path, os.O_RDWR | os.O_CREAT | os.O_APPEND)
        os.ftruncate(self._descriptor, max((end for _, end in _readable(path)), default=0))

    def write(self, event: str, **fields: object) -> None:
        """Append one event; it outlives the death of this process. Raises ``OSError`` when the disk is full."""
        line = _line({"event": event, **fields})
        begun = os.lseek(self._descriptor, 0, os.SEEK_END)
        if os.write(self._descriptor, line) < len(line):
            os.ftruncate(self._descriptor, begun)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path))

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)

    def __enter__(self) -> Self:
        """Use as a context."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()


def replay(path: Path, *, without: Collection[str] = ()) -> Iterator[Event]:
    """Yield the events of a journal, in order, up to where a crash or a power cut has torn it.

    Those of the kinds that are left out cost next to nothing.
    """
    for event, _ in _readable(path, without=without):
        yield event


def abridge(journal: Path, to: Path, *, without: Collection[str]) -> None:
    """Move a journal, which nobody writes any more, and leave out events of some kinds. Raises ``OSError``."""
    skipped = _beginnings(without)
    shorter = to.with_name(to.name + ".unfinished")
    with (
        journal.open("rb") as lines,
        open(shorter, "wb", opener=private) as kept,
    ):
        kept.writelines(line for line in lines if not line.startswith(skipped))
    shorter.replace(to)
    journal.unlink()


def follow(path: Path, *, after: int = 0, without: Collection[str] = ()) -> Iterator[tuple[Event, int]]:
    """Yield the events behind an offset, as ``replay`` does, each with the offset behind it.

    Where those at the end are left out, an empty one tells how far it was read.
    """
    return _readable(path, after=after, without=without, tells_end=True)


def _beginnings(kinds: Collection[str]) -> tuple[bytes, ...]:
    """Write how the lines of some kinds of event begin."""
    return tuple(_line({"event": kind}).rstrip(b"}\n") for kind in kinds)


def _line(event: Event) -> bytes:
    try:
        return orjson.dumps(event, option=orjson.OPT_NON_STR_KEYS | orjson.OPT_APPEND_NEWLINE)
    except TypeError:  # a file's name that is no text, as Linux allows
        return json.dumps(event, separators=(",", ":")).encode() + b"\n"


def _event(line: bytes) -> Event:
    try:
        found: Event = orjson.loads(line)
    except orjson.JSONDecodeError:
        found = json.loads(line)
    if not isinstance(found, dict) or "event" not in found:
        raise ValueError(f"no event: {line!r}")
    return found


def _readable(
    path: Path, *, after: int = 0, without: Collection[str] = (), tells_end: bool = False
) -> Iterator[tuple[Event, int]]:
    end = whole = told = after
    skipped = _beginnings(without)
    with contextlib.suppress(FileNotFoundError, ValueError), path.open("rb") as lines:
        lines.seek(after)
        for line in lines:
            end += len(line)
            if line.startswith(skipped):
                whole = end if line.endswith(b"\n") else whole
            elif line.endswith(b"\n"):
                yield _event(line), end
                told = end
        if tells_end and whole > told:
            yield {"event": ""}, whole


def as_fields(outcome: Outcome) -> Event:
    """Write an outcome as fields of an event."""
    task = outcome.task
    told = {
        "task": [task.first, task.last, task.file, task.start, task.stop, task.row, task.rows, task.lo, task.hi],
        "spool": task.spool._asdict() if task.spool else None,
        "rows_in": outcome.rows_in,
        "rows_out": outcome.rows_out,
        "bad_rows": outcome.bad_rows,
        "output": _piece_as_fields(outcome.output),
        "rejects": _piece_as_fields(outcome.rejects),
        "schema": tuple(outcome.schema) if outcome.schema else None,
        "written": tuple(outcome.written) if outcome.written else None,
        "spans": [_span_as_fields(span, outcome.schema) for span in outcome.spans],
        "seconds": {name: round(getattr(outcome.seconds, name), _DIGITS) for name in _SECONDS},
    }
    return {name: value for name, value in told.items() if value or name == "task"}


def as_outcome(event: Event) -> Outcome:
    """Read an outcome from the fields of an event."""
    first, last, file, start, stop, row, rows, lo, hi = event["task"]
    spool = Spool(**event["spool"]) if "spool" in event else None
    return Outcome(
        Task(0, first, last, file, start, stop, row, rows, lo, hi, spool),
        rows_in=event.get("rows_in", 0),
        rows_out=event.get("rows_out", 0),
        output=_as_piece(event.get("output")),
        rejects=_as_piece(event.get("rejects")),
        bad_rows=event.get("bad_rows", 0),
        schema=_as_schema(event.get("schema")),
        written=_as_schema(event.get("written")),
        spans=tuple(_as_span(span, event.get("schema")) for span in event.get("spans", ())),
        seconds=Seconds(**event["seconds"]),
    )


def _as_schema(fields: list[list[Any]] | None) -> Schema | None:
    if fields is None:
        return None
    columns, kinds = fields
    return Schema(tuple(columns), tuple(map(tuple, kinds)))


def _span_as_fields(span: Span, schema: Schema | None) -> list[Any]:
    """Write a span; most have the schema of their task, which is said once."""
    own = "same" if span.schema == schema else span.schema and tuple(span.schema)
    return [span.lo, span.hi, span.bad_rows, span.rows_out, span.bytes, span.crc, own]


def _as_span(fields: list[Any], schema: list[list[Any]] | None) -> Span:
    lo, hi, bad_rows, rows_out, size, crc, own = fields
    return Span(lo, hi, bad_rows, rows_out, size, crc, _as_schema(schema if own == "same" else own))


def _piece_as_fields(piece: Piece | None) -> Event:
    return {name: value for name, value in asdict(piece).items() if value not in (None, "")} if piece else {}


def _as_piece(fields: Event | None) -> Piece | None:
    if not fields:
        return None
    return Piece(**fields | {"place": Place(**fields["place"]) if "place" in fields else None})
