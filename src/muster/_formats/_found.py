"""A file that an input names, before it is known whether it is read."""

from collections.abc import Callable
from typing import NamedTuple


class Look(NamedTuple):
    """What a store or this computer says of a file that is not read."""

    size: int
    stamp: str
    in_ranges: bool = True
    """Any range of it can be read, and its size is known."""


class FoundFile(NamedTuple):
    """A file: its path, and its name relative to the folder or the pattern that it was found by."""

    path: str
    inside: str
    look: Callable[[], Look]
    """Raises ``UsageError`` for what cannot be read."""
    is_of_folder: bool = False
