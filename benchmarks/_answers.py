"""Read what a peer wrote into columns of text, whatever its form: CSV, JSON lines, Parquet, or a folder of them.

Text is what all forms have in common: 1 and 1.0 stay apart, and so do a missing cell and an empty one, where the form
can tell them. Cells of JSON lines are spelled as JSON: "1" and 1 stay apart, too.

Arrow reads CSV, because nothing else is quick enough. It is a peer, too, and shall not judge itself: Python's own csv
reads some thousands of the rows again, spread over the file, and must read the same.
"""

import csv
import io
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv as arrow_csv
from pyarrow import parquet

MISSING = "\0missing"
LARGEST_BLOCK = 1 << 26
JSON = "JSON"
JSON_KINDS = {'"': "text", "{": "object", "[": "list", "t": "truth", "f": "truth", "n": "null"}
"""What a cell is, by the first character of its spelling; any other begins a number."""
STRETCHES, STRETCH_ROWS = 100, 100
"""How much of a file of CSV is read again by Python's csv."""


@dataclass(frozen=True, slots=True)
class Answer:
    table: pa.Table
    """Columns of text, named by their numbers: names may come twice."""
    names: Sequence[str]
    types: Sequence[str]
    """As the form has them; ``text`` in all columns of CSV, and the kinds of all cells in one of JSON lines."""

    @property
    def rows(self) -> int:
        return int(self.table.num_rows)

    def column(self, name: str) -> pa.ChunkedArray:
        return self.table.column(self.names.index(name))

    def is_spelled(self, name: str) -> bool:
        """Tell whether numbers of a column are written in digits, so that 2 and 2.0 differ."""
        return self.types[self.names.index(name)].startswith(("text", JSON))


def answer(path: Path) -> Answer:
    """Read an answer; raise ValueError where its files are none of their form, or have different columns."""
    files = files_of(path)
    if not files:
        raise ValueError("no file was written")
    read = {".parquet": _parquet, ".jsonl": _json, ".json": _json, ".part": _json}
    parts = [read.get(one.suffix, _csv)(one) for one in files]
    if len({(tuple(part.names), tuple(part.types)) for part in parts}) > 1:
        raise ValueError("the files have different columns")
    whole = replace(parts[0], table=pa.concat_tables(part.table for part in parts))
    return replace(whole, types=[_with_kinds(*pair) for pair in zip(whole.types, whole.table.columns, strict=True)])


def files_of(path: Path) -> list[Path]:
    """List the files of an answer in the order of the numbers in their names, without marks such as ``_SUCCESS``."""
    if not path.is_dir():
        return [path]
    return sorted((one for one in path.iterdir() if not one.name.startswith((".", "_"))), key=_numbered)


def _numbered(path: Path) -> list[str | int]:
    return [int(piece) if piece.isdigit() else piece for piece in re.split(r"(\d+)", path.name)]


def _csv(path: Path) -> Answer:
    with path.open("rb") as file:
        names = arrow_csv.open_csv(file, parse_options=_PARSING).schema.names
    numbers = [str(at) for at in range(len(names))]
    converting = arrow_csv.ConvertOptions(column_types=dict.fromkeys(numbers, pa.large_string()))
    reading = arrow_csv.ReadOptions(column_names=numbers, skip_rows=1, block_size=LARGEST_BLOCK)
    table = arrow_csv.read_csv(path, reading, _PARSING, converting)
    check_csv(path, Answer(table, names, ["text"] * len(names)))
    return Answer(table, names, ["text"] * len(names))


_PARSING = arrow_csv.ParseOptions(newlines_in_values=True, ignore_empty_lines=False)


def check_csv(path: Path, read: Answer) -> None:
    """Raise ValueError where Python's csv finds other names, another number of rows or other cells than were read."""
    data = np.fromfile(path, np.uint8)
    is_quoted = np.logical_xor.accumulate(data == ord('"'))
    ends = np.flatnonzero((data == ord("\n")) & ~is_quoted) + 1
    ends = ends if len(ends) and ends[-1] == len(data) else np.append(ends, len(data))
    rows = len(ends) - 1
    if rows != read.rows:
        raise ValueError(f"Arrow reads {read.rows:,} rows of {path.name}, where {rows:,} lines end outside of quotes")
    if list(_by_python(data[: ends[0]])) != [list(read.names)]:
        raise ValueError(f"Arrow reads other names in {path.name} than Python's csv")
    for first in {*np.linspace(0, max(rows - STRETCH_ROWS, 0), STRETCHES, dtype=int).tolist()}:
        columns = read.table.slice(first, STRETCH_ROWS).to_pydict().values()
        last = min(first + STRETCH_ROWS, rows)
        if list(_by_python(data[ends[first] : ends[last]])) != [list(row) for row in zip(*columns, strict=True)]:
            raise ValueError(f"Arrow reads rows {first:,} to {last:,} of {path.name} other than Python's csv")


def _by_python(data: "np.ndarray[tuple[int], np.dtype[np.uint8]]") -> Iterator[list[str]]:
    csv.field_size_limit(sys.maxsize)
    reader = csv.reader(io.StringIO(data.tobytes().decode(), newline=""), strict=True)
    yield from (row or [""] for row in reader)  # a line with nothing in it is a missing cell


def _json(path: Path) -> Answer:
    with path.open("rb") as file:
        lines = [orjson.loads(line) for line in file]
    names = list(lines[0]) if lines else []
    if any(list(line) != names for line in lines):
        raise ValueError("the lines have different keys")
    columns = {str(at): pa.array(map(_spelled, (line[name] for line in lines))) for at, name in enumerate(names)}
    return Answer(pa.table(columns), names, [JSON] * len(names))


def _spelled(value: object) -> str:
    return orjson.dumps(value).decode()


def _with_kinds(kind: str, column: pa.ChunkedArray) -> str:
    """Add to JSON what a column's cells are, in all files: ``JSON null or number``."""
    if kind != JSON:
        return kind
    firsts = pc.unique(pc.utf8_slice_codeunits(column, 0, 1)).to_pylist()
    return f"{JSON} {' or '.join(sorted({JSON_KINDS.get(first, 'number') for first in firsts}))}"


def _parquet(path: Path) -> Answer:
    table = parquet.ParquetFile(path).read()
    columns = {str(at): _as_text(column) for at, column in enumerate(table.columns)}
    return Answer(pa.table(columns), table.column_names, [_plain(one) for one in table.schema.types])


def _as_text(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.fill_null(column.cast(pa.large_string()), MISSING)


def _plain(kind: pa.DataType) -> str:
    """Name a type as pandas sees it: texts are alike, however long they may get and however they are stored."""
    plain = kind.value_type if pa.types.is_dictionary(kind) else kind
    is_text = pa.types.is_string(plain) or pa.types.is_large_string(plain) or pa.types.is_string_view(plain)
    return "text" if is_text else str(plain)
