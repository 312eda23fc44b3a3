"""Rows whose cells have names, as servers keep them, made into CSV."""

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple

from muster._words.numbers import plural
from muster.errors import DataError, UsageError

Start = Literal["oldest", "newest"]
Lost = Literal["stop", "skip"]

_LOOKS: Final = ("oldest", "newest")
_ON_LOSS: Final = ("stop", "skip")


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


class Columns(NamedTuple):
    """The fields of rows, in order. Empty: no row has come yet, and nobody has named them."""

    names: tuple[str, ...] = ()
    may_have_others: bool = False
    """The user has named them, and rows may have others besides, which are left out."""

    def found(self, row: Mapping[str, Any]) -> "Columns":
        """Take those of the first row where none are known."""
        return self if self.names else Columns(tuple(row))

    def check(self, row: Mapping[str, Any], *, of: str) -> None:
        """Raise ``DataError`` where a row has a field that is no column: nobody would see that it is left out."""
        if not self.may_have_others and (more := [name for name in row if name not in self.names]):
            shown = ", ".join(map(repr, more[:3]))
            raise DataError(
                f"{of} has the field {shown}, which the first one lacked. What came before is done. Name"
                f" the fields that are wanted, columns={[*self.names, *more[:3]]!r}, and type the command again with"
                " --fresh."
            )


def as_csv(rows: Iterable[Mapping[str, Any]], names: Sequence[str], *, has_header: bool) -> bytes:
    """Write rows as CSV; a field that a row lacks is an empty cell. Bytes that are no UTF-8 stay as they are."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")  # with which a lone \r is quoted, too
    if has_header:
        writer.writerow(names)
    writer.writerows([cell(row.get(name)) for name in names] for row in rows)
    return text.getvalue().encode("utf-8", "surrogateescape")


def cell(value: object) -> str:
    """Write a value of JSON as a cell, as a field of an entry, or as part of a row: text stays as it is."""
    if isinstance(value, str):
        return value
    return "" if value is None else json.dumps(value, ensure_ascii=False)
