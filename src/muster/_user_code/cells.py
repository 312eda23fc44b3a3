"""The text of what was typed in a session, for tracebacks in workers, which find no file with it."""

import os
import sys
from collections.abc import Iterable
from typing import Final

_MOST_LETTERS: Final = 1 << 20
"""So much of it goes along, the newest first: more than anybody types in a day."""


def sources() -> tuple[tuple[str, str], ...]:
    """List what ``linecache`` knows and no file holds, as IPython has it know its cells."""
    cache = getattr(sys.modules.get("linecache"), "cache", {})
    found: list[tuple[str, str]] = []
    room = _MOST_LETTERS
    for name, entry in reversed(list(cache.items())):
        if len(entry) != 4 or entry[1] is not None or os.path.exists(name):  # noqa: PLR2004, PTH110 (an entry of lines; light)
            continue
        text = "".join(entry[2])
        room -= len(text)
        if room < 0:
            break
        found.append((name, text))
    return tuple(found)


def know(texts: Iterable[tuple[str, str]]) -> None:
    """Have ``linecache`` know them here, too."""
    import linecache  # noqa: PLC0415 (muster's own process needs none)

    for name, text in texts:
        linecache.cache[name] = len(text), None, text.splitlines(keepends=True), name
