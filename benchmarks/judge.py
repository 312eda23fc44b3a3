"""Judge an answer against pandas': ``judge.py EXPECTED ACTUAL NUMBERS``, prints one JSON object.

ACTUAL may be a folder of files, in the order of their numbers. Columns in NUMBERS (separated by commas) are compared as
numbers: 1e-05 is 0.00001, 2 is 2.0, and a last digit may differ, which is told; all others are compared as text. Where
pandas writes 2, an answer must not say 2.0. Parquet must have pandas' types, and JSON lines pandas' kinds of cells.
"""

import filecmp
import json
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from _answers import Answer, answer

NEAR = 1e-12
LONGEST = 200


@dataclass(frozen=True, slots=True)
class Differences:
    """Of one column: cells that differ, numbers that nearly agree, and whole ones that became decimal ones."""

    wrong: int
    near: int = 0
    decimal: int = 0


def verdict(expected: Path, actual: Path, numbers: set[str]) -> dict[str, object]:
    if actual.is_file() and filecmp.cmp(expected, actual, shallow=False):
        return _right()
    right, given = answer(expected), answer(actual)
    if wrong := _shape(right, given):
        return _wrong(wrong)
    found = {name: _differences(right, given, name, is_number=name in numbers) for name in right.names}
    if wrong := _counted({name: one.wrong for name, one in found.items()}):
        if _rows(right, numbers) == _rows(given, numbers):
            return _wrong("the right rows, in another order")
        return _wrong(f"{right.rows:,} rows, but they differ: {wrong}")
    if decimal := _counted({name: one.decimal for name, one in found.items()}):
        return _wrong(f"whole numbers became decimal ones: {decimal}")
    near = sum(one.near for one in found.values())
    return _right(f"{near:,} numbers differ in the last digit" if near else "")


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} in {count:,}" for name, count in counts.items() if count)


def _right(detail: str = "") -> dict[str, object]:
    return {"right": True, "detail": detail}


def _wrong(detail: str) -> dict[str, object]:
    return {"right": False, "detail": detail if len(detail) <= LONGEST else detail[: LONGEST - 1] + "…"}


def _shape(right: Answer, given: Answer) -> str:
    """Tell what is wrong with the columns, their types or the number of rows, if anything is."""
    if given.names != right.names:
        return f"columns {','.join(given.names)} instead of {','.join(right.names)}"
    types = zip(right.names, right.types, given.types, strict=True)
    if told := [f"{name} is {theirs} instead of {ours}" for name, ours, theirs in types if theirs != ours]:
        return "types: " + ", ".join(told)
    return "" if given.rows == right.rows else f"{given.rows:,} rows instead of {right.rows:,}"


def _differences(right: Answer, given: Answer, name: str, *, is_number: bool) -> Differences:
    ours, theirs = right.column(name), given.column(name)
    apart = pc.not_equal(ours, theirs)
    ours, theirs = ours.filter(apart), theirs.filter(apart)
    if not is_number:
        return Differences(len(ours))
    our_numbers, their_numbers = _numbers(ours), _numbers(theirs)
    largest = np.maximum(np.abs(our_numbers), np.abs(their_numbers))
    with np.errstate(invalid="ignore", divide="ignore"):
        distance = np.where(our_numbers == their_numbers, 0.0, np.abs(our_numbers - their_numbers) / largest)
    is_near = distance <= NEAR
    decimal = is_near & _is_whole(ours) & ~_is_whole(theirs) & right.is_spelled(name)
    return Differences(int((~is_near).sum()), int((is_near & (distance > 0)).sum()), int(decimal.sum()))


def _numbers(cells: pa.ChunkedArray) -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
    """Read cells as numbers; what is none becomes NaN, which is near nothing."""
    return np.asarray(pd.to_numeric(cells.to_pandas(), errors="coerce"), dtype=np.float64)


def _is_whole(cells: pa.ChunkedArray) -> "np.ndarray[tuple[int], np.dtype[np.bool_]]":
    return np.asarray(pc.match_substring_regex(cells, "^[+-]?[0-9]+$").to_numpy(), dtype=bool)


def _rows(one: Answer, numbers: set[str]) -> Counter[int]:
    """Count equal rows, whatever their order, with numbers spelled alike."""
    cells = {}
    for at, name in enumerate(one.names):
        column = one.column(name)
        alike = column.to_pandas()
        if name in numbers:
            as_numbers = _numbers(column)
            alike = alike.where(np.isnan(as_numbers), pd.Series(as_numbers).map("{:.11g}".format))
        cells[f"{at}"] = alike
    hashes = pd.util.hash_pandas_object(pd.DataFrame(cells), index=False)
    return Counter(hashes.tolist())


if __name__ == "__main__":
    pandas_file, file, of_numbers = sys.argv[1:]
    print(json.dumps(verdict(Path(pandas_file), Path(file), set(of_numbers.split(",")))))
