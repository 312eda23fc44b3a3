"""Read single values that were typed, such as dates, numbers and members of an ``Enum``."""

import datetime as dt
import enum
import ipaddress
import json
import re
import typing
import uuid
from collections.abc import Callable, Mapping
from decimal import Decimal
from fractions import Fraction
from pathlib import Path, PurePath
from typing import Any, Final

_WORDS: Final = {"True": True, "False": False, "None": None}
"""Python's words for what JSON writes in small letters: as text, ``False`` would count as true."""

_TRUE: Final = frozenset({"true", "yes", "on", "1"})
_FALSE: Final = frozenset({"false", "no", "off", "0"})
_UNITS: Final = {"ms": 0.001, "s": 1, "min": 60, "m": 60, "h": 3600, "d": 86400, "": 1}
_PERIOD: Final = re.compile(r"([+-]?\d+(?:\.\d*)?) ?(ms|s|min|m|h|d|)")
_CLOCK: Final = re.compile(
    r"(?:(?P<days>\d+) ?d(?:ays?)? ?,? ?)?(?P<hours>\d+):(?P<minutes>\d\d)(?::(?P<seconds>[\d.]+))?"
)


def reader_of(kind: Any) -> Callable[[str], Any] | None:  # noqa: ANN401 (likewise)
    """Choose what reads a text as an object of a class."""
    if kind in _READERS:
        return _READERS[kind]
    if not isinstance(kind, type):
        return None
    if issubclass(kind, enum.Enum):
        return lambda text: _member(text, kind)
    if issubclass(kind, PurePath):
        return kind
    if callable(by_json := getattr(kind, "model_validate_json", None)):  # of pydantic
        return typing.cast("Callable[[str], Any]", by_json)
    is_known = kind.__module__.partition(".")[0] in {"numpy", "pandas"} and _OF_LIBRARIES.fullmatch(kind.__name__)
    return kind if is_known else None


def as_json_or_text(text: str) -> Any:  # noqa: ANN401 (what JSON can hold)
    try:
        return _WORDS[text] if text in _WORDS else from_json(text)
    except ValueError:
        return text


def from_json(text: str) -> Any:  # noqa: ANN401 (likewise)
    return json.loads(text, parse_constant=_no_constant)


def _no_constant(name: str) -> Any:  # noqa: ANN401 (it returns nothing)
    raise ValueError(f"{name} is no JSON")  # Python's json takes NaN and Infinity


def _member(text: str, kind: type[enum.Enum]) -> enum.Enum:
    """Find a member by its name, else by its value."""
    if text in kind.__members__:
        return kind[text]
    try:
        return kind(as_json_or_text(text))
    except ValueError:
        return next((member for member in kind if str(member.value) == text), None) or kind(text)


def _truth(text: str) -> bool:
    word = text.lower()
    if word not in _TRUE | _FALSE:
        raise ValueError(text)
    return word in _TRUE


def _period(text: str) -> dt.timedelta:
    """Read a time such as ``90s``, ``1.5h``, ``2 days 03:00:00``, or a number of seconds."""
    if plain := _PERIOD.fullmatch(text):
        return dt.timedelta(seconds=float(plain[1]) * _UNITS[plain[2]])
    clock = _CLOCK.fullmatch(text)
    if clock is None:
        raise ValueError(text)
    return dt.timedelta(**{unit: float(count) for unit, count in clock.groupdict().items() if count})


_READERS: Final[Mapping[Any, Callable[[str], Any]]] = {
    str: str,
    int: int,
    float: float,
    complex: complex,
    bool: _truth,
    bytes: str.encode,
    Decimal: Decimal,
    Fraction: Fraction,
    dt.date: dt.date.fromisoformat,
    dt.datetime: dt.datetime.fromisoformat,
    dt.time: dt.time.fromisoformat,
    dt.timedelta: _period,
    uuid.UUID: uuid.UUID,
    re.Pattern: re.compile,
    ipaddress.IPv4Address: ipaddress.IPv4Address,
    ipaddress.IPv6Address: ipaddress.IPv6Address,
}
_OF_LIBRARIES: Final = re.compile(r"u?int\d+|float\d+|str_|datetime64|Timestamp")
EXAMPLES: Final[Mapping[Any, str]] = {
    int: "3",
    float: "0.5",
    bool: "true",
    Decimal: "9.99",
    dt.date: "2026-11-26",
    dt.datetime: "2026-11-26T14:30",
    dt.time: "14:30",
    dt.timedelta: "90s",
    uuid.UUID: "123e4567-e89b-12d3-a456-426614174000",
    Path: "folder/file",
    str: "text",
}
