"""Make the inputs, once: the seed's rows, and two files with newlines inside quotes."""

import csv
import hashlib
import itertools
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

HERE = Path(__file__).parent
DATA = HERE / ".data"
MUSTER = Path(sys.executable).with_name("muster")
COLUMNS = ("ID", "SKU", "FLUX", "MANUFACTURER_NAME", "NOTE")
WORDS = ("wool", "shear", "dip", "drench", "yard", "mob", "ram", "ewe", "lamb", "drover", "swag", "gate", "dog")
LARGEST_SKU = 100_000
HUGE_CELL_ROWS = 20_000


def rows(count: int) -> Path:
    path = DATA / f"rows-{count}.csv"
    if not path.exists():
        DATA.mkdir(exist_ok=True)
        subprocess.run([MUSTER, "generate", "--rows", str(count), "-o", path], check=True)
    return path


def quoted(count: int) -> Path:
    """Every third row has a note of several lines, with commas and doubled quotes."""
    return _written(f"quoted-{count}.csv", count, _plain_note)


def hard(count: int) -> Path:
    """Make a file whose notes hold what looks like rows, CRLF, lines of odd quotes, and one cell of megabytes."""
    return _written(f"hard-{count}.csv", count, _hard_note)


def _written(name: str, count: int, note: Callable[[int, random.Random], str]) -> Path:
    path = DATA / name
    if not path.exists():
        DATA.mkdir(exist_ok=True)
        unfinished = path.with_suffix(".unfinished")
        with unfinished.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(COLUMNS)
            writer.writerows(_quoted_rows(count, note))
        unfinished.replace(path)
    return path


def _quoted_rows(count: int, note: Callable[[int, random.Random], str]) -> Iterator[tuple[object, ...]]:
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
