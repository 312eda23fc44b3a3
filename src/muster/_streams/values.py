"""What messages hold: objects of JSON and rows of CSV, which are read here; or payloads, which steps read or make."""

import csv
import json
from binascii import a2b_base64, b2a_base64
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple

from muster._formats.no_rows import NoRow
from muster._model import NOTHING, PAYLOAD
from muster._words import text_of
from muster._words.numbers import plural

from .rows_of_fields import KnownFields, RowsWanted

Reads = Literal["json", "csv", "payload"]
"""How a value is read; a ``payload`` stays as it is, in base64, and the first step makes a row of it."""

_AS: Final = {"json": "an object of JSON", "csv": "a row of CSV"}


class Values(NamedTuple):
    """How values are read."""

    asked: RowsWanted
    reads: Reads

    def text(self, values: Iterable[tuple[str, bytes | None]], known: KnownFields) -> tuple[bytes, KnownFields]:
        """Write values, each with its place, as CSV; tell what is known behind them. Raises ``DataError``."""
        if self.reads == "payload":
            return "".join(f"{_in_base64(value)},{place}\r\n" for place, value in values).encode(), known
        return self.asked.text([(place, self._row(place, value)) for place, value in values], known)

    def _row(self, place: str, value: bytes | None) -> Mapping[str, Any] | NoRow:
        try:
            return _read(value, self.reads, self.asked.columns)
        except (TypeError, ValueError, RecursionError, csv.Error) as error:
            came = (value or b"").decode("utf-8", "backslashreplace")
            return NoRow(f"it is not {_AS[self.reads]}: {text_of(error)}", place, came)


def _in_base64(value: bytes | None) -> str:
    return NOTHING if value is None else b2a_base64(value, newline=False).decode()


def _read(value: bytes | None, reads: Reads, names: Sequence[str]) -> Mapping[str, Any]:
    """Read a row. Raises ``TypeError``, ``ValueError`` or ``csv.Error`` where it is none."""
    if value is None:
        raise TypeError("there is no value")
    if reads == "json":
        row = json.loads(value)
        if not isinstance(row, dict) or not row:
            raise ValueError("it is no object with fields")
        return row
    [cells] = csv.reader([value.decode("utf-8", "surrogateescape")], strict=True)
    if len(cells) != len(names):
        raise ValueError(f"it has {plural(len(cells), 'cell')}, and columns= names {len(names)}")
    return dict(zip(names, cells, strict=True))


def payload_of(row: bytes) -> bytes:
    """Give the bytes that the last step has made of a row, which is a line of JSON."""
    return a2b_base64(json.loads(row)[PAYLOAD])
