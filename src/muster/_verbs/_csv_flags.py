"""The flags of ``muster run`` that say how CSV is read: pandas' names, with dashes."""

import argparse
from typing import Any, Final, NoReturn

from muster._dialects.options import LEFT_OUT
from muster.errors import UsageError

_TEXTS: Final = {
    "sep": ("C", "what separates CSV cells, one byte (default: a comma; for .tsv a tab)"),
    "quotechar": ("C", 'what quotes CSV cells, one byte; empty for none (default: ")'),
    "escapechar": ("C", "what takes the byte behind it for text (default: none)"),
    "comment": ("C", "what makes the rest of a line a comment (default: none)"),
    "encoding": ("NAME", "of the input's text (default: utf-8)"),
    "encoding_errors": (
        "HOW",
        "of bytes that are none: strict rejects their rows, replace, ignore or backslashreplace (default: strict)",
    ),
    "decimal": ("C", "what a decimal's point is written as (default: .)"),
    "thousands": ("C", "what stands between thousands (default: nothing)"),
    "date_format": ("FORMAT", "of --parse-dates, such as %%d.%%m.%%Y (default: that of each column's first cell)"),
}
_LISTS: Final = {
    "names": (
        "A,B,...",
        "the columns' names, where there is no header; or in its place, with --header 0 (default: the header's)",
    ),
    "usecols": ("A,B,...", "the columns to read, by name, or by position from 0; of Parquet by name (default: all)"),
    "parse_dates": ("A,B,...", "the columns that hold dates or times, by name, or by position from 0 (default: none)"),
    "na_values": ("X,Y,...", "cells that are missing besides those that pandas takes for it (default: none)"),
    "true_values": ("X,Y,...", "cells that are true besides True, TRUE and true (default: none)"),
    "false_values": ("X,Y,...", "cells that are false besides False, FALSE and false (default: none)"),
}
_SWITCHES: Final = {
    "keep_default_na": "take no cell for missing but those of --na-values: NA is a name then, an empty cell a text",
    "na_filter": "take no cell for missing at all",
    "doublequote": "take two quotes in a quoted cell for its end and more text, not for one quote",
}


def add_to(parser: argparse.ArgumentParser) -> None:
    """Add the flags, and the older names of some."""
    add: Any = parser.add_argument
    older = {"sep": ("--delimiter",), "quotechar": ("--quote",)}
    for name, (metavar, meaning) in _TEXTS.items():
        add(_flag(name), *older.get(name, ()), dest=name, metavar=metavar, help=meaning)
    add("--header", metavar="ROW", help="which row holds the names, from 0, or none (default: 0; with --names none)")
    add("--no-header", action="store_true", help="the CSV has no header row; columns are numbered, as with header=None")
    add(
        "--skiprows",
        action="add",
        is_list=lambda text: "," in text,
        metavar="N",
        help="lines to pass over at the start; or which, from 0: 0,2,3 (of one: 2,; default: none)",
    )
    for name, (metavar, meaning) in _LISTS.items():
        add(_flag(name), action="add", metavar=metavar, help=meaning)
    add("--skipinitialspace", action="store_const", const=True, help="blanks before a cell are not part of it")
    add("--dayfirst", action="store_const", const=True, help="of --parse-dates: 1/2/2026 is the first of February")
    for name, meaning in _SWITCHES.items():
        add(f"--no-{name.replace('_', '-')}", dest=name, action="store_const", const=False, help=meaning)
    for name, (_, why) in LEFT_OUT.items():
        add(_flag(name), action=_LeftOut, nargs="?", const=why, help=argparse.SUPPRESS)


class _LeftOut(argparse.Action):
    """A flag that people know from pandas, which is not offered: it says why."""

    def __call__(self, *_: object, **__: object) -> NoReturn:
        raise UsageError(f"{self.option_strings[0]} is not offered: {self.const}.")


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def chosen(parsed: argparse.Namespace) -> dict[str, Any]:
    """Return the CSV options that a command line sets, by pandas' names."""
    options = {name: getattr(parsed, name) for name in (*_TEXTS, *_SWITCHES, "skipinitialspace", "dayfirst")}
    options |= {name: _listed(getattr(parsed, name)) for name in _LISTS}
    for name in ("usecols", "parse_dates"):
        if options[name] and all(column.isdecimal() for column in options[name]):
            options[name] = [int(column) for column in options[name]]
    options["skiprows"] = _lines(parsed.skiprows)
    typed = {name: value for name, value in options.items() if value is not None}
    if parsed.header is not None and parsed.no_header:
        raise UsageError("--header and --no-header contradict each other. Leave one out.")
    if parsed.header is not None or parsed.no_header:
        typed["header"] = _row(parsed.header)
    return typed


def _listed(text: str | None) -> list[str] | None:
    return None if text is None else text.split(",")


def _row(text: str | None) -> int | None:
    if text is None or text == "none":
        return None
    if not text.isdecimal():
        raise UsageError(f"--header {text}: it must be the number of a row, from 0, or none.")
    return int(text)


def _lines(text: str | None) -> int | list[int] | None:
    if text is None or text.isdecimal():
        return None if text is None else int(text)
    numbers = [number for number in text.split(",") if number]
    if not numbers or not all(number.isdecimal() for number in numbers):
        raise UsageError(f"--skiprows {text}: it must be a number of lines, or lines from 0 with commas between.")
    return [int(number) for number in numbers]
