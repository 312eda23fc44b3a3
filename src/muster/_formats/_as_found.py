"""Whether what a store gives is of the file that was found: each answer is compared, not the last one alone.

Between two looks at a file another may have been there; and mirrors, or the edges of a network, may give two at a time.
"""

import re
from collections.abc import Mapping

from muster._model import Stored
from muster._unseen import shown
from muster._urls import stamp_of
from muster.errors import DataError


def check_version(url: str, told: Mapping[str, str]) -> None:
    """Raise ``DataError`` where an answer tells another version of a file than the one that was found."""
    if not isinstance(url, Stored) or not url.stamp:
        return
    is_tag = re.match(r'(W/)?"', url.stamp) is not None
    there = _of_tags(told) if is_tag else stamp_of(told)
    if there and there.removeprefix("W/") != url.stamp.removeprefix("W/"):
        raise DataError(
            f"{shown(url)!r} has changed since muster found it, or its mirrors differ: it was version {url.stamp}, and"
            f" an answer is of {there}. There is no output. Type the command again, with --fresh, when nobody writes to"
            " it."
        )


def whole_range(url: str, data: bytes, start: int, stop: int) -> bytes:
    """Return the bytes of a range. Raises ``DataError`` where some of those are missing that were found."""
    if isinstance(url, Stored) and url.size is not None:
        wanted = max(min(stop, url.size) - start, 0)
        if len(data) != wanted:
            raise short(url, len(data), wanted)
    return data


def short(url: str, found: int, expected: int) -> DataError:
    """Say that fewer bytes came, or others, than a store has told."""
    return DataError(
        f"{shown(url)!r}: the server sends {found:,} bytes where it has said {expected:,}. Did the file change while"
        " muster read it? Run again with --fresh."
    )


def _of_tags(told: Mapping[str, str]) -> str:
    return next((str(value) for name, value in told.items() if name.lower() == "etag"), "")
