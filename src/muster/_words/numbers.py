"""Numbers as a person would write them."""

import math
import time
from typing import Final

NOTHING: Final = "–"  # noqa: RUF001 (a dash, as typography has it)
_MINUTE: Final = 60
_HOUR: Final = 3600
_DAY: Final = 86400
_FEW: Final = 10
"""From here on a number is shown without a decimal, or with one where it is a rate."""

_MANY: Final = 100
"""From here on a rate is shown without a decimal."""

_THOUSAND: Final = 1000


def count(number: float | None) -> str:
    """Write a count: ``1,234,567``."""
    return NOTHING if number is None else f"{number:,.0f}"


def short(number: float) -> str:
    """Write a count where there is little room: ``1.2M``."""
    for unit in ("", "k", "M", "G", "T"):
        if number < _THOUSAND or unit == "T":
            return f"{number:.3g}{unit}" if number < _THOUSAND else f"{number:,.0f}{unit}"
        number /= _THOUSAND
    raise AssertionError


def pace(number: float | None) -> str:
    """Write how many a second: ``1,234``, ``4.2``, ``0.03``."""
    if number is None:
        return NOTHING
    return f"{number:,.0f}" if number >= _FEW or not number else f"{number:.2g}"


def size(number: float | None) -> str:
    """Write bytes: ``1.2 GB``."""
    if number is None:
        return NOTHING
    for unit in ("B", "kB", "MB", "GB"):
        if number < _THOUSAND:
            return f"{number:.0f} {unit}" if number >= _FEW or unit == "B" else f"{number:.1f} {unit}"
        number /= _THOUSAND
    return f"{number:,.1f} TB"


def duration(seconds: float | None) -> str:
    """Write seconds: ``0.4 s``, ``50 s``, ``3m20s``, ``1h05m``, ``2d03h``."""
    if seconds is None:
        return NOTHING
    whole = int(seconds)
    if seconds < _MINUTE:
        return f"{seconds:.1f} s" if seconds < _FEW else f"{seconds:.0f} s"
    if seconds < _HOUR:
        return f"{whole // _MINUTE}m{whole % _MINUTE:02d}s"
    if seconds < _DAY:
        return f"{whole // _HOUR}h{whole % _HOUR // _MINUTE:02d}m"
    return f"{whole // _DAY}d{whole % _DAY // _HOUR:02d}h"


def latency(seconds: float | None) -> str:
    """Write a short time to three digits: ``12.3 µs``, ``4.56 ms``, ``78.9 s``."""
    if seconds is None:
        return NOTHING
    for unit, factor in (("µs", 1e6), ("ms", 1e3)):
        if seconds * factor < _THOUSAND:
            return f"{_three(seconds * factor)} {unit}"
    return f"{_three(seconds)} s" if seconds < _THOUSAND else duration(seconds)


def between(low: float, high: float) -> str:
    """Write a range of seconds in one unit: as in ``4 to 6 min``, with a dash."""
    for unit, length, enough in (("s", 1, 100), ("min", _MINUTE, 100), ("h", _HOUR, 48), ("days", _DAY, math.inf)):
        if high / length < enough:
            return _range(low / length, high / length, unit)
    raise AssertionError


def share(number: float | None) -> str:
    """Write a share of 1: ``43%``."""
    if number is None:
        return NOTHING
    return f"{number:.1%}" if 0 < number < 0.0995 else f"{number:.0%}"  # noqa: PLR2004 (from 10% on whole ones do)


def dollars(number: float | None) -> str:
    """Write money: ``$0.42``."""
    return NOTHING if number is None else f"${number:,.2f}"


def clock(at: float) -> str:
    """Write the time of day, here."""
    return time.strftime("%H:%M:%S", time.localtime(at))


def moment(at: float) -> str:
    """Write day and time, here."""
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(at))


def timestamp(at: float) -> str:
    """Write day and time of data, in UTC, or in whatever zone its clock was: ``2026-01-01 11:10:00``."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(at))


def day(at: float) -> str:
    """Write day and time, here, where there is little room."""
    return time.strftime("%b %d, %H:%M", time.localtime(at))


def plural(number: int, noun: str, several: str = "") -> str:
    """Write how many there are of something: ``1 row``, ``2 rows``; ``several`` is a plural not made by an s."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {several or noun + 's'}"


def _three(number: float) -> str:
    return f"{number:.0f}" if number >= _MANY else f"{number:.1f}" if number >= _FEW else f"{number:.2f}"


def _range(low: float, high: float, unit: str) -> str:
    if high >= _FEW:
        first, second = f"{low:.0f}", f"{high:.0f}"
    else:
        first, second = f"{low:.1f}".removesuffix(".0"), f"{high:.1f}".removesuffix(".0")
    return f"{second} {unit}" if first == second else f"{first}–{second} {unit}"  # noqa: RUF001 (a range is written so)


def worker_count(workers: int) -> str:
    """Write how many workers there are; with none, muster's own process does the work."""
    return plural(workers, "worker") if workers else "muster's own process"


def left(seconds: tuple[float, float] | None) -> str:
    """Write how long something will take, at the least and at the most: ``4m10s to 6m00s``."""
    if seconds is None:
        return "?"
    low, high = map(duration, seconds)
    return low if low == high else f"{low} to {high}"
