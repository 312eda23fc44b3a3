"""Records of CSV as Arrow parses them: in UTF-8, and in the common dialect."""

import codecs
from collections.abc import Callable, Sequence
from typing import Any, Final

import pyarrow as pa
import pyarrow.csv

from muster._dialects import Dialect, Reading
from muster._words import plural

from ._signals import held
from .lines import without_blank_lines
from .no_rows import why_of
from .rules import differ_by_column, rules_of
from .top import BOM

_COMMON: Final = Dialect()


class ArrowText:
    """Records as Arrow can parse them: in UTF-8, and in the common dialect."""

    def __init__(self, data: bytes, order: Sequence[str], dialect: Dialect, reading: Reading) -> None:
        if len(order) == 1 and dialect.is_common:  # else a blank line is a ragged record, which shows when it is parsed
            data = without_blank_lines(data, delimiter=dialect.delimiter, quote=dialect.quote)
        self.data = _as_utf8(data, dialect)
        self._written = (data, dialect)
        if not dialect.is_common:
            from ._tokens import rewritten

            self.data, dialect = rewritten(self.data, dialect), _COMMON
        self.rules = rules_of(reading)
        self.suits_arrow = self.rules.suit_arrow and not differ_by_column(reading)
        self._order = list(order)
        self._dialect = dialect

    def cells(self, names: Sequence[str]) -> tuple[pa.Table, dict[int, str]]:
        """Read the cells of some columns as bytes; tell also which records have too few cells or too many.

        Arrow makes text of a ragged record before it tells of it, and tells nothing where that cannot be done. So bytes
        that are not UTF-8 are read as those of an encoding that has a character for each.
        """
        table, ragged = self._cells(names)
        return self._cells(names) if ragged and self._leave_out_blank_lines() else (table, ragged)

    def _cells(self, names: Sequence[str]) -> tuple[pa.Table, dict[int, str]]:
        ragged: dict[int, str] = {}

        def skip(record: Any) -> str:  # noqa: ANN401 (Arrow's InvalidRow, which has no types)
            ragged[record.number - 1] = why_of(record.text or "") or (
                f"expected {plural(record.expected_columns or 0, 'field')}, found {record.actual_columns}"
            )
            return "skip"

        types, data = dict.fromkeys(names, pa.binary()), self.data
        try:
            data.decode()
        except UnicodeDecodeError:
            self.data = data.decode("latin-1").encode()
            table = self._parsed(types, skip)
            self.data = data
            return pa.table([_as_they_were(column) for column in table.columns], names=table.column_names), ragged
        return self._parsed(types, skip), ragged

    def parsed(self, types: dict[str, pa.DataType]) -> pa.Table:
        """Let Arrow read the columns that have a type. Raises ``ArrowInvalid`` for a ragged record."""
        try:
            return self._parsed(types)
        except pa.ArrowInvalid:
            if not self._leave_out_blank_lines():
                raise
        return self._parsed(types)

    def _leave_out_blank_lines(self) -> bool:
        """Leave out the lines of blanks alone, which Arrow takes for ragged records; tell whether there were any."""
        written, dialect = self._written
        if not dialect.is_common:
            return False
        kept = without_blank_lines(written, delimiter=dialect.delimiter, quote=dialect.quote)
        if kept is written:
            return False
        self.data, self._written = _as_utf8(kept, dialect), (kept, dialect)
        return True

    def _parsed(self, types: dict[str, pa.DataType], on_ragged: Callable[[Any], str] | None = None) -> pa.Table:
        data, rules = self.data, self.rules
        if data.startswith(BOM):
            data = BOM + data  # Arrow takes one away; the file's own is cut off already, so this one is a cell's text
        with held():
            return pyarrow.csv.read_csv(
                pa.py_buffer(data),
                pyarrow.csv.ReadOptions(use_threads=False, block_size=len(data) + 1, column_names=self._order),
                pyarrow.csv.ParseOptions(
                    delimiter=self._dialect.delimiter,
                    quote_char=self._dialect.quote or False,
                    newlines_in_values=True,
                    invalid_row_handler=on_ragged,
                ),
                pyarrow.csv.ConvertOptions(
                    column_types=types,
                    include_columns=list(types) if len(types) < len(self._order) else None,
                    null_values=rules.missing,
                    true_values=rules.true,
                    false_values=rules.false,
                    decimal_point=rules.decimal,
                    strings_can_be_null=pa.binary() not in types.values(),
                ),
            )


def _as_they_were(cells: pa.ChunkedArray) -> pa.Array:
    return pa.array([cell.decode().encode("latin-1") for cell in cells.to_pylist()], pa.binary())


def _as_utf8(data: bytes, dialect: Dialect) -> bytes:
    """Make UTF-8 of bytes in another encoding; what is invalid in that one is then invalid in UTF-8.

    Unless the user chose what becomes of it: then it becomes that.
    """
    if dialect.encoding_errors == "strict" and codecs.lookup(dialect.encoding).name in {"utf-8", "utf-8-sig"}:
        return data  # first, as even a look at all bytes takes its time
    if data.isascii():
        return data
    if dialect.encoding_errors != "strict":
        return data.decode(dialect.encoding, dialect.encoding_errors).encode()
    return data.decode(dialect.encoding, "surrogateescape").encode("utf-8", "surrogatepass")
