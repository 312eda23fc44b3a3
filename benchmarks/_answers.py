"""Read what a peer wrote into columns of text, whatever its form: CSV, JSON lines, Parquet, or a folder of them.

Text is what all forms have in common: 1 and 1.0 stay apart, and so do a missing cell and an empty one, where the form
can tell them.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import orjson
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv, parquet

MISSING = "\0missing"
LARGEST_BLOCK = 1 << 26


@dataclass(frozen=True, slots=True)
class Answer:
    table: pa.Table
    """Columns of text, named by their numbers: names may come twice."""
    names: Sequence[str]
    types: Sequence[str]
    """As the form has them; ``text`` in all columns of CSV and JSON lines."""

    @property
    def rows(self) -> int:
        return int(self.table.num_rows)

    def column(self, name: str) -> pa.ChunkedArray:
        return self.table.column(self.names.index(name))

    def is_text(self, name: str) -> bool:
        return self.types[self.names.index(name)] == "text"


def answer(path: Path) -> Answer:
    """Read an answer; raise ValueError where its files are none of their form, or have different columns."""
    files = files_of(path)
    if not files:
        raise ValueError("no file was written")
    read = {".parquet": _parquet, ".jsonl": _json, ".json": _json, ".part": _json}
    parts = [read.get(one.suffix, _csv)(one) for one in files]
    if len({(tuple(part.names), tuple(part.types)) for part in parts}) > 1:
        raise ValueError("the files have different columns")
    return Answer(pa.concat_tables(part.table for part in parts), parts[0].names, parts[0].types)


def files_of(path: Path) -> list[Path]:
    """List the files of an answer in the order of the numbers in their names, without marks such as ``_SUCCESS``."""
    if not path.is_dir():
        return [path]
    return sorted((one for one in path.iterdir() if not one.name.startswith((".", "_"))), key=_numbered)


def _numbered(path: Path) -> list[str | int]:
    return [int(piece) if piece.isdigit() else piece for piece in re.split(r"(\d+)", path.name)]


def _csv(path: Path) -> Answer:
    with path.open("rb") as file:
        names = csv.open_csv(file, parse_options=_PARSING).schema.names
    converting = csv.ConvertOptions(column_types={str(at): pa.large_string() for at in range(len(names))})
    reading = csv.ReadOptions(column_names=[str(at) for at in range(len(names))], skip_rows=1, block_size=LARGEST_BLOCK)
    table = csv.read_csv(path, reading, _PARSING, converting)
    return Answer(table, names, ["text"] * len(names))


_PARSING = csv.ParseOptions(newlines_in_values=True, ignore_empty_lines=False)


def _json(path: Path) -> Answer:
    with path.open("rb") as file:
        lines = [orjson.loads(line) for line in file]
    names = list(lines[0]) if lines else []
    if any(list(line) != names for line in lines):
        raise ValueError("the lines have different keys")
    columns = {str(at): pa.array(map(_spelled, (line[name] for line in lines))) for at, name in enumerate(names)}
    return Answer(pa.table(columns), names, ["text"] * len(names))


def _spelled(value: object) -> str:
    return orjson.dumps(value).decode() if not isinstance(value, str) else value


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
