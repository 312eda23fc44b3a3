"""Which files of a folder are input, and what the names of folders say of their rows."""

import functools
import os
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Final
from urllib.parse import unquote

from muster._words import as_name

Keys = tuple[tuple[str, str | None], ...]
"""Columns that the names of folders give, as ``code=01001`` does, with the one value that all rows below have."""

_MISSING: Final = "__HIVE_DEFAULT_PARTITION__"
_SHOWN: Final = 3
"""How many names a message has room for."""


def walk(folder: Path) -> Iterator[str]:
    """Yield the files in and below a folder, by their names within it. Links are followed, but never in a circle."""
    yield from _below(folder, "", frozenset())


def _below(folder: Path, name: str, above: frozenset[Path]) -> Iterator[str]:
    place = folder.resolve()
    if place in above:
        return
    for entry in _listed(folder):
        inside = f"{name}{entry.name}"
        found = Path(entry) if entry.is_symlink() else entry  # pathlib takes a link to itself for nothing
        if found.is_dir():
            yield from _below(Path(entry), f"{inside}/", above | {place})
        elif found.is_file():
            yield inside


def _listed(folder: Path) -> "list[os.DirEntry[str]]":
    """List a folder, with what each name is: to ask for that takes as long as all else; one that has gone is empty."""
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except FileNotFoundError:
        return []


def is_input(name: str) -> bool:
    """Tell whether a file is input; ``name`` is relative to the folder that is read.

    Left out is what begins with a dot or an underscore (``_SUCCESS``, ``_manifest.json``), unless it is a folder that
    names a column (``_day=1``); and what muster itself keeps beside an output.
    """
    *folders, last = _parts(name)
    return not (
        last.startswith((".", "_"))
        or last.endswith((".crc", ".rejects.jsonl"))
        or any(_is_hidden(folder) or folder.endswith(".muster") for folder in folders)
    )


def _parts(name: str) -> list[str]:
    """Cut a name into those that it is made of, as ``pathlib`` does, which takes several times as long."""
    return [part for part in name.split("/") if part not in {"", "."}]


def _is_hidden(folder: str) -> bool:
    return folder.startswith(".") or (folder.startswith("_") and "=" not in folder)


def keys_of(name: str) -> Keys:
    """Read the columns out of the folders in a name; the values stay text, whatever they look like."""
    pairs = [part.partition("=") for part in _parts(name)[:-1]]
    keys = {unquote(key): None if value == _MISSING else unquote(value) for key, sign, value in pairs if key and sign}
    return tuple(keys.items())


def below_pattern(path: str, pattern: str) -> str:
    """Name a path relative to the fixed folder at the start of the pattern that matched it."""
    return str(PurePosixPath(*PurePosixPath(path).parts[_fixed_parts(pattern) :]))


@functools.lru_cache(maxsize=1)  # of one pattern there are many files
def _fixed_parts(pattern: str) -> int:
    parts = PurePosixPath(pattern).parts
    return next((at for at, part in enumerate(parts) if any(sign in part for sign in "*?[")), len(parts))


def left_out(folder: str, names: Iterable[str]) -> str:
    """Say which files of a folder are not read; nothing where there are none."""
    names = sorted(names)
    more = f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else ""
    return f"left out of {folder!r}: {', '.join(map(as_name, names[:_SHOWN]))}{more}" if names else ""
