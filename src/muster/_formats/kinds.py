"""What kinds of value a text column holds, and the type that pandas would give the whole column.

``pandas.read_csv`` settles a column by looking at all of it. Kinds let many workers look at a stretch each: kinds are
sets, sets add up, and :func:`settle` turns the sum into the type that one look at the whole would have found.
"""

import functools
from collections.abc import Iterable
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ._quotes import in_memory
from .dates import DATES, arrow_type_of_dates, settled_dates
from .frames import reads_big_integers, reads_infinity_of_digits
from .rules import Rules

_LONGEST_INTEGER: Final = 4300
"""Python, and so pandas, reads no integer with more characters than this; such a cell is text."""


class _ArrowTypes(dict[str, pa.DataType]):
    """Types by name. Those of dates are made when they are asked for, as there is one for each time zone."""

    def __missing__(self, name: str) -> pa.DataType:
        if name.startswith("datetime"):
            return arrow_type_of_dates(name)
        raise KeyError(name)


ARROW_TYPES: Final = _ArrowTypes(
    {
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
        "date": pa.date32(),
    }
)
"""The Arrow type that each settled or fixed type is read as.

``bool?`` is boolean with missing values, ``bigint`` integers beyond 64 bits (kept as text until the frame is made),
``folder`` what a folder's name says,
``verbatim`` numbers that fit no type together and stay text, the missing cells as they stand, ``object`` JSON values of
several kinds (kept as JSON).
"""

_DIGITS: Final = b"0123456789"
_LONGEST_PLAIN: Final = 300
"""A float holds every number of so many characters that has no exponent."""

_NUMBERS: Final = frozenset({"integer", "negative", "unsigned", "big", "decimal"})
_DEFAULT: Final = Rules()


def settled_type(kinds: Iterable[str]) -> str:
    """Name the type of a column that holds these kinds of value, as ``pandas.read_csv`` would."""
    return _settled(frozenset(kinds))


@functools.lru_cache(maxsize=1024)
def _settled(kinds: frozenset[str]) -> str:
    """Find it once for all columns of these kinds, as it is asked for each column of each task, several times."""
    return settled_dates(kinds) if DATES in kinds else _settle(_decided(kinds))


def _settle(kinds: frozenset[str]) -> str:
    if kinds & {"string", "truth", "nested"}:
        return _settle_json(kinds - {"missing"}, missing="missing" in kinds)
    numbers = kinds & _NUMBERS
    if "text" in kinds or ("boolean" in kinds and numbers):
        return "str"
    if "boolean" in kinds:
        return "bool?" if "missing" in kinds else "bool"
    if "big" in kinds:  # read by Python's int, which knows no marks between thousands
        return _settle_big(kinds)
    if "unsigned" in kinds and "decimal" not in kinds:
        return "verbatim" if kinds & {"negative", "missing"} else "uint64"
    return "int64" if numbers and not kinds & {"decimal", "missing"} else "float64"


def _settle_big(kinds: frozenset[str]) -> str:
    if "grouped" in kinds or not reads_big_integers():
        return "str"
    return "verbatim" if "decimal" in kinds else "bigint"


def _settle_json(kinds: frozenset[str], *, missing: bool) -> str:
    """Settle a column of JSON values, which say themselves what they are: several kinds stay Python objects."""
    if kinds == {"string"}:
        return "str"
    if kinds == {"truth"}:
        return "bool?" if missing else "bool"
    return "object"


def _decided(kinds: frozenset[str]) -> frozenset[str]:
    """Resolve kinds such as ``integer?``, which the user also calls true or false, by what else the column holds."""
    either = {kind for kind in kinds if kind.endswith("?")}
    others = kinds - either
    if either and "boolean" in others and not others & _NUMBERS:
        return others
    return others | {kind.removesuffix("?") for kind in either}


def observed_kinds(cells: pa.Array, rules: Rules = _DEFAULT) -> frozenset[str]:
    """Name the kinds of value among these cells (an Arrow string array whose missing cells are null)."""
    missing = frozenset({"missing"}) if cells.null_count else frozenset[str]()
    cells = cells.drop_null()
    either = frozenset[str]()
    if (kinds := _kinds_of_plain_numbers(cells, rules)) is not None:
        return missing | kinds
    cells = cells.unique()
    if rules.has_own_booleans:
        is_either = pc.is_in(cells, value_set=rules.booleans)
        kinds = _kinds_of(cells.filter(is_either), rules)
        either = frozenset(f"{kind}?" if kind in _NUMBERS else "boolean" for kind in kinds)
        cells = cells.filter(pc.invert(is_either))
    return missing | either | _kinds_of(cells, rules)


