"""Judge an output against pandas': ``judge.py EXPECTED ACTUAL NUMBERS``, prints one JSON object.

Read by Python's own csv module, so that no peer judges itself. ACTUAL may be a folder of CSV files in name order.
Columns in NUMBERS (separated by commas) are compared as numbers: 1e-05 is 0.00001, and a last digit may differ, which
is told; all others are compared as text.
"""

import csv
import itertools
import json
import math
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

NEAR = 1e-12
csv.field_size_limit(1 << 30)


def records(path: Path) -> Iterator[list[str]]:
    """Yield the header, then the rows of all files."""
    files = sorted(path.glob("*.csv")) if path.is_dir() else [path]
    for number, one in enumerate(files):
        with one.open(newline="", encoding="utf-8") as file:
            yield from itertools.islice(csv.reader(file), 1 if number else 0, None)


def distance(one: str, other: str) -> float:
    """Tell how far apart two numbers are, as a part of the larger; infinitely, if they are none."""
    try:
        left, right = float(one), float(other)
    except ValueError:
        return math.inf
    return 0.0 if left == right else abs(left - right) / max(abs(left), abs(right))


def numbered(row: list[str], numeric: list[bool]) -> tuple[str, ...]:
    """Spell numbers alike, so that rows can be counted whatever their order."""
    return tuple(
        f"{float(cell):.11g}" if is_number and cell else cell for cell, is_number in zip(row, numeric, strict=True)
    )


def as_counts(path: Path, numeric: list[bool]) -> Counter[int]:
    rows = itertools.islice(records(path), 1, None)
    return Counter(hash(numbered(row, numeric)) for row in rows)


def differences(expected: Path, actual: Path, numeric: list[bool]) -> tuple[int, int, Counter[int], int]:
    """Count the rows of both, the rows that differ in each column, and the numbers that nearly agree."""
    columns: Counter[int] = Counter()
    theirs = ours = near = 0
    pairs = itertools.zip_longest(records(expected), records(actual))
    for right, found in itertools.islice(pairs, 1, None):
        theirs += right is not None
        ours += found is not None
        if right == found or right is None or found is None:
            continue
        if len(right) != len(found):
            columns[-1] += 1
            continue
        for at, (cell, other) in enumerate(zip(right, found, strict=True)):
            apart = 0.0 if cell == other else distance(cell, other) if numeric[at] else math.inf
            near += 0 < apart <= NEAR
            columns[at] += not apart <= NEAR
    return theirs, ours, +columns, near


def verdict(expected: Path, actual: Path, numbers: set[str]) -> dict[str, object]:
    names = next(records(expected))
    found = next(records(actual), [])
    if found != names:
        return {"right": False, "detail": f"columns {','.join(found)} instead of {','.join(names)}"[:200]}
    numeric = [name in numbers for name in names]
    theirs, ours, columns, near = differences(expected, actual, numeric)
    if theirs != ours:
        return {"right": False, "detail": f"{ours:,} rows instead of {theirs:,}"}
    if not columns:
        return {"right": True, "detail": f"{near:,} numbers differ in the last digit" if near else ""}
    try:
        is_shuffled = as_counts(expected, numeric) == as_counts(actual, numeric)
    except ValueError:
        is_shuffled = False
    if is_shuffled:
        return {"right": False, "detail": "the right rows, in another order"}
    told = ", ".join(f"{names[at] if at >= 0 else 'number of cells'} in {count:,}" for at, count in columns.items())
    return {"right": False, "detail": f"{theirs:,} rows, but they differ: {told}"}


if __name__ == "__main__":
    right, given, of_numbers = sys.argv[1:]
    print(json.dumps(verdict(Path(right), Path(given), set(of_numbers.split(",")))))
