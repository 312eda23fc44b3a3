"""Rows whose cells have names, as servers keep them, made into CSV."""

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple

from muster._formats.no_rows import NoRow
from muster._words.numbers import plural
from muster.errors import DataError, UsageError

Start = Literal["oldest", "newest"]
Lost = Literal["stop", "skip"]

_LOOKS: Final = ("oldest", "newest")
_ON_LOSS: Final = ("stop", "skip")
_MOST_HELD: Final = 100
"""So many that are no rows may come before the first row: with more, they are not of the kind that is read."""


class KnownFields(NamedTuple):
    """What a position tells of the rows before it, where nobody has named the columns."""

    columns: tuple[str, ...] = ()
    """Their fields, in order. Empty: no row has come yet."""
    held: tuple[NoRow, ...] = ()
    """What came before the first row and is none: it is given with that row, as there is no header before."""

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> "KnownFields":
        """Read from what a position holds."""
        return cls(tuple(told["columns"]), tuple(NoRow(*one) for one in told.get("held", ())))

    @property
    def told(self) -> dict[str, Any]:
        """Write what a position holds."""
        return {"columns": self.columns} | ({"held": self.held} if self.held else {})


class RowsWanted(NamedTuple):
    """What a source of a server is asked for, whichever server it is."""

    columns: tuple[str, ...] = ()
    """The fields that are taken; empty: those of the first row."""
    start: Start = "oldest"
    lost: Lost = "stop"
    """What is done where rows were gone before they were read."""

    def check(self) -> None:
        """Raise ``UsageError`` for what is none of the words that there are."""
        for name, value, words in (("start", self.start, _LOOKS), ("lost", self.lost, _ON_LOSS)):
            if value not in words:
                raise UsageError(f"{name}={value!r}: it is {words[0]!r} or {words[1]!r}.")

    def gone(self, many: int, where: str) -> DataError:
        """Say that rows were gone before they were read."""
        return DataError(
            f"{where}: {plural(many, 'row')} had been trimmed or deleted before muster read so far. What came before"
            " is done. To go on with what is still there, write lost='skip' and type the same command again. To have it"
            " happen no more, keep more there than comes while the stream is away."
        )

    def text(
        self, came: Sequence[tuple[str, Mapping[str, Any] | NoRow]], known: KnownFields
    ) -> tuple[bytes, KnownFields]:
        """Write what came, each with its place, as CSV; tell what is known behind it.

        Raises ``DataError`` where too much has come that is no row, and no row.
        """
        names = self.columns or known.columns or next((tuple(row) for _, row in came if isinstance(row, dict)), ())
        rows = [*known.held, *(self._checked(place, row, names) for place, row in came)]
        if names:
            has_header = not (self.columns or known.columns)
            return as_csv(rows, names, has_header=has_header), KnownFields() if self.columns else KnownFields(names)
        held = tuple(row for row in rows if isinstance(row, NoRow))
        if len(held) > _MOST_HELD:
            why, place, value = held[0]
            raise DataError(
                f"{place}: {why}. It is {value[:200]!r}, and none of the {len(held) - 1:,} behind it is a row either."
                " Read them with the decode= that they have, or name their fields with columns=, and type the command"
                " again."
            )
        return b"", KnownFields(held=held)

    def _checked(self, place: str, row: Mapping[str, Any] | NoRow, names: Sequence[str]) -> Mapping[str, Any] | NoRow:
        """Take a row with another field for none, unless the user has named those that count: it would be left out."""
        if isinstance(row, NoRow) or self.columns or not (more := [name for name in row if name not in names]):
            return row
        shown = ", ".join(map(repr, more[:3]))
        why = f"it has the field {shown}, which the first row lacked; columns= says which are wanted"
        return NoRow(why, place, json.dumps(row, ensure_ascii=False))


def as_csv(rows: Iterable[Mapping[str, Any] | NoRow], names: Sequence[str], *, has_header: bool) -> bytes:
    """Write rows as CSV; a field that a row lacks is an empty cell. Bytes that are no UTF-8 stay as they are."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")  # with which a lone \r is quoted, too
    if has_header:
        writer.writerow(names)
    writer.writerows(
        row.cells(len(names)) if isinstance(row, NoRow) else [cell(row.get(name)) for name in names] for row in rows
    )
    return text.getvalue().encode("utf-8", "surrogateescape")


def cell(value: object) -> str:
    """Write a value of JSON as a cell, as a field of an entry, or as part of a row: text stays as it is."""
    if isinstance(value, str):
        return value
    return "" if value is None else json.dumps(value, ensure_ascii=False)
