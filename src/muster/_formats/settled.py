"""What is settled for all results in blocks before they are read: their schema, and how groups are sorted."""

from typing import NamedTuple

from muster._model import Column, Grouping


class CommonSchema(NamedTuple):
    """What all results agree on: their columns, and Arrow's schema of them."""

    columns: tuple[Column, ...] = ()
    schema: bytes = b""
    seen: bytes = b""
    """What it was made of, so that later results can agree with these, too."""


class Ranking(NamedTuple):
    """How groups are sorted by their keys, and where it is written down."""

    path: str
    grouping: Grouping
    key: tuple[Column, ...]
    """The columns of the key."""
    is_numbered: bool
    """The columns are called by their numbers."""
