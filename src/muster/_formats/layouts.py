"""What Parquet files say, each by itself and all together: it is told to muster's own process, which has no Arrow."""

from typing import NamedTuple

from muster._model import Column


class FileLayout(NamedTuple):
    """What a file says: its template, and the rows of each row group."""

    template: bytes
    gaps: frozenset[str]
    """The integer and boolean columns that have a missing value, which makes pandas widen their type."""
    hollow: frozenset[str]
    """The columns that hold nothing but missing values: their type means nothing beside another."""
    groups: tuple[int, ...]
    names: tuple[str, ...] = ()
    """All columns that the file has, also those that are not used."""
    bytes_of_groups: tuple[int, ...] = ()
    """How much memory each row group takes at the least, by what the footer says of its encoded columns."""


class Agreed(NamedTuple):
    """What all files together are read as, and what to tell the user of how they differ."""

    columns: tuple[Column, ...]
    template: bytes
    notes: tuple[str, ...]
