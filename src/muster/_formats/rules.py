"""What the cells of a column mean: which are missing, which true or false, and how numbers are written."""

import functools
import itertools
import re
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa

from muster._dialects import Reading

MISSING: Final = (
    *("", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN"),
    *("<NA>", "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null"),
)
"""The cells that pandas reads as missing by default."""

TRUE: Final = tuple(map("".join, itertools.product(*zip("true", "TRUE", strict=True))))
FALSE: Final = tuple(map("".join, itertools.product(*zip("false", "FALSE", strict=True))))

_BLANKS: Final = r"[ \t\n\v\f\r]*"


@dataclass(frozen=True)
class Rules:
    """The rules of one column; by default those that pandas has."""

    missing: tuple[str, ...] = MISSING
    missing_numbers: frozenset[float] = frozenset()
    """Numbers that are missing however they are written, in a column that is decimal."""
    true: tuple[str, ...] = TRUE
    false: tuple[str, ...] = FALSE
    decimal: str = "."
    thousands: str = ""

    @functools.cached_property
    def missing_cells(self) -> pa.Array:
        """``missing``, for Arrow."""
        return pa.array(self.missing, pa.string())

    @functools.cached_property
    def booleans(self) -> pa.Array:
        """The cells that are true or false."""
        return pa.array(self.true + self.false)

    @property
    def has_own_booleans(self) -> bool:
        """Tell whether the user named true or false values, which may also be numbers, as 0 and 1 are."""
        return (self.true, self.false) != (TRUE, FALSE)

    @functools.cached_property
    def integer(self) -> str:
        """A regular expression of whole numbers."""
        return rf"^{_BLANKS}[+-]?[0-9][0-9{re.escape(self.thousands)}]*{_BLANKS}$"

    @functools.cached_property
    def decimal_number(self) -> str:
        """A regular expression of all other numbers."""
        point, digit = re.escape(self.decimal), f"[0-9]{re.escape(self.thousands)}?" if self.thousands else "[0-9]"
        digits = rf"(?:{digit})+(?:{point}[0-9]*)?|{point}[0-9]+"
        return rf"^{_BLANKS}[+-]?({digits})([eE][+-]?[0-9]+)?{_BLANKS}$|^[+-]?(?i:inf|infinity)$"

    @property
    def suit_arrow(self) -> bool:
        """Tell whether Arrow may read first: where it differs from pandas under these rules, ``_by_arrow`` notices."""
        return not self.thousands or self.thousands != self.decimal


@functools.lru_cache(maxsize=4096)
def rules_of(reading: Reading, column: str = "") -> Rules:
    """Work out the rules of a column; without a column, those that all share."""
    missing = _missing(reading, column)
    return Rules(
        missing=tuple(dict.fromkeys(missing)),
        missing_numbers=frozenset(number for text in missing if (number := _number(text)) is not None),
        true=TRUE + reading.true_values,
        false=FALSE + reading.false_values,
        decimal=reading.decimal,
        thousands=reading.thousands,
    )


def _missing(reading: Reading, column: str) -> tuple[str, ...]:
    if not reading.na_filter:
        return ()
    own = next((value[1] for value in reading.na_values if isinstance(value, tuple) and value[0] == column), ())
    chosen = own or tuple(value for value in reading.na_values if isinstance(value, str))
    return (MISSING if reading.keep_default_na else ()) + chosen


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return None if np.isnan(number) else number


def differ_by_column(reading: Reading) -> bool:
    """Tell whether a cell may be missing in one column and not in another."""
    return reading.na_filter and any(isinstance(value, tuple) for value in reading.na_values)
