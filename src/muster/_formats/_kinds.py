"""What kinds of value a text column holds, and the type that pandas would give the whole column.

``pandas.read_csv`` settles a column by looking at all of it. Kinds let many workers look at a stretch each: kinds are
sets, sets add up, and :func:`settle` turns the sum into the type that one look at the whole would have found.
"""

import itertools
from collections.abc import Iterable
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

MISSING: Final = (
    *("", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN"),
    *("<NA>", "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null"),
)
"""The cells that pandas reads as missing by default."""

TRUE: Final = tuple(map("".join, itertools.product(*zip("true", "TRUE", strict=True))))
FALSE: Final = tuple(map("".join, itertools.product(*zip("false", "FALSE", strict=True))))

_INTEGER: Final = r"^[ \t\n\v\f\r]*[+-]?[0-9]+[ \t\n\v\f\r]*$"
_DECIMAL: Final = (
    r"^[ \t\n\v\f\r]*[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?[ \t\n\v\f\r]*$|^[+-]?(?i:inf|infinity)$"
)
_LONGEST_INTEGER: Final = 4300
"""Python, and so pandas, reads no integer with more characters than this; such a cell is text."""

ARROW: Final = {
    **{f"{sign}int{bits}": getattr(pa, f"{sign}int{bits}")() for sign in ("", "u") for bits in (8, 16, 32, 64)},
    "float32": pa.float32(),
    "float64": pa.float64(),
    "bool": pa.bool_(),
    "bool?": pa.bool_(),
    "bigint": pa.string(),
    "str": pa.string(),
    "folder": pa.string(),
    "verbatim": pa.string(),
    "object": pa.string(),
    "datetime": pa.timestamp("us"),
    "date": pa.date32(),
}
"""The Arrow type that each settled or fixed type is read as.

``bool?`` is boolean with missing values, ``bigint`` integers beyond 64 bits (kept as text until the frame is made),
``folder`` what a folder's name says,
``verbatim`` numbers that fit no type together and stay text, the missing cells as they stand, ``object`` JSON values of
several kinds (kept as JSON).
"""


def settle(kinds: Iterable[str]) -> str:
    """Name the type of a column that holds these kinds of value, as ``pandas.read_csv`` would."""
    kinds = frozenset(kinds)
    if kinds & {"string", "truth", "nested"}:
        return _settle_json(kinds - {"missing"}, missing="missing" in kinds)
    numbers = kinds & {"integer", "negative", "unsigned", "big", "decimal"}
    if "text" in kinds or ("boolean" in kinds and numbers):
        return "str"
    if "boolean" in kinds:
        return "bool?" if "missing" in kinds else "bool"
    if "big" in kinds:
        return "verbatim" if "decimal" in kinds else "bigint"
    if "unsigned" in kinds and "decimal" not in kinds:
        return "verbatim" if kinds & {"negative", "missing"} else "uint64"
    return "int64" if numbers and not kinds & {"decimal", "missing"} else "float64"


def _settle_json(kinds: frozenset[str], *, missing: bool) -> str:
    """Settle a column of JSON values, which say themselves what they are: several kinds stay Python objects."""
    if kinds == {"string"}:
        return "str"
    if kinds == {"truth"}:
        return "bool?" if missing else "bool"
    return "object"


def observe(cells: pa.Array) -> frozenset[str]:
    """Name the kinds of value among these cells (an Arrow string array whose missing cells are null)."""
    missing = frozenset({"missing"}) if cells.null_count else frozenset[str]()
    cells = cells.drop_null().unique()
    is_integer = pc.match_substring_regex(cells, _INTEGER)
    integers, others = cells.filter(is_integer), cells.filter(pc.invert(is_integer))
    return missing | _integer_kinds(bare_numbers(integers)) | _other_kinds(others)


def _other_kinds(cells: pa.Array) -> frozenset[str]:
    if not len(cells):
        return frozenset()
    is_boolean = pc.is_in(cells, value_set=pa.array(TRUE + FALSE))
    is_decimal = pc.match_substring_regex(cells, _DECIMAL)
    is_text = pc.invert(pc.or_(is_boolean, is_decimal))
    found = {"boolean": is_boolean, "decimal": is_decimal, "text": is_text}
    return frozenset(kind for kind, mask in found.items() if pc.any(mask).as_py())


def _integer_kinds(cells: pa.Array) -> frozenset[str]:
    if not len(cells):
        return frozenset()
    negative = {"negative"} if pc.any(pc.starts_with(cells, "-")).as_py() else set()
    try:
        cells.cast(pa.int64())
    except pa.ArrowInvalid:
        is_readable = pc.less_equal(pc.binary_length(cells), _LONGEST_INTEGER)
        if not pc.all(is_readable).as_py():
            return frozenset({"text"}) | _integer_kinds(cells.filter(is_readable))
        values = [int(text) for text in cells.to_pylist()]
        if min(values) < -(2**63) or max(values) >= 2**64:
            return frozenset({"integer", "big", *negative})
        return frozenset({"integer", "unsigned", *negative})
    return frozenset({"integer", *negative})


def bare_numbers(cells: pa.Array) -> pa.Array:
    """Take off what pandas allows around a number and Arrow does not: blanks and a plus sign."""
    return pc.replace_substring_regex(pc.ascii_trim_whitespace(cells), r"^\+", "")


def convert(cells: pa.Array, type_name: str) -> tuple[pa.Array, np.ndarray]:
    """Give cells (Arrow strings, missing ones null) a type; also a mask of the rows that did not fit.

    A missing cell does not fit an integer or a plain boolean, as with pandas' own ``dtype=int``.
    """
    typed, unfit = _convert(cells, type_name)
    if type_name == "bool" or type_name.startswith(("int", "uint")):
        unfit = unfit | cells.is_null().to_numpy(zero_copy_only=False)
    return typed, unfit


def _convert(cells: pa.Array, type_name: str) -> tuple[pa.Array, np.ndarray]:
    target = ARROW[type_name]
    if type_name in {"str", "verbatim"}:
        return cells, np.zeros(len(cells), bool)
    if type_name.startswith("bool"):
        known = pc.is_in(cells, value_set=pa.array(TRUE + FALSE))
        return _keep(pc.is_in(cells, value_set=pa.array(TRUE)), cells, known)
    if type_name == "bigint":
        return _keep(cells, cells, pc.match_substring_regex(cells, _INTEGER))
    if not (pa.types.is_integer(target) or pa.types.is_floating(target)):
        return _one_by_one(cells, target)
    pattern = _INTEGER if pa.types.is_integer(target) else _INTEGER + "|" + _DECIMAL
    cells, unfit = _keep(bare_numbers(cells), cells, pc.match_substring_regex(cells, pattern))
    typed, overflowing = _one_by_one(cells, target)
    return typed, unfit | overflowing


def _keep(typed: pa.Array, cells: pa.Array, fits: pa.Array) -> tuple[pa.Array, np.ndarray]:
    fits = pc.fill_null(fits, fill_value=False)
    unfit = pc.and_not(cells.is_valid(), fits).to_numpy(zero_copy_only=False)
    return pc.if_else(fits, typed, pa.scalar(None, typed.type)), unfit


def _one_by_one(cells: pa.Array, target: pa.DataType) -> tuple[pa.Array, np.ndarray]:
    try:
        return cells.cast(target), np.zeros(len(cells), bool)
    except pa.ArrowInvalid:
        pass
    unfit = np.zeros(len(cells), bool)
    values = []
    for at, cell in enumerate(cells):
        try:
            values.append(cell.cast(target))
        except pa.ArrowInvalid:
            values.append(pa.scalar(None, target))
            unfit[at] = True
    return pa.array([value.as_py() for value in values], target), unfit
