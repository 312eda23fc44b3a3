"""What the user says of columns: which of them are used, and what types they have."""

import re
import shlex
from collections.abc import Collection, Mapping, Sequence
from typing import Final

from muster._words import as_name
from muster._words.near import nearest, with_guess
from muster.errors import UsageError

from ._left_out import instead_of

_ALIASES: Final = {"int": "int64", "float": "float64", "object": "str", "datetime64": "datetime"}
_PAIRS: Final = re.compile(r"[^:,=]+:[^:,=]+(,[^:,=]+:[^:,=]+)*")
"""Columns and types as some write them."""

TYPES: Final = (
    *("str", "bool", "datetime", "date", "float32", "float64"),
    *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)),
)


def used_columns(
    usecols: Sequence[str | int] | None,
    names: Sequence[str],
    *,
    folders: Collection[str] = (),
    option: str = "usecols",
) -> tuple[str, ...] | None:
    """Name the columns that ``usecols`` chooses, in the order of the file; those of ``folders`` are there anyway.

    Raises ``UsageError`` for one that the input has not.
    """
    if usecols is None or not names:
        return None
    choices = {*names, *folders, *range(len(names))}
    if unknown := [with_guess(column, names, shown=repr(column)) for column in usecols if column not in choices]:
        raise UsageError(
            f"{option} names columns that the input has not: {', '.join(unknown)}. It has:"
            f" {', '.join(map(as_name, names))}."
        )
    return tuple(name for at, name in enumerate(names) if name in usecols or at in usecols)


def names_alone(columns: Sequence[str | int] | None) -> tuple[str, ...] | None:
    """Take columns of Parquet as they can be chosen: by names, each once. Raises ``UsageError`` otherwise."""
    if columns is None:
        return None
    if places := [column for column in columns if not isinstance(column, str)]:
        raise UsageError(f"Columns of Parquet are chosen by their names, and {places[0]} is a position. Name them.")
    if twice := [column for at, column in enumerate(columns) if column in columns[:at]]:
        raise UsageError(f"The columns to read name {twice[0]!r} twice. Leave one out.")
    return tuple(map(str, columns))


def check_chosen(columns: Sequence[str], names: Collection[str], *, folders: Collection[str]) -> None:
    """Raise ``UsageError`` for a column to read that is neither one of the files of Parquet, nor named by folders."""
    if unknown := [with_guess(one, names, shown=repr(one)) for one in columns if one not in {*names, *folders}]:
        raise UsageError(
            f"The columns to read name some that the input has not: {', '.join(unknown)}. It has:"
            f" {', '.join(map(as_name, names))}."
        )
    if not any(column in names for column in columns):
        raise UsageError(
            "The columns to read are all named by folders. Add one of the files, as their rows are what is read:"
            f" {', '.join(map(as_name, names))}."
        )


def fixed_types(
    dtype: str | Mapping[str, str] | None, names: Sequence[str], *, folders: Collection[str] = ()
) -> dict[str, str]:
    """Understand ``--dtype``: one type for all columns, or ``COL=TYPE,…``. Raises ``UsageError``."""
    if not dtype:
        return {}
    if isinstance(dtype, str) and "=" in dtype:
        pairs = [pair.rpartition("=") for pair in dtype.split(",")]
        if odd := [text for name, _, text in pairs if not name]:
            raise UsageError(
                f"--dtype {shlex.quote(dtype)}: {odd[0]!r} is no COLUMN=TYPE. Type for example --dtype A=int64,B=str."
            )
        names_in_it = [name for name, _, _ in pairs]
        if twice := [name for at, name in enumerate(names_in_it) if name in names_in_it[:at]]:
            raise UsageError(
                f"--dtype {shlex.quote(dtype)}: it names {twice[0]!r} twice, and a column has one type. Leave one out."
            )
        dtype = {name: text for name, _, text in pairs}
    chosen = {name: str(dtype) for name in names} if isinstance(dtype, str) else {k: str(v) for k, v in dtype.items()}
    unknown = [name for name in chosen if name not in names]
    if named := [name for name in unknown if name in folders]:
        raise UsageError(
            f"--dtype {shlex.quote(f'{named[0]}={chosen[named[0]]}')}: that column is named by folders, and what they"
            " say is text. Leave it out of --dtype, and convert the column in your function."
        )
    if unknown:
        said = ", ".join(with_guess(one, names) for one in unknown)
        raise UsageError(
            f"--dtype names columns that the input has not: {said}. It has: {', '.join(map(as_name, names))}."
        )
    chosen = {name: _ALIASES.get(text, text) for name, text in chosen.items()}
    for name, text in chosen.items():
        _check_type(text, named=text if isinstance(dtype, str) else f"{name}={text}", column=name)
    return chosen


def _check_type(text: str, *, named: str, column: str) -> None:
    """Raise ``UsageError`` for what is no type that a column may have, with what to do instead."""
    if text in TYPES:
        return
    if named == text and _PAIRS.fullmatch(text):
        typed = shlex.quote(text.replace(":", "="))
        raise UsageError(f"{text!r} is no type; a column and its type are joined by =. Type --dtype {typed}")
    if instead := instead_of(column, text):
        raise UsageError(f"--dtype {shlex.quote(named)}: {instead}")
    like = nearest(text, [*TYPES, "int", "float"])
    meant = f" Did you mean {like}?" if like else ""
    raise UsageError(
        f"--dtype {shlex.quote(named)}: no such type. Known are: {', '.join(TYPES)}, int and float.{meant}"
    )
