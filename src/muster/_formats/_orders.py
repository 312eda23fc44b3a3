"""The columns of several text files: each file's own, and those that some files lack."""

from collections.abc import Sequence

from muster._model import Source
from muster.errors import DataError


def orders_of(
    sources: Sequence[Source], headers: Sequence[tuple[tuple[str, ...], int] | None]
) -> tuple[tuple[str, ...], ...]:
    """List every file's own columns; a file without rows takes the first's.

    Files may lack columns of others. Raises ``DataError`` where one has none in common with the first: then it is
    another table, or a file without its header.
    """
    named = [(source.name, header[0]) for source, header in zip(sources, headers, strict=True) if header]
    first = named[0] if named else ("", ())
    for path, names in named:
        if not set(names) & set(first[1]):
            raise DataError(
                f"{path!r} has no column in common with {first[0]!r}: it has {list(names)} instead of {list(first[1])}."
                " Is its header missing? All inputs of a run are one table. Run them apart, or mend the header."
            )
    return tuple(header[0] if header else first[1] for header in headers)


def lacking(sources: Sequence[Source], orders: Sequence[tuple[str, ...]]) -> dict[str, list[str]]:
    """Name, for each column that not every file has, the files that lack it."""
    without: dict[str, list[str]] = {name: [] for order in orders for name in order}
    for source, order in zip(sources, orders, strict=True):
        for name in without.keys() - set(order):
            without[name].append(source.name)
    return {name: files for name, files in without.items() if files}


def absence(column: str, files: Sequence[str]) -> str:
    """Say which files lack a column."""
    others = {1: " lacks", 2: " and another file lack"}.get(len(files), f" and {len(files) - 1:,} other files lack")
    return f"{files[0]!r}{others} column {column!r}: it is missing there"
