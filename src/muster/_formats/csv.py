"""Read parts of CSV and TSV: RFC 4180, with the values that pandas would read."""

import codecs
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from muster._dialect import Dialect, Reading
from muster._model import Column
from muster._words import plural
from muster.errors import DataError

from . import _dates, _kinds
from ._encodings import Garbled
from ._records import records
from ._rows import Rows, type_of
from ._rules import Rules, differ_by_column, rules_of
from ._signals import held
from ._top import BOM

_COMMON: Final = Dialect()
_ALL: Final = Reading()
_ALPHANUMERIC: Final = np.frombuffer(b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ", np.uint8)
_DOUBTFUL: Final = 2.0**63


def read(  # noqa: PLR0913 (the records, where they stand, and how to understand them)
    data: bytes,
    *,
    row: int,
    order: Sequence[str],
    columns: tuple[Column, ...],
    dialect: Dialect,
    reading: Reading = _ALL,
) -> Rows:
    """Read records as rows of the settled types; the first is data row ``row`` of its file.

    ``order`` names the file's columns as they stand; the table comes back in the order of ``columns``. First by Arrow
    alone; where Arrow finds, or might have missed, what does not fit, cell by cell with pandas' rules.
    """
    text = _Text(data, order, dialect, reading)
    try:
        if (table := _by_arrow(text, columns, reading)) is not None:
            return Rows(table, np.arange(row, row + len(table)))
    except pa.ArrowInvalid as error:
        if "Empty CSV file" in str(error):
            return Rows(_empty(columns), np.empty(0, np.int64))
    raw, ragged = text.cells([column.name for column in columns])
    rows = Rows(raw, _numbers(row, len(raw), ragged), _shifted(ragged, row))
    _decode(rows)
    return _carefully(rows, columns, reading)


def read_together(
    stretches: Sequence[bytes],
    *,
    order: Sequence[str],
    columns: tuple[Column, ...],
    dialect: Dialect,
    reading: Reading = _ALL,
) -> pa.Table | None:
    """Read records of several files whose columns stand in the same order as one table, in the order of ``columns``.

    ``None`` where Arrow alone cannot do that: then each is to be read by itself. No stretch may be a fault, such as a
    quote that is never closed: those are tasks of their own, and what is opened in one would swallow the next.
    """
    if not dialect.is_common or any(stretch.startswith(BOM) for stretch in stretches):
        return None
    data = b"".join(stretch if stretch.endswith(b"\n") else stretch + b"\n" for stretch in stretches)
    try:
        return _by_arrow(_Text(data, order, dialect, reading), columns, reading)
    except pa.ArrowInvalid:
        return None


def _by_arrow(text: "_Text", columns: tuple[Column, ...], reading: Reading) -> pa.Table | None:
    """Read by Arrow alone; ``None`` where it may miss what does not fit. Raises ``ArrowInvalid`` for what it finds."""
    if not text.suits_arrow:
        return None
    dated = [column for column in columns if _is_dated(column)]
    types = {column.name: _kinds.ARROW[type_of(column)] for column in columns}
    table = text.parsed(types | dict.fromkeys((column.name for column in dated), pa.string()))
    table = _with_moments(table, dated, reading)
    if table is None or _is_doubtful(table, columns, text.data):
        return None
    return _without_missing_numbers(table.select(list(types)), text.rules)


def _empty(columns: tuple[Column, ...]) -> pa.Table:
    return pa.schema([(column.name, _kinds.ARROW[type_of(column)]) for column in columns]).empty_table()


def observe(  # noqa: PLR0913 (likewise)
    data: bytes,
    *,
    order: Sequence[str],
    dialect: Dialect,
    reading: Reading = _ALL,
    used: Sequence[str] | None = None,
    dates: Mapping[str, str] | None = None,
) -> dict[str, frozenset[str]]:
    """Name the kinds of value in each column of these records, or in those that are used.

    ``dates`` are the columns of dates, with their formats.
    """
    used = [name for name in order if used is None or name in used]
    try:
        table, _ = _Text(data, order, dialect, reading).cells(used)
    except pa.ArrowInvalid:
        return {}
    rows = Rows(table, np.arange(len(table)))
    _decode(rows)
    formats = dates or {}
    return {
        name: _observed(_present(rows.table[name], rules_of(reading, name)), name, formats.get(name), reading)
        for name in used
    }


def _observed(cells: pa.Array, name: str, written: str | None, reading: Reading) -> frozenset[str]:
    """Name the kinds of a column's cells; those of dates where it has a format, or would have one."""
    if written is None:
        return _kinds.observe(cells, rules_of(reading, name))
    return _dates.read(cells, written, dayfirst=reading.dayfirst)[0]


def date_formats(
    data: bytes, names: Sequence[str], *, order: Sequence[str], dialect: Dialect, reading: Reading
) -> dict[str, str]:
    """Tell in which format the first cell of some columns is written, where one of these records has any."""
    names = [name for name in names if name in order]
    try:
        table, _ = _Text(data, order, dialect, reading).cells(names)
    except pa.ArrowInvalid:
        return {}
    rows = Rows(table, np.arange(len(table)))
    _decode(rows)
    found = {
        name: _dates.format_of(_present(rows.table[name], rules_of(reading, name)), dayfirst=reading.dayfirst)
        for name in names
    }
    return {name: written for name, written in found.items() if written}


def _is_dated(column: Column) -> bool:
    return _dates.DATES in column.kinds and type_of(column).startswith("datetime")


def _with_moments(table: pa.Table, dated: Sequence[Column], reading: Reading) -> pa.Table | None:
    """Read the columns of dates, which are text yet; ``None`` when one of them does not fit its type."""
    for column in dated:
        cells = table[column.name].combine_chunks()
        kinds, moments = _dates.read(cells, column.dates, dayfirst=reading.dayfirst)
        if moments is None or _kinds.settle(kinds | column.kinds) != type_of(column):
            return None
        at = table.column_names.index(column.name)
        table = table.set_column(at, column.name, pa.array(moments).cast(_kinds.ARROW[type_of(column)]))
    return table


class _Text:
    """Records as Arrow can parse them: in UTF-8, and in the common dialect."""

    def __init__(self, data: bytes, order: Sequence[str], dialect: Dialect, reading: Reading) -> None:
        self.data = _as_utf8(data, dialect)
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
        ragged: dict[int, str] = {}

        def skip(record: Any) -> str:  # noqa: ANN401 (Arrow's InvalidRow, which has no types)
            ragged[record.number - 1] = (
                f"expected {plural(record.expected_columns or 0, 'field')}, found {record.actual_columns}"
            )
            return "skip"

        types, data = dict.fromkeys(names, pa.binary()), self.data
        try:
            data.decode()
        except UnicodeDecodeError:
            self.data = data.decode("latin-1").encode()
            table = self.parsed(types, skip)
            self.data = data
            return pa.table([_as_they_were(column) for column in table.columns], names=table.column_names), ragged
        return self.parsed(types, skip), ragged

    def parsed(self, types: dict[str, pa.DataType], on_ragged: Callable[[Any], str] | None = None) -> pa.Table:
        """Let Arrow read the columns that have a type. Raises ``ArrowInvalid`` for a ragged record nobody takes."""
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


def _without_missing_numbers(table: pa.Table, rules: Rules) -> pa.Table:
    if not rules.missing_numbers:
        return table
    columns = [_kinds.without_missing_numbers(column, rules) for column in table.columns]
    return pa.table(columns, names=table.column_names)


def _numbers(row: int, good: int, ragged: dict[int, str]) -> np.ndarray:
    numbers = np.arange(row, row + good + len(ragged))
    return np.delete(numbers, list(ragged)) if ragged else numbers


def _shifted(ragged: dict[int, str], row: int) -> dict[int, str]:
    return {row + at: error for at, error in ragged.items()}


def _is_doubtful(table: pa.Table, columns: tuple[Column, ...], data: bytes) -> bool:
    """Tell whether Arrow may have read a value otherwise than pandas: 0x10, NAN, a huge integer, a missing one."""
    if any(_is_doubtful_column(table[column.name], column) for column in columns):
        return True
    return _has_hexadecimal(data)


def _is_doubtful_column(cells: pa.ChunkedArray, column: Column) -> bool:
    type_name = type_of(column)
    if type_name in {"bigint", "verbatim"}:
        return True
    if type_name == "bool" or type_name.startswith(("int", "uint")):
        return bool(cells.null_count)
    if not type_name.startswith("float"):
        return False
    if pc.any(pc.is_nan(cells)).as_py():
        return True
    extent = pc.min_max(cells).as_py()
    return not column.fixed and extent["max"] is not None and max(extent["max"], -extent["min"]) >= _DOUBTFUL


def _has_hexadecimal(data: bytes) -> bool:
    """Tell whether a cell may begin like ``0x1F``, which Arrow takes for a number."""
    if b"x" not in data and b"X" not in data:
        return False
    text = np.frombuffer(data, np.uint8)
    at = np.flatnonzero((text | ord(" ")) == ord("x"))
    at = at[(at > 0) & (text[at - 1] == ord("0"))]
    return not np.isin(text[at - 2][at > 1], _ALPHANUMERIC).all() or bool((at == 1).any())


def _decode(rows: Rows) -> None:
    """Make text of a table of bytes; a row that is not valid in the input's encoding becomes a bad one."""
    texts, good = [], np.ones(len(rows.table), bool)
    for name in rows.table.column_names:
        text, undecodable = _text(rows.table[name])
        _blame(rows, undecodable, Garbled(f"column {name!r}: not valid in the input's encoding"))
        good &= ~undecodable
        texts.append(text)
    rows.table = pa.table(texts, names=rows.table.column_names)
    if not good.all():
        rows.table, rows.numbers = rows.table.filter(pa.array(good)), rows.numbers[good]


def _carefully(rows: Rows, columns: tuple[Column, ...], reading: Reading) -> Rows:
    arrays, unfit = [], np.zeros(len(rows.table), bool)
    for column in columns:
        rules = rules_of(reading, column.name)
        cells = _present(rows.table[column.name], rules)
        if not column.fixed:
            written = column.dates if _dates.DATES in column.kinds else None
            kinds = _observed(cells, column.name, written, reading)
            if _kinds.settle(kinds | column.kinds) != _kinds.settle(column.kinds):
                rows.misfits[column.name] = kinds
        type_name = type_of(column)
        if _is_dated(column):
            typed, misfit = _as_moments(cells, column, reading), np.zeros(len(cells), bool)
        else:
            typed, misfit = _kinds.convert(cells, type_name, rules)
        if column.name not in rows.misfits:
            for at in np.flatnonzero(misfit).tolist():
                _blame_one(rows, at, f"column {column.name!r}: {_shown(cells[at].as_py())} is not {type_name}")
            unfit |= misfit
        arrays.append(rows.table[column.name] if type_name == "verbatim" else typed)
    keep = ~unfit
    table = pa.table(arrays, names=[column.name for column in columns])
    return Rows(table.filter(pa.array(keep)), rows.numbers[keep], rows.bad, rows.misfits)


def _as_moments(cells: pa.Array, column: Column, reading: Reading) -> pa.Array:
    """Read dates whose kinds fit; of those that do not the run learns by the misfits, and nobody sees these."""
    moments = _dates.read(cells, column.dates, dayfirst=reading.dayfirst)[1]
    target = _kinds.ARROW[type_of(column)]
    if moments is None:
        return pa.nulls(len(cells), target)
    try:
        return pa.array(moments).cast(target)
    except pa.ArrowInvalid:
        return pa.nulls(len(cells), target)


def _present(cells: pa.ChunkedArray, rules: Rules) -> pa.Array:
    """Make null the cells that are missing."""
    array = cells.combine_chunks()
    return pc.if_else(pc.is_in(array, value_set=rules.missing_cells), pa.scalar(None, pa.string()), array)


def _blame(rows: Rows, which: np.ndarray, error: str) -> None:
    for at in np.flatnonzero(which).tolist():
        _blame_one(rows, at, error)


def _blame_one(rows: Rows, at: int, error: str) -> None:
    rows.bad.setdefault(int(rows.numbers[at]), error)


def _shown(text: str | None) -> str:
    return "a missing value" if text is None else repr(text[:80])


def _text(cells: pa.ChunkedArray) -> tuple[pa.Array, np.ndarray]:
    """Read bytes as UTF-8; also a mask of the cells that are not."""
    array = cells.combine_chunks() if cells.num_chunks != 1 else cells.chunk(0)
    try:
        return array.cast(pa.string()), np.zeros(len(array), bool)
    except pa.ArrowInvalid:
        pass
    texts = []
    for cell in array.to_pylist():
        try:
            texts.append(None if cell is None else cell.decode())
        except UnicodeDecodeError:
            texts.append(None)
    decoded = pa.array(texts, pa.string())
    return decoded, pc.and_not(array.is_valid(), decoded.is_valid()).to_numpy(zero_copy_only=False)


def raw_records(data: bytes, dialect: Dialect, *, wanted: Iterable[int]) -> dict[int, tuple[int, str]]:
    """Find the text of some records, counted from 0, with where they start in ``data``."""
    wanted = set(wanted)
    found = {}
    for at, (start, end) in enumerate(records(data, dialect)):
        if at in wanted:
            text = data[start:end].decode(dialect.encoding, errors="backslashreplace")
            found[at] = (start, text.removesuffix("\n").removesuffix("\r"))
    if len(found) < len(wanted):
        raise DataError("A rejected row could not be found again: the input changed while it was read.")
    return found
