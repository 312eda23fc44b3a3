"""The same kinds of rows in many forms: quoted, packed, wide, in many files, as Parquet and as JSON lines.

All have the numbers ``id`` and ``x``. Each file is drawn from a seed of its own: the same bytes each time, as long as
numpy and pyarrow are the pinned ones.
"""

import gzip
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import csv, parquet

from _data import made

WORDS = ("red", "green", 'say ""hi"" to', "a, b and c", "two\nlines", "plain text", "longer words of a note", "x")
LARGEST = 1_000_000
AT_ONCE = 100_000
FILE_ROWS = 100
COLUMNS_OF_WIDE = 200
NAMES = 5000
ROW_GROUP = 500_000
UNQUOTED = csv.WriteOptions(quoting_style="none", quoting_header="none")


def quoted(count: int, folder: Path) -> Path:
    """Make a CSV whose two texts are always in quotes: some hold commas, quotes, line breaks."""
    return made(folder / f"quoted-{count}.csv", lambda path: _write(path, _quoted_lines(count)))


def packed(count: int, folder: Path) -> Path:
    source = quoted(count, folder)
    return made(folder / f"{source.name}.gz", lambda path: _pack(source, path))


def wide(count: int, folder: Path) -> Path:
    """Make a CSV of 200 columns of numbers: whole ones and such of two decimals, in turns."""
    return made(folder / f"wide-{count}.csv", lambda path: csv.write_csv(_wide_table(count), path, UNQUOTED))


def files(count: int, folder: Path) -> Path:
    """Make a folder of CSV files of 100 rows each."""
    return made(folder / f"files-{count}", lambda path: _write_files(path, count))


def sales(count: int, folder: Path) -> Path:
    """Make a CSV of the amounts of 10,000 users."""
    return made(
        folder / f"sales-{count}.csv", lambda path: csv.write_csv(_amounts(count, users=10_000), path, UNQUOTED)
    )


def visits(count: int, folder: Path) -> Path:
    """Make a CSV of users who have about 20 rows each."""
    users = max(count // 20, 1)
    return made(
        folder / f"visits-{count}.csv", lambda path: csv.write_csv(_amounts(count, users=users), path, UNQUOTED)
    )


def _amounts(count: int, *, users: int) -> pa.Table:
    rng = np.random.default_rng(11)
    return pa.table({"user": rng.integers(0, users, count), "amount": rng.integers(0, 100_000, count) / 100})


def as_parquet(count: int, folder: Path) -> Path:
    path = folder / f"table-{count}.parquet"
    return made(path, lambda path: parquet.write_table(_table(count), path, row_group_size=ROW_GROUP))


def as_csv(count: int, folder: Path) -> Path:
    return made(folder / f"table-{count}.csv", lambda path: csv.write_csv(_table(count), path, UNQUOTED))


def as_json(count: int, folder: Path) -> Path:
    """Make JSON lines with a text in which every ninth holds quotes and a line break."""
    return made(folder / f"lines-{count}.jsonl", lambda path: _write(path, _json_lines(count)))


def _write(path: Path, pieces: Iterator[str]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        file.writelines(pieces)


def _quoted_lines(count: int) -> Iterator[str]:
    dice = np.random.default_rng(1)
    yield "id,x,note,place,more\n"
    for at in range(0, count, AT_ONCE):
        numbers = range(at, min(at + AT_ONCE, count))
        xs = dice.integers(0, LARGEST, len(numbers)).tolist()
        notes, places = dice.integers(0, len(WORDS), (2, len(numbers))).tolist()
        yield "".join(
            f'{row},{x},"{WORDS[note]} {row % 977}","{WORDS[place]}",{row % 13}.5 and some plain text here\n'
            for row, x, note, place in zip(numbers, xs, notes, places, strict=True)
        )


def _pack(source: Path, path: Path) -> None:
    with source.open("rb") as file, path.open("wb") as raw, gzip.GzipFile("", "wb", 6, raw, mtime=0) as packing:
        shutil.copyfileobj(file, packing, 1 << 20)


def _wide_table(count: int) -> pa.Table:
    dice = np.random.default_rng(2)
    columns: dict[str, object] = {"id": np.arange(count), "x": dice.integers(0, LARGEST, count)}
    for at in range(COLUMNS_OF_WIDE - len(columns)):
        columns[f"c{at}"] = dice.integers(0, 1000, count) if at % 2 else (dice.random(count) * 1000).round(2)
    return pa.table(columns)


def _write_files(folder: Path, count: int) -> None:
    folder.mkdir()
    dice = np.random.default_rng(3)
    for first in range(0, count, FILE_ROWS):
        xs = dice.integers(0, LARGEST, min(FILE_ROWS, count - first)).tolist()
        lines = (f"{first + row},{x},n{row}\n" for row, x in enumerate(xs))
        (folder / f"{first // FILE_ROWS:06}.csv").write_text("id,x,name\n" + "".join(lines))


def _table(count: int) -> pa.Table:
    dice = np.random.default_rng(4)
    columns = {
        "id": np.arange(count),
        "x": dice.integers(0, LARGEST, count),
        "v": dice.random(count).round(3),
        "name": pa.array([f"name {at}" for at in range(NAMES)]).take(dice.integers(0, NAMES, count)),
    }
    return pa.table(columns)


def _json_lines(count: int) -> Iterator[str]:
    dice = np.random.default_rng(5)
    xs, vs = dice.integers(0, LARGEST, count).tolist(), dice.random(count).round(4).tolist()
    for row, (x, v) in enumerate(zip(xs, vs, strict=True)):
        note = "plain words" if row % 9 else 'say "hi"\n'
        cells = {"id": row, "x": x, "v": v, "name": f"name {row % NAMES}", "note": note}
        yield json.dumps(cells, separators=(",", ":")) + "\n"
