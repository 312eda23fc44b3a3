"""Where a file is not in its encoding: which byte is wrong, and which encodings would make sense of it."""

import codecs
import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from muster._dialects import Dialect

from .newlines import each_line as lines_of
from .records import records

_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_OF_ONE_BYTE: Final = ("cp1252", "latin-1")
_OF_SEVERAL: Final = ("utf-8", "shift_jis", "gbk")
_AROUND: Final = 24
"""Bytes before and behind a wrong one that are shown as other encodings read them."""

_HALF_WIDTH: Final = re.compile("[\uff61-\uff9f]")
"""What Shift JIS makes of most bytes of other encodings, and nobody writes any more."""

_MOSTLY: Final = 0.5
"""The share of a line's bytes beyond ASCII from which it is of a language that is not written in Latin letters."""
_ASCII: Final = 0x80
"""The first byte that is not ASCII."""

COUNTED: Final = 16 << 20
"""Bytes of a file whose lines are counted to name one: some hundredths of a second."""


class Garbled(str):
    """The reason of a row whose bytes are not in the encoding; ``placed`` adds which byte it is."""

    __slots__ = ()


class Spot(NamedTuple):
    """Where a wrong byte is: in the file, from 0, and in which of its lines, from 1, where that is known."""

    offset: int
    line: int | None = None

    def __str__(self) -> str:
        """Write it as errors show it."""
        return f"byte {self.offset:,}" + (f", line {self.line:,}" if self.line else "")


def explained(data: bytes, at: int, *, encoding: str, spot: Spot, begins: bytes = b"") -> str:
    """Say that the byte ``at`` is not in the encoding, and what to type; ``begins`` is how the file begins."""
    what = f"{spot}: 0x{data[at]:02x} is not {encoding} there"
    return f"{what}. {_advice(data, at, encoding=encoding, begins=begins)}"


def _advice(data: bytes, at: int, *, encoding: str, begins: bytes) -> str:
    marked = next((name for mark, name in _MARKS if begins.startswith(mark)), "")
    if marked and codecs.lookup(marked) != codecs.lookup(encoding):
        return f"The file begins with the mark of {marked}: type --encoding {marked}"
    readings = list(_readings(data, at, encoding))
    if not readings:
        return "Say which it is with --encoding; or put a sign in the place of such bytes: --encoding-errors replace"
    (first, text), *others = readings
    more = f" (or as {', '.join(f'{name} {text!r}' for name, text in others)})" if others else ""
    return f"As {first} it reads {text!r}{more}: type --encoding {first}"


def _readings(data: bytes, at: int, encoding: str) -> Iterator[tuple[str, str]]:
    """Yield encodings that these bytes may be in, the likeliest first, with what is around the wrong one."""
    line = data[data.rfind(b"\n", 0, at) + 1 :].partition(b"\n")[0].rstrip(b"\r")
    at -= data.rfind(b"\n", 0, at) + 1
    high = sum(byte >= _ASCII for byte in line)
    is_mostly = high > _MOSTLY * len(line.replace(b" ", b""))
    names = (*_OF_SEVERAL, *_OF_ONE_BYTE) if is_mostly else (_OF_SEVERAL[0], *_OF_ONE_BYTE, *_OF_SEVERAL[1:])
    texts: dict[str, str] = {}
    for name in names:
        text = _decoded(line, name)
        if codecs.lookup(name) != codecs.lookup(encoding) and text is not None:
            texts.setdefault(text, name)
    for text, name in sorted(texts.items(), key=lambda pair: bool(_HALF_WIDTH.search(pair[0]))):
        middle = len(line[:at].decode(name, "replace"))
        yield name, text[max(middle - _AROUND, 0) : middle + _AROUND]


def _decoded(line: bytes, name: str) -> str | None:
    try:
        text = line.decode(name)
    except UnicodeDecodeError:
        return None
    return text if text.replace("\t", "").isprintable() else None


def first_wrong(data: bytes, encoding: str) -> int | None:
    """Find the first byte that is not in an encoding; ``None`` where all are."""
    try:
        data.decode(encoding)
    except UnicodeDecodeError as error:
        return error.start
    return None


def placed(  # noqa: PLR0913 (each is given by its name)
    bad: dict[int, str], data: bytes, dialect: Dialect, *, name: str, row: int, start: int, lines: int | None
) -> dict[int, str]:
    """Say of rows that are not in the encoding which byte is wrong.

    ``data`` begins at ``start`` in the file that is called ``name``, with the row ``row``, behind so many ``lines``.
    """
    garbled = {number - row for number, why in bad.items() if isinstance(why, Garbled)}
    reasons = dict(bad)
    each = records(data, dialect) if dialect.delimiter else lines_of(data)  # JSON lines have no cells
    for at, (begin, end) in enumerate(each if garbled else ()):
        if at in garbled and (wrong := first_wrong(data[begin:end], dialect.encoding)) is not None:
            offset = start + begin + wrong  # which decides alone, wherever the rows are cut into tasks
            is_named = lines is not None and offset <= COUNTED
            line = (lines or 0) + data.count(b"\n", 0, begin + wrong) + 1 if is_named else None
            spot = Spot(offset, line)
            text = explained(data[begin:end], wrong, encoding=dialect.encoding, spot=spot)
            reasons[row + at] = f"{bad[row + at]}: {name!r}, {text}"
    return reasons
