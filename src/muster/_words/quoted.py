"""Text of others, as a sentence of ours can hold it."""

import re
import zlib
from typing import Final

_LIKE_OURS: Final = re.compile(r"(?<![\w-])-(?:-|o\b)|['\"\n]|\b(?:[Tt]ype|[Mm]ake) ")

_MOST_IN_FILES: Final = 150
"""Bytes: the name of a file has 255 at the most, and more is put before and behind."""


def as_name(text: object) -> str:
    """Write a name without quotes, but in quotes where it could be read as a flag, or as words of a message."""
    return repr(str(text)) if _LIKE_OURS.search(str(text)) else str(text)


def bare(said: object) -> str:
    """Write what another program says without the full stop at its end, so that a sentence of ours can go on."""
    return (text_of(said) if isinstance(said, BaseException) else str(said)).rstrip(". \n")


def printable(text: str) -> str:
    """Replace control characters, which could change what a terminal shows: the text may come from anywhere."""
    return "".join(letter if letter.isprintable() or letter in "\n\t" else "?" for letter in text)


def text_of(error: BaseException) -> str:
    """Write what an error says, for a sentence of ours; where it says nothing, its class and where it was raised."""
    if text := str(error).strip():
        return text
    name, at = type(error).__name__, error.__traceback__
    if at is None:
        return name
    while at.tb_next:
        at = at.tb_next
    frame = at.tb_frame
    return f"{name} (in {frame.f_globals.get('__name__', '?')}.{frame.f_code.co_qualname}, line {at.tb_lineno})"


def named(error: BaseException) -> str:
    """Write an error's class, and what it says, or where it was raised."""
    return f"{type(error).__name__}: {error}" if str(error).strip() else text_of(error)


def in_files(name: str) -> str:
    """Write a name so that it can be that of a file; empty where nothing is left of it."""
    plain = re.sub(r"[^\w.-]+", "-", name).strip("-.")
    short = plain.encode()[:_MOST_IN_FILES].decode(errors="ignore")
    return plain if short == plain else f"{short}-{zlib.crc32(name.encode()):08x}"