def _kinds_of_plain_numbers(cells: pa.Array, rules: Rules) -> frozenset[str] | None:
    """Name the kinds of numbers of digits, points and signs alone, which no regular expression need see.

    ``None`` where a cell is something else, or longer than numbers are.
    """
    text, borders = in_memory(cells.cast(pa.large_string()))
    others = text.tobytes().translate(None, _DIGITS)
    if others.strip(b"-.") or not len(cells) or rules.decimal != "." or rules.thousands or rules.has_own_booleans:
        return None
    lengths = np.diff(borders)
    if not 0 < lengths.min() <= lengths.max() <= _LONGEST_PLAIN:
        return None
    try:
        cells.cast(pa.float64())
    except pa.ArrowInvalid:
        return None
    if b"." not in others:
        return _integer_kinds(cells)
    has_point = pc.match_substring(cells, ".")
    return frozenset({"decimal"}) | _integer_kinds(cells.filter(pc.invert(has_point)))


def _kinds_of(cells: pa.Array, rules: Rules) -> frozenset[str]:
    is_integer = pc.match_substring_regex(cells, rules.integer)
    integers, others = cells.filter(is_integer), cells.filter(pc.invert(is_integer))
    return _integer_kinds(bare_numbers(integers, rules)) | _grouped(integers, rules) | _other_kinds(others, rules)


def _grouped(integers: pa.Array, rules: Rules) -> frozenset[str]:
    has_groups = rules.thousands and pc.any(pc.match_substring(integers, rules.thousands)).as_py()
    return frozenset({"grouped"} if has_groups else ())


def _other_kinds(cells: pa.Array, rules: Rules) -> frozenset[str]:
    if not len(cells):
        return frozenset()
    is_boolean = pc.is_in(cells, value_set=rules.booleans)
    is_decimal = pc.match_substring_regex(cells, rules.decimal_number)
    is_text = pc.invert(pc.or_(is_boolean, is_decimal))
    if not reads_infinity_of_digits():
        is_text = pc.or_(is_text, _is_too_large(cells, is_decimal, rules))
    masks = {"boolean": is_boolean, "decimal": is_decimal, "text": is_text}
    return frozenset(kind for kind, mask in masks.items() if pc.any(mask).as_py())


def _is_too_large(cells: pa.Array, is_decimal: pa.Array, rules: Rules) -> pa.Array:
    """Mark the numbers that have digits and are beyond what a float can hold."""
    has_digits = pc.and_(is_decimal, pc.match_substring_regex(cells, "[0-9]"))
    numbers = bare_numbers(pc.if_else(has_digits, cells, pa.scalar(None, cells.type)), rules).cast(pa.float64())
    return pc.fill_null(pc.is_inf(numbers), fill_value=False)


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


def bare_numbers(cells: pa.Array, rules: Rules = _DEFAULT) -> pa.Array:
    """Write numbers as Arrow reads them: with a decimal point, without blanks, plus signs or marks of thousands."""
    cells = pc.replace_substring_regex(pc.ascii_trim_whitespace(cells), r"^\+", "")
    if rules.thousands:
        cells = pc.replace_substring(cells, rules.thousands, "")
    return cells if rules.decimal == "." else pc.replace_substring(cells, rules.decimal, ".")


def typed_cells(cells: pa.Array, type_name: str, rules: Rules = _DEFAULT) -> tuple[pa.Array, np.ndarray]:
    """Give cells (Arrow strings, missing ones null) a type; also a mask of the rows that did not fit.

    A missing cell does not fit an integer or a plain boolean, as with pandas' own ``dtype=int``.
    """
    typed, unfit = _convert(cells, type_name, rules)
    if type_name == "bool" or type_name.startswith(("int", "uint")):
        unfit = unfit | cells.is_null().to_numpy(zero_copy_only=False)
    return typed, unfit


def _convert(cells: pa.Array, type_name: str, rules: Rules) -> tuple[pa.Array, np.ndarray]:
    target = ARROW_TYPES[type_name]
    if type_name in {"str", "verbatim"}:
        return cells, np.zeros(len(cells), bool)
    if type_name.startswith("bool"):
        is_boolean = pc.is_in(cells, value_set=rules.booleans)
        return _keep(pc.is_in(cells, value_set=pa.array(rules.true)), cells, is_boolean)
    if type_name == "bigint":
        return _keep(cells, cells, pc.match_substring_regex(cells, rules.integer))
    if not (pa.types.is_integer(target) or pa.types.is_floating(target)):
        return _one_by_one(cells, target)
    pattern = rules.integer if pa.types.is_integer(target) else rules.integer + "|" + rules.decimal_number
    cells, unfit = _keep(bare_numbers(cells, rules), cells, pc.match_substring_regex(cells, pattern))
    typed, overflowing = _one_by_one(cells, target)
    return without_missing_numbers(typed, rules), unfit | overflowing


def without_missing_numbers(cells: pa.Array, rules: Rules) -> pa.Array:
    """Make null the numbers that the user has said stand for a missing value."""
    if not (rules.missing_numbers and pa.types.is_floating(cells.type)):
        return cells
    numbers = pa.array(sorted(rules.missing_numbers), pa.float64()).cast(cells.type)
    return pc.if_else(pc.is_in(cells, value_set=numbers), pa.scalar(None, cells.type), cells)


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
