"""Files whose last column is a note that makes a CSV hard to split: line breaks, commas and quotes in quotes."""

import csv
import hashlib
import itertools
import random
from collections.abc import Callable, Iterator
from pathlib import Path

from _data import made

COLUMNS = ("ID", "SKU", "FLUX", "MANUFACTURER_NAME", "NOTE")
WORDS = ("wool", "shear", "dip", "drench", "yard", "mob", "ram", "ewe", "lamb", "drover", "swag", "gate", "dog")
LARGEST_SKU = 100_000
HUGE_CELL_ROWS = 20_000


def newlines(count: int, folder: Path) -> Path:
    """Every third row has a note of several lines, with commas and doubled quotes."""
    return made(folder / f"newlines-{count}.csv", lambda path: _write(path, count, _plain_note))


def hard(count: int, folder: Path) -> Path:
    """Make a file whose notes hold what looks like rows, CRLF, lines of odd quotes, and one cell of megabytes."""
    return made(folder / f"hard-{count}.csv", lambda path: _write(path, count, _hard_note))


def _write(path: Path, count: int, note: Callable[[int, random.Random], str]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(_rows(count, note))


def _rows(count: int, note: Callable[[int, random.Random], str]) -> Iterator[tuple[object, ...]]:
    dice = random.Random(0)  # noqa: S311 (synthetic data, the same every time; no secret)
    for row in range(count):
        digest = hashlib.md5(str(row).encode(), usedforsecurity=False).hexdigest()
        yield row, dice.randint(1, LARGEST_SKU), dice.random(), digest, note(row, dice)


def _plain_note(row: int, dice: random.Random) -> str:
    words = itertools.cycle(dice.sample(WORDS, 6))
    if row % 3:
        return " ".join(itertools.islice(words, 8))
    lines = (", ".join(itertools.islice(words, 4)) for _ in range(dice.randint(2, 5)))
    return "\n".join(lines) + f'\nhe said "{next(words)}"'


def _hard_note(row: int, dice: random.Random) -> str:
    if row == HUGE_CELL_ROWS // 2:
        return "".join(_row_alike(at, dice) for at in range(HUGE_CELL_ROWS))
    match row % 5:
        case 0:
            return "\n" + "".join(_row_alike(row, dice) for _ in range(3))
        case 1:
            return 'an opening quote "\nand, on the next line, its end"\n'
        case 2:
            return f"\r\nlines\r\nof CRLF,{row}\r\n"
        case 3:
            return ",".join(COLUMNS) + "\n" + _row_alike(row, dice)
        case _:
            return "plain"


def _row_alike(row: int, dice: random.Random) -> str:
    return f'{row},{dice.randint(1, LARGEST_SKU)},0.5,{"0" * 32},"{dice.choice(WORDS)}"\n'
