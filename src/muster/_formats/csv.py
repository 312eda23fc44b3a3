"""Read parts of CSV and TSV, and write them: RFC 4180, with the values that pandas would read and write."""

import codecs
import csv
import io
from collections.abc import Iterable, Sequence
from typing import Any, Final

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from muster._model import Column, Dialect
from muster.errors import DataError

from . import _kinds
from ._lines import records
from ._rows import Rows, type_of
from ._signals import held

BOM: Final = b"\xef\xbb\xbf"
_MISSING: Final = pa.array(_kinds.MISSING)

_ALPHANUMERIC: Final = np.frombuffer(b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ", np.uint8)
_SMALLEST_PLAIN: Final = np.float64(1e-4)  # exact, also beside float32
_EXPONENT: Final = {np.dtype(np.float32): 1e6, np.dtype(np.float64): 1e16}
"""From this number on, and below the one above, pandas writes exponents, and writes them otherwise than JSON does."""
_DOUBTFUL: Final = 2.0**63


def header_of(data: bytes, dialect: Dialect, *, whole: bool) -> tuple[tuple[str, ...], int] | None:
    """Read the column names from the start of a file; also where its data starts, after the header row.

    ``None`` when there is no row in ``data``, or none that surely ends there though ``data`` is not the whole file.
    Names are made as pandas makes them: ``a``, ``a.1``, ``Unnamed: 2``. Without a header row they are column numbers.
    Raises ``ValueError`` for a row that pandas cannot read, or that is not in the encoding.
    """
    import pandas as pd  # noqa: PLC0415 (in a worker; the parent never reads a header)

    skipped = len(BOM) if data.startswith(BOM) else 0
    for start, end in records(data[skipped:], delimiter=dialect.delimiter, quote=dialect.quote):
        if skipped + end == len(data) and not whole:
            return None
        line = data[skipped + start : skipped + end].decode(dialect.encoding)
        frame = pd.read_csv(
            io.StringIO(line),
            sep=dialect.delimiter,
            quotechar=dialect.quote or '"',
            quoting=csv.QUOTE_MINIMAL if dialect.quote else csv.QUOTE_NONE,
            header=0 if dialect.header else None,
            dtype=str,
            index_col=False,
        )
        return tuple(str(name) for name in frame.columns), skipped + (end if dialect.header else 0)
    return None


def read(data: bytes, *, row: int, order: Sequence[str], columns: tuple[Column, ...], dialect: Dialect) -> Rows:
    """Read records as rows of the settled types; the first is data row ``row`` of its file.

    ``order`` names the file's columns as they stand; the table comes back in the order of ``columns``. First by Arrow
    alone; where Arrow finds, or might have missed, what does not fit, cell by cell with pandas' rules.
    """
    data = _as_utf8(data, dialect)
    types = {column.name: _kinds.ARROW[type_of(column)] for column in columns}
    ragged: dict[int, str] = {}
    try:
        table = _parse(data, order, types, dialect, ragged)
        if not _is_doubtful(table, columns, data):
            return Rows(table.select(list(types)), _numbers(row, len(table), ragged), _shifted(ragged, row))
    except pa.ArrowInvalid as error:
        if "Empty CSV file" in str(error):
            return Rows(pa.schema(types.items()).empty_table(), np.empty(0, np.int64))
    ragged = {}
    raw = _parse(data, order, dict.fromkeys(types, pa.binary()), dialect, ragged)
    rows = Rows(raw, _numbers(row, len(raw), ragged), _shifted(ragged, row))
    _decode(rows)
    return _carefully(rows, columns)


def observe(data: bytes, *, order: Sequence[str], dialect: Dialect) -> dict[str, frozenset[str]]:
    """Name the kinds of value in each column of these records."""
    try:
        table = _parse(_as_utf8(data, dialect), order, dict.fromkeys(order, pa.binary()), dialect, {})
    except pa.ArrowInvalid:
        return {}
    rows = Rows(table, np.arange(len(table)))
    _decode(rows)
    return {name: _kinds.observe(_without_missing(rows.table[name])) for name in order}


def _as_utf8(data: bytes, dialect: Dialect) -> bytes:
    """Make UTF-8 of bytes in another encoding; what is invalid in that one is then invalid in UTF-8."""
    if codecs.lookup(dialect.encoding).name in {"utf-8", "utf-8-sig"} or data.isascii():
        return data
    return data.decode(dialect.encoding, "surrogateescape").encode("utf-8", "surrogatepass")


def _parse(
    data: bytes, order: Sequence[str], types: dict[str, pa.DataType], dialect: Dialect, ragged: dict[int, str]
) -> pa.Table:
    if data.startswith(BOM):
        data = BOM + data  # Arrow takes one away; the file's own is cut off already, so this one is a cell's text

    def skip(record: Any) -> str:  # noqa: ANN401 (Arrow's InvalidRow, which has no types)
        ragged[record.number - 1] = f"expected {record.expected_columns} fields, found {record.actual_columns}"
        return "skip"

    with held():
        return pyarrow.csv.read_csv(
            pa.py_buffer(data),
            pyarrow.csv.ReadOptions(use_threads=False, block_size=len(data) + 1, column_names=list(order)),
            pyarrow.csv.ParseOptions(
                delimiter=dialect.delimiter,
                quote_char=dialect.quote or False,
                newlines_in_values=True,
                invalid_row_handler=skip,
            ),
            pyarrow.csv.ConvertOptions(
                column_types=types,
                null_values=_kinds.MISSING,
                true_values=_kinds.TRUE,
                false_values=_kinds.FALSE,
                strings_can_be_null=pa.binary() not in types.values(),
            ),
        )


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
        _blame(rows, undecodable, f"column {name!r}: not valid in the input's encoding")
        good &= ~undecodable
        texts.append(text)
    rows.table = pa.table(texts, names=rows.table.column_names)
    if not good.all():
        rows.table, rows.numbers = rows.table.filter(pa.array(good)), rows.numbers[good]


def _carefully(rows: Rows, columns: tuple[Column, ...]) -> Rows:
    arrays, unfit = [], np.zeros(len(rows.table), bool)
    for column in columns:
        cells = _without_missing(rows.table[column.name])
        if not column.fixed:
            kinds = _kinds.observe(cells)
            if _kinds.settle(kinds | column.kinds) != _kinds.settle(column.kinds):
                rows.misfits[column.name] = kinds
        type_name = type_of(column)
        typed, misfit = _kinds.convert(cells, type_name)
        if column.name not in rows.misfits:
            for at in np.flatnonzero(misfit).tolist():
                _blame_one(rows, at, f"column {column.name!r}: {_shown(cells[at].as_py())} is not {type_name}")
            unfit |= misfit
        arrays.append(rows.table[column.name] if type_name == "verbatim" else typed)
    keep = ~unfit
    table = pa.table(arrays, names=[column.name for column in columns])
    return Rows(table.filter(pa.array(keep)), rows.numbers[keep], rows.bad, rows.misfits)


def _without_missing(cells: pa.ChunkedArray) -> pa.Array:
    array = cells.combine_chunks()
    return pc.if_else(pc.is_in(array, value_set=_MISSING), pa.scalar(None, pa.string()), array)


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


def render(table: pa.Table, *, delimiter: str) -> bytes | memoryview:
    """Write rows without a header, as pandas' ``to_csv(index=False)`` does: few quotes, ``1.0``, ``True``."""
    if not table.num_columns or not len(table):
        return b""
    texts = [_rendered(column) for column in table.columns]
    plain = pa.table(texts, names=[str(at) for at in range(len(texts))])
    if len(texts) > 1:
        sink = pa.BufferOutputStream()
        options = pyarrow.csv.WriteOptions(
            include_header=False, delimiter=delimiter, quoting_style="none", batch_size=16384
        )
        try:
            pyarrow.csv.write_csv(plain, sink, options)
            return memoryview(sink.getvalue())
        except pa.ArrowInvalid:
            pass  # a cell needs quotes, which Arrow would then put around every cell
    return _quoted(plain, delimiter)


def _rendered(column: pa.ChunkedArray) -> pa.ChunkedArray:
    kind = column.type
    if pa.types.is_floating(kind):
        return _floats(column)
    if pa.types.is_boolean(kind):
        return pc.if_else(column, "True", "False")
    if pa.types.is_integer(kind) or pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return column
    if pa.types.is_timestamp(kind) and kind.tz is None:
        return pc.replace_substring_regex(column.cast(pa.string()), r"\.0+$", "")
    if pa.types.is_date(kind) or pa.types.is_decimal(kind) or pa.types.is_null(kind):
        return column.cast(pa.string())
    return pa.chunked_array(
        [pa.array([None if value is None else str(value) for value in column.to_pylist()], pa.string())]
    )


def _floats(column: pa.ChunkedArray) -> pa.Array:
    """Write floats as pandas does: the shortest digits that are read as the same number."""
    values = column.to_numpy()
    if values.dtype not in _EXPONENT:
        return _as_numpy_writes(values)
    size = np.abs(values)
    differs = ~((size >= _SMALLEST_PLAIN) & (size < _EXPONENT[values.dtype])) & (values != 0)
    text = _shortest(values)
    return pc.replace_with_mask(text, pa.array(differs), _as_numpy_writes(values[differs])) if differs.any() else text


def _shortest(values: np.ndarray) -> pa.Array:
    """Write floats by way of a JSON list, whose commas then tell where each of them ends."""
    json = orjson.dumps(np.ascontiguousarray(values), option=orjson.OPT_SERIALIZE_NUMPY)
    text = json.translate(None, b"[,]")
    commas = np.flatnonzero(np.frombuffer(json, np.uint8) == ord(","))
    offsets = np.empty(len(values) + 1, np.int64)
    offsets[:1], offsets[1:-1], offsets[-1] = 0, commas - np.arange(1, len(commas) + 1), len(text)
    return pa.LargeStringArray.from_buffers(len(values), pa.py_buffer(offsets), pa.py_buffer(text))


def _as_numpy_writes(values: np.ndarray) -> pa.Array:
    """Write floats one by one: what is missing, infinite, or has an exponent."""
    missing = np.isnan(values)
    return pa.array(np.where(missing, "", values.astype(str)).tolist(), pa.large_string(), mask=missing)


def _quoted(table: pa.Table, delimiter: str) -> bytes:
    cells = [
        _with_quotes(column.cast(pa.large_string()), delimiter, alone=table.num_columns == 1)
        for column in table.columns
    ]
    joined = pc.binary_join_element_wise(*cells, pa.scalar(delimiter, pa.large_string()), null_handling="replace")
    ended = pc.binary_join_element_wise(joined, pa.scalar("\n", pa.large_string()), pa.scalar("", pa.large_string()))
    return b"".join(_bytes_of(chunk) for chunk in ended.chunks)


def _bytes_of(array: pa.Array) -> bytes:
    """Take the text of a large-string array as one run of bytes: its cells lie one behind the other."""
    _, offsets, text = array.buffers()
    ends = np.frombuffer(offsets, np.int64)[array.offset : array.offset + len(array) + 1]
    return bytes(text.slice(int(ends[0]), int(ends[-1] - ends[0])).to_pybytes())


def _with_quotes(column: pa.ChunkedArray, delimiter: str, *, alone: bool) -> pa.ChunkedArray:
    special = pc.match_substring_regex(column, f'["\r\n{_escaped(delimiter)}]')
    doubled = pc.replace_substring(column, '"', '""')
    mark = pa.scalar('"', pa.large_string())
    column = pc.if_else(
        special, pc.binary_join_element_wise(mark, doubled, mark, pa.scalar("", pa.large_string())), column
    )
    if alone:  # an empty line would be no row
        column = pc.if_else(pc.equal(pc.binary_length(column.fill_null("")), 0), '""', column.fill_null(""))
    return column


def _escaped(delimiter: str) -> str:
    return "\\" + delimiter if delimiter in r"\]^-[" else delimiter


def raw_records(data: bytes, dialect: Dialect, *, wanted: Iterable[int]) -> dict[int, tuple[int, str]]:
    """Find the text of some records, counted from 0, with where they start in ``data``."""
    wanted = set(wanted)
    found = {}
    for at, (start, end) in enumerate(records(data, delimiter=dialect.delimiter, quote=dialect.quote)):
        if at in wanted:
            text = data[start:end].decode(dialect.encoding, errors="backslashreplace")
            found[at] = (start, text.removesuffix("\n").removesuffix("\r"))
    if len(found) < len(wanted):
        raise DataError("A rejected row could not be found again: the input changed while it was read.")
    return found
