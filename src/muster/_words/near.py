"""Guess which name was meant by one that does not exist."""

import os
from collections.abc import Iterable
from typing import Final

from .quoted import as_name

_NEAR: Final = 0.6
"""How alike two names must be for a guess: difflib's ratio, which is 1 for equal ones."""


def nearest(name: str, names: Iterable[str]) -> str:
    """Find the name that is the same but for case and blanks, or else the most similar one; empty if there is none.

    A suffix that both have, such as ``.csv``, makes no two names alike.
    """
    import difflib

    wanted, best, found = name.strip().casefold(), 0.0, ""
    matcher = difflib.SequenceMatcher()
    for candidate in names:
        plain = candidate.strip().casefold()
        if plain == wanted:
            return candidate
        shared = len(_shared_suffix(wanted, plain))
        matcher.set_seqs(plain[: len(plain) - shared], wanted[: len(wanted) - shared])
        if matcher.real_quick_ratio() < _NEAR or matcher.quick_ratio() < _NEAR:  # which are above the true one
            continue
        score = matcher.ratio()
        if score >= _NEAR and score > best:
            best, found = score, candidate
    return found


def _shared_suffix(one: str, other: str) -> str:
    shared = os.path.commonprefix((one[::-1], other[::-1]))[::-1]  # noqa: RUF071 (letters are what is meant)
    _, dot, suffix = shared.partition(".")
    return dot + suffix


def with_guess(name: object, names: Iterable[object], *, shown: str = "") -> str:
    """Write a name, and the one that was probably meant: ``worker (did you mean workers?)``."""
    meant = nearest(name, map(str, names)) if isinstance(name, str) else ""
    said = shown or as_name(name)
    return f"{said} (did you mean {as_name(meant)}?)" if meant else said
