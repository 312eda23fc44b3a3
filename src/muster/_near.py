"""What somebody probably meant who typed a name that there is not."""

from collections.abc import Iterable
from typing import Final

_NEAR: Final = 0.6
"""How much alike two names are that may be meant for each other: difflib's ratio, 1 for the same."""


def nearest(name: str, names: Iterable[str]) -> str:
    """Find the name that was meant: the same but for case and blanks, or one that is spelled much like it."""
    import difflib

    plain = {one.strip().casefold(): one for one in reversed(list(names))}
    close = difflib.get_close_matches(name.strip().casefold(), plain, n=1, cutoff=_NEAR)
    return plain[close[0]] if close else ""


def with_guess(name: object, names: Iterable[object], *, shown: str = "") -> str:
    """Write a name, and the one that was probably meant: ``worker (did you mean workers?)``."""
    meant = nearest(name, map(str, names)) if isinstance(name, str) else ""
    return f"{shown or name} (did you mean {meant}?)" if meant else shown or str(name)
