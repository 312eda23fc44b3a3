"""Dates and times out of cells of text, as ``parse_dates`` reads a column: all of it by one format, or not at all.

pandas takes the format from the first cell of the column, so that has to be known before any other cell is looked at.
"""

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import pyarrow as pa

from .frames import unit_of_dates

if TYPE_CHECKING:
    import pandas as pd

DATES: Final = "dates"
"""The kind of a column that ``parse_dates`` names."""

_NO_MOMENT: Final = frozenset({"", "NaT", "nat", "NAT", "nan", "NaN", "NAN", "now", "today"})
"""Cells that pandas reads as moments or as missing, but from which it guesses no format."""

_UNITS: Final = {"datetime": "us", "datetime[s]": "s", "datetime[ns]": "ns"}
_EACH_BY_ITSELF: Final = "mixed"
"""The format for which ``to_datetime`` looks at each cell by itself."""


def date_format_of(cells: pa.Array, *, dayfirst: bool) -> str:
    """Guess the format from the first of these cells that has one; none where nothing is present."""
    from pandas.tseries.api import guess_datetime_format

    cell = next((cell for cell in cells.drop_null().to_pylist() if cell not in _NO_MOMENT), None)
    if cell is None:
        return ""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it remarks that a day stands first
        return guess_datetime_format(cell, dayfirst=dayfirst) or _EACH_BY_ITSELF


def read_dates(
    cells: pa.Array, written: str, *, dayfirst: bool
) -> tuple[frozenset[str], "pd.Series[pd.Timestamp] | None"]:
    """Read cells in a format. Return their kinds, and the moments, or ``None`` where one of the cells is none.

    The kinds: ``missing``, ``text`` for what is no moment, ``zone`` and its name for each, ``fine`` for what is less
    than a microsecond, ``far`` for what is beyond the years that nanoseconds reach, and ``late`` where no format was
    known.
    """
    kinds = frozenset({DATES, "missing"} if cells.null_count else {DATES})
    if not written and any(cell not in _NO_MOMENT for cell in cells.drop_null().unique().to_pylist()):
        return kinds | {"late"}, None
    moments = _moments(cells.to_pylist(), written, dayfirst=dayfirst)
    if moments is None:
        return kinds | _kinds_of_all(cells.drop_null().unique().to_pylist(), written, dayfirst=dayfirst), None
    return kinds | _kinds_of(moments), moments


def _moments(cells: Sequence[str | None], written: str, *, dayfirst: bool) -> "pd.Series[pd.Timestamp] | None":
    import pandas as pd

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            texts: pd.Series[str] = pd.Series(list(cells), dtype=object)
            moments = pd.to_datetime(texts, format=written or None, dayfirst=dayfirst)
        except (ValueError, TypeError, OverflowError):
            return None
    return None if moments.dtype == object else moments  # pandas 2.2 makes objects of moments in several zones


def _kinds_of_all(cells: list[str], written: str, *, dayfirst: bool) -> frozenset[str]:
    """Find why cells cannot be read together: halve them until one is no date, or two zones differ."""
    if len(cells) == 1:
        return frozenset({"text"})
    kinds = frozenset[str]()
    for half in (cells[: len(cells) // 2], cells[len(cells) // 2 :]):
        moments = _moments(half, written, dayfirst=dayfirst)
        more = _kinds_of(moments) if moments is not None else _kinds_of_all(half, written, dayfirst=dayfirst)
        kinds |= more
        if settled_dates(kinds) == "str":
            break
    return kinds


def _kinds_of(moments: "pd.Series[pd.Timestamp]") -> frozenset[str]:
    import pandas as pd

    present = moments.dropna()
    if present.empty:
        return frozenset()
    arrow = pa.array(present.iloc[:1]).type
    kinds = {f"zone {arrow.tz or 'none'}"}
    if arrow.unit == "ns":
        kinds.add("fine")
    elif present.min().year < pd.Timestamp.min.year + 1 or present.max().year > pd.Timestamp.max.year - 1:
        kinds.add("far")
    return frozenset(kinds)


def settled_dates(kinds: frozenset[str]) -> str:
    """Name the type of a column of dates with these kinds."""
    zones = [kind.removeprefix("zone ") for kind in kinds if kind.startswith("zone ")]
    if "text" in kinds or len(zones) > 1 or {"fine", "far"} <= kinds:
        return "str"
    if not zones:
        return "datetime" if "late" in kinds else "datetime[s]"
    unit = "datetime[ns]" if "fine" in kinds else "datetime"
    return unit if zones[0] == "none" else f"{unit} {zones[0]}"


def arrow_type_of_dates(name: str) -> pa.DataType:
    """Give the Arrow type of a column of dates."""
    kind, _, zone = name.partition(" ")
    unit = unit_of_dates()
    return pa.timestamp(unit if unit == "ns" else _UNITS[kind], zone or None)
