"""What payloads become in a file of text."""

import functools
import re
from binascii import b2a_base64
from collections.abc import Sequence
from typing import Final

_QUOTE: Final = b'"'
_MARK: Final = b"\xef\xbb\xbf"
"""A byte order mark, which is no part of the first cell."""


class TornRowError(Exception):
    """A payload would take what stands behind it in the file for a part of itself; ``at`` is its number, from 0."""

    def __init__(self, at: int) -> None:
        super().__init__(f"a row of CSV ends within a quoted cell, at frame {at + 1} of those that came last")
        self.at = at


def as_lines(payloads: Sequence[bytes], *, delimiter: str) -> bytes:
    """Write each payload, and a newline where it has none. Raises ``TornRowError`` for a row that is not whole.

    Without a ``delimiter`` it is not CSV, and no payload is looked into.
    """
    text = b"\n".join(payloads) + b"\n"
    if text.count(b"\n") != len(payloads):  # there is one at the end of a payload, or within
        text = b"\n".join([payload.removesuffix(b"\n") for payload in payloads]) + b"\n"
    if delimiter and _QUOTE in text:
        is_usual = _usual(delimiter).fullmatch
        for at, payload in enumerate(payloads):
            if _QUOTE in payload and not is_usual(payload) and is_torn(payload, delimiter=delimiter):
                raise TornRowError(at)
    return text


def as_texts(payloads: Sequence[bytes]) -> bytes:
    """Write each payload as base64, so that it is one line and one cell, whatever bytes it has."""
    return b"".join(map(b2a_base64, payloads))


@functools.cache
def _usual(delimiter: str) -> re.Pattern[bytes]:
    """Match one row whose cells are wholly within quotes or have none: most are, and none of these is torn."""
    mark = re.escape(delimiter.encode())
    cell = rb'(?:"(?:[^"]|"")*+"|[^"' + mark + rb"\n]*+)"
    return re.compile(cell + rb"(?:" + mark + cell + rb")*+\n?")


def is_torn(payload: bytes, *, delimiter: str) -> bool:
    """Tell whether text ends within a quoted cell, as muster reads it: a quote within other text opens none."""
    from muster._formats.lines import scan_quoted

    text = payload + b"\n"
    flow = scan_quoted(
        text, start=1, delimiter=delimiter, quote=_QUOTE.decode(), atom=len(text) + 1, assume_quoted=False
    )
    return bool(flow.plain and flow.plain.ends_quoted)


def split_header(payload: bytes, *, delimiter: str) -> tuple[bytes, bytes]:
    """Take the first record off a payload, and give what stands behind it; blank lines before it are left out."""
    from muster._formats.lines import quoted_records

    mark = len(_MARK) if payload.startswith(_MARK) else 0
    start, end = next(
        quoted_records(payload[mark:] + b"\n", delimiter=delimiter, quote=_QUOTE.decode()), (0, len(payload))
    )
    return payload[:mark] + payload[mark + start : mark + end], payload[mark + end :]
