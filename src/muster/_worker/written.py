"""How the cells of a column of text are written, and which options read them as dates or numbers; each was tried."""

import re
import shlex
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

import pyarrow as pa

from muster._dialects import Reading
from muster._formats.dates import date_format_of, read_dates, settled_dates
from muster._formats.kinds import typed_cells
from muster._formats.rules import Rules

_FORMATS: Final = (
    *("%d.%m.%Y", "%d.%m.%Y %H:%M", "%d.%m.%Y %H:%M:%S", "%d.%m.%y", "%d.%m.%y %H:%M", "%d.%m.%y %H:%M:%S"),
    *("%Y%m%d", "%Y.%m.%d", "%d-%m-%Y", "%m/%d/%Y %H:%M", "%d/%m/%Y %H:%M", "%d %b %Y", "%d-%b-%Y", "%b %d, %Y"),
)
"""What is tried where pandas does not guess the format of all cells. Before a point it is the day that stands."""

_MARKS: Final = ((".", ""), (".", ","), (",", "."), (",", ""), (".", "'"), (",", "'"), (".", " "), (",", " "))
"""What stands before decimals, and between thousands: the first pair that fits the most cells counts."""

_MOST_STRAYS: Final = 3
"""Kinds of cells, such as "n/a" and "-", that a user would call missing."""

_MOSTLY: Final = 0.5
"""Of the cells: where more would become missing, the column is something else."""


class Flags(NamedTuple):
    """What to type for a column to be read as something else than text, and the cells that will be missing then."""

    typed: str
    strays: tuple[str, ...] = ()
    month_first: bool = False
    """Whether the cells would be dates with the day first, too, and the flags say the month."""


def as_dates(name: str, cells: Sequence[str], reading: Reading | None) -> Flags | None:
    """Find flags that read all these cells as dates, but for a few that become missing; ``None`` if there are none.

    ``reading`` is how cells are read now; ``None`` where an input is no CSV.
    """
    if not typed_cells(pa.array(cells, pa.string()), "datetime")[1].any():
        return Flags(f"--dtype {shlex.quote(f'{name}=datetime')}")
    if reading is None:
        return None
    ways = _ways_of_dates(name, cells, reading)
    typed, fits = max(ways, key=lambda way: sum(cell in way[1] for cell in cells))
    found = _with_strays(typed, cells, fits, reading)
    with_day_first = next((more for flags, more in ways if flags == [*typed, "--dayfirst"]), set[str]())
    is_either = any(re.match(r"\d{1,2}\D\d", cell) for cell in cells) and with_day_first >= fits
    return found and found._replace(month_first=is_either)


def _ways_of_dates(name: str, cells: Sequence[str], reading: Reading) -> list[tuple[list[str], set[str]]]:
    """List flags, and which cells are dates by them; of two that fit as many cells, the first is more likely meant."""
    listed = ",".join(map(str, dict.fromkeys((*reading.parse_dates, name))))
    parsed = [] if name in reading.parse_dates else [f"--parse-dates {quoted(listed)}"]
    chosen = [([*parsed, f"--date-format {quoted(one)}"], _fitting(cells, one)) for one in _FORMATS]
    guessed = []
    for dayfirst in (False, True):
        written = date_format_of(pa.array(cells, pa.string()), dayfirst=dayfirst)
        flags = [*parsed, "--dayfirst"] if dayfirst and not reading.dayfirst else parsed
        guessed.append((flags, _fitting(cells, "" if written == "mixed" else written, dayfirst=dayfirst)))
    has_points = any(re.match(r"\d{1,2}\.\d{1,2}\.", cell) for cell in cells)
    return [*chosen, *guessed] if has_points else [*guessed, *chosen]


def _fitting(cells: Iterable[str], written: str, *, dayfirst: bool = False) -> set[str]:
    """Choose the cells that are dates in a format."""
    if not written:
        return set()
    return {
        cell
        for cell in set(cells)
        if settled_dates(read_dates(pa.array([cell], pa.string()), written, dayfirst=dayfirst)[0]) != "str"
    }


def as_numbers(name: str, cells: Sequence[str], reading: Reading | None) -> Flags | None:
    """Find flags that read all these cells as numbers, as ``as_dates`` does for dates."""
    now = (reading.decimal, reading.thousands) if reading else (".", "")
    ways = [(pair, _numbers(cells, *pair)) for pair in ((now, *_MARKS) if reading else (now,))]
    (decimal, thousands), fits = max(ways, key=lambda way: sum(cell in way[1] for cell in cells))
    marks = [
        f"--{flag} {quoted(mark)}"
        for flag, mark, before in (("decimal", decimal, now[0]), ("thousands", thousands, now[1]))
        if mark != before and any(mark in cell for cell in fits)
    ]
    found = _with_strays(marks, cells, fits, reading)
    return found and found._replace(typed=f"{found.typed} --dtype {shlex.quote(f'{name}=float64')}".lstrip())


def _numbers(cells: Iterable[str], decimal: str, thousands: str) -> set[str]:
    """Choose the cells that are numbers with these marks: as a worker reads them, and with thousands in threes."""
    digits = rf"\d{{1,3}}(?:{re.escape(thousands)}\d{{3}})+|\d+" if thousands else r"\d+"
    strict = re.compile(rf"\s*[+-]?(?:{digits}|(?={re.escape(decimal)}\d))(?:{re.escape(decimal)}\d*)?(?:[eE].*)?\s*")
    listed = [cell for cell in set(cells) if strict.fullmatch(cell)]
    unfit = typed_cells(pa.array(listed, pa.string()), "float64", Rules(decimal=decimal, thousands=thousands))[1]
    return {cell for cell, wrong in zip(listed, unfit, strict=True) if not wrong}


def _with_strays(typed: Sequence[str], cells: Sequence[str], fits: set[str], reading: Reading | None) -> Flags | None:
    """Add what makes the cells missing that do not fit; ``None`` where they are many, or no flag can name them."""
    counts = Counter(cell for cell in cells if cell not in fits)
    strays = tuple(cell for cell, _ in counts.most_common())
    if not strays:
        return Flags(" ".join(typed))
    before = reading.na_values if reading else ()
    named = [one for one in (*before, *strays) if isinstance(one, str) and "," not in one]
    are_few = len(strays) <= _MOST_STRAYS and sum(counts.values()) < _MOSTLY * len(cells)
    if not are_few or reading is None or not reading.na_filter or len(named) < len(before) + len(strays):
        return None
    return Flags(" ".join([*typed, f"--na-values {quoted(','.join(named))}"]), strays)


def quoted(text: str) -> str:
    """Quote what is typed, also where a shell would not need it: that tells it from the words around it."""
    if "'" not in text:
        return f"'{text}'"
    return f'"{text}"' if not set(text) & set('"$`\\!') else shlex.quote(text)
