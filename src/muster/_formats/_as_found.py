"""Whether what a store sends is of the file that muster found.

Every answer is compared, not the last one alone: a file may be replaced and put back between two looks at it, and
mirrors, or the caches of a network, may give two versions at a time.
"""

import re
from collections.abc import Mapping
from typing import Final

from muster._model import WRITTEN, Stored
from muster._private.secrets import shown
from muster._urls.urls import stamp_of
from muster.errors import DataError

_DIGEST: Final = re.compile(r'"[0-9a-fA-F]{32,}(-\d+)?"')
"""An ETag as S3 and its like make it: a digest of the content."""


def stamp_of_answer(headers: Mapping[str, str]) -> str:
    """Name the version that an answer is of: its ETag, and with most servers when it was written.

    A server may keep an ETag when the content changes, and a weak one does not promise equal bytes. Where it is a
    digest the time is left out, as mirrors of one bucket have different times.
    """
    tag, written = _header(headers, "ETag"), _header(headers, "Last-Modified")
    if not tag or not written or _DIGEST.fullmatch(tag):
        return stamp_of(headers)
    return f"{tag}{WRITTEN}{written}"


def check_version(url: str, headers: Mapping[str, str]) -> None:
    """Raise ``DataError`` where an answer is of another version of a file than muster found."""
    if not isinstance(url, Stored) or not url.stamp:
        return
    tag, _, written = url.stamp.partition(WRITTEN)
    is_tag = bool(written) or re.match(r'(W/)?"', tag) is not None
    there = _header(headers, "ETag") if is_tag else stamp_of(headers)
    then = _header(headers, "Last-Modified") if written else ""
    if (there and there.removeprefix("W/") != tag.removeprefix("W/")) or (then and then != written):
        raise DataError(
            f"{shown(url)!r} has changed since muster found it, or its mirrors differ: it was version {url.stamp}, and"
            f" an answer is of {stamp_of_answer(headers)}. There is no output. Type the command again, with --fresh,"
            " when nobody writes to it."
        )


def whole_range(url: str, data: bytes, start: int, stop: int) -> bytes:
    """Return the bytes of a range. Raises ``DataError`` where they are fewer than the size of the file says."""
    if isinstance(url, Stored) and url.size is not None:
        expected = max(min(stop, url.size) - start, 0)
        if len(data) != expected:
            raise short(url, len(data), expected)
    return data


def short(url: str, received: int, expected: int) -> DataError:
    """Make the error for a server that sends another number of bytes than it has said."""
    return DataError(
        f"{shown(url)!r}: the server sends {received:,} bytes where it has said {expected:,}. Did the file change while"
        " muster read it? Run again with --fresh."
    )


def _header(headers: Mapping[str, str], name: str) -> str:
    return next((str(value) for key, value in headers.items() if key.lower() == name.lower()), "")
