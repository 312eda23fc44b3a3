"""Guess which name was meant by one that does not exist."""

from collections.abc import Iterable
from typing import Final

from .quoted import as_name

_NEAR: Final = 0.6
"""How alike two names must be for a guess: difflib's ratio, which is 1 for equal ones."""


def nearest(name: str, names: Iterable[str]) -> str:
    """Find the name that is the same but for case and blanks, or else the most similar one; empty if there is none."""
    import difflib

    plain = {candidate.strip().casefold(): candidate for candidate in reversed(list(names))}
    close = difflib.get_close_matches(name.strip().casefold(), plain, n=1, cutoff=_NEAR)
    return plain[close[0]] if close else ""


def with_guess(name: object, names: Iterable[object], *, shown: str = "") -> str:
    """Write a name, and the one that was probably meant: ``worker (did you mean workers?)``."""
    meant = nearest(name, map(str, names)) if isinstance(name, str) else ""
    said = shown or as_name(name)
    return f"{said} (did you mean {as_name(meant)}?)" if meant else said
