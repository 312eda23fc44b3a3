"""Tell bad rows that muster wrote from a file of the user's own that has their name."""

import re
from typing import Final

from muster.errors import UsageError

BEGINNING_BYTES: Final = 1 << 16
"""The name of the file, which stands first in a line, is within them, however long it is."""

_FIRST: Final = re.compile(rb'\{"file": "(?:[^"\\]|\\.)*", "row": \d+, "byte_offset": (?:\d+|null), "raw": "')


def are_rejects(beginning: bytes) -> bool:
    """Tell by how a file begins; an empty one is nobody's loss."""
    return not beginning or _FIRST.match(beginning) is not None


def check_rejects(path: str, beginning: bytes) -> None:
    """Raise ``UsageError`` for a file of the user's own where bad rows go."""
    if not are_rejects(beginning):
        raise UsageError(
            f"{path!r} holds what muster did not write, and bad rows go to a file of that name. Choose another output,"
            " or rename what is there."
        )
