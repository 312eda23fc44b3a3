"""Whether what a store gives is of the file that was found: each answer is compared, not the last one alone.

Between two looks at a file another may have been there; and mirrors, or the edges of a network, may give two at a time.
"""

import re
from collections.abc import Mapping
from typing import Final

from muster._model import WRITTEN, Stored
from muster._places.urls import stamp_of
from muster._private.secrets import shown
from muster.errors import DataError

_DIGEST: Final = re.compile(r'"[0-9a-fA-F]{32,}(-\d+)?"')
"""A tag that stores make of content, or anew for each object: S3 and its like."""


def stamp_of_answer(told: Mapping[str, str]) -> str:
    """Take what changes when a file of a web server does: its tag, with the time of writing.

    A server may keep a tag when the content changes, and a weak one promises no equal bytes. A digest needs no time:
    the mirrors of a bucket have times of their own.
    """
    tag, written = _header(told, "ETag"), _header(told, "Last-Modified")
    if not tag or not written or _DIGEST.fullmatch(tag):
        return stamp_of(told)
    return f"{tag}{WRITTEN}{written}"


def check_version(url: str, told: Mapping[str, str]) -> None:
    """Raise ``DataError`` where an answer tells another version of a file than the one that was found."""
    if not isinstance(url, Stored) or not url.stamp:
        return
    tag, _, written = url.stamp.partition(WRITTEN)
    is_tag = bool(written) or re.match(r'(W/)?"', tag) is not None
    there = _header(told, "ETag") if is_tag else stamp_of(told)
    then = _header(told, "Last-Modified") if written else ""
    if (there and there.removeprefix("W/") != tag.removeprefix("W/")) or (then and then != written):
        raise DataError(
            f"{shown(url)!r} has changed since muster found it, or its mirrors differ: it was version {url.stamp}, and"
            f" an answer is of {stamp_of_answer(told)}. There is no output. Type the command again, with --fresh, when"
            " nobody writes to it."
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


def _header(told: Mapping[str, str], name: str) -> str:
    return next((str(value) for key, value in told.items() if key.lower() == name.lower()), "")
