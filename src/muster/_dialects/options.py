"""The options of ``pandas.read_csv``: checked, and translated into ``Dialect`` and ``Reading``."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal, TypedDict

from muster._dialects import Dialect, Reading, values
from muster._words.near import with_guess
from muster.errors import UsageError


class ValueOptions(TypedDict, total=False):
    """The options of ``pandas.read_csv`` that say what values mean, and nothing of how they are written in a line."""

    usecols: Sequence[str] | Sequence[int] | None
    na_values: object
    keep_default_na: bool
    na_filter: bool
    true_values: Sequence[str] | None
    false_values: Sequence[str] | None
    decimal: str
    thousands: str | None
    parse_dates: Sequence[str | int] | None
    date_format: str | Mapping[str, str] | None
    dayfirst: bool


class CellOptions(ValueOptions, total=False):
    """Those that count also for rows which come one by one."""

    sep: str
    quoting: int


class CsvOptions(CellOptions, total=False):
    """The options of ``pandas.read_csv`` that muster has, each with pandas' meaning and default."""

    delimiter: str | None
    quotechar: str | None
    quote: str | None
    header: bool | int | str | None
    names: Sequence[str] | None
    index_col: Literal[False] | None
    skiprows: int | Sequence[int] | None
    comment: str | None
    escapechar: str | None
    doublequote: bool
    skipinitialspace: bool
    encoding: str | None
    encoding_errors: str


DEFAULTS: Final[Mapping[str, object]] = {
    **dict.fromkeys(CsvOptions.__annotations__),
    "sep": ",",
    "quotechar": '"',
    "quote": '"',
    "quoting": 0,
    "header": "infer",
    "doublequote": True,
    "skipinitialspace": False,
    "encoding_errors": "strict",
    "keep_default_na": True,
    "na_filter": True,
    "decimal": ".",
    "dayfirst": False,
}
"""What each of them is where it is not given: ``None``, but for these. (For ``.tsv``, ``sep`` is a tab.)"""


_UNDERSTOOD: Final[dict[str, tuple[str, Callable[[str, Any], Any]]]] = {
    "sep": ("delimiter", values.separator),
    "delimiter": ("delimiter", values.separator),
    "quotechar": ("quote", values.mark),
    "quote": ("quote", values.mark),
    "header": ("header", values.row),
    "names": ("names", values.names),
    "usecols": ("usecols", values.columns),
    "skiprows": ("skiprows", values.lines),
    "comment": ("comment", values.mark),
    "escapechar": ("escapechar", values.mark),
    "doublequote": ("doublequote", values.flag),
    "skipinitialspace": ("skipinitialspace", values.flag),
    "encoding": ("encoding", values.encoding),
    "encoding_errors": ("encoding_errors", values.on_errors),
    "na_values": ("na_values", values.missing),
    "keep_default_na": ("keep_default_na", values.flag),
    "na_filter": ("na_filter", values.flag),
    "true_values": ("true_values", values.texts),
    "false_values": ("false_values", values.texts),
    "decimal": ("decimal", values.in_numbers),
    "thousands": ("thousands", values.in_numbers),
    "parse_dates": ("parse_dates", values.dates),
    "date_format": ("date_format", values.date_format),
    "dayfirst": ("dayfirst", values.flag),
}
"""For each option the field that it goes to, and what checks it."""

_NO_MATTER: Final = frozenset({"low_memory", "memory_map", "cache_dates", "verbose"})
"""Options that are accepted and ignored, as they change no result."""

LEFT_OUT: Final[dict[str, tuple[tuple[object, ...], str]]] = {
    "index_col": (
        (None, False),
        "the index of a frame is the row's number in its file. Use df.set_index in the function",
    ),
    "nrows": ((None,), "a run is about every row. With --limit N it does the first N rows"),
    "skipfooter": ((0,), "a file is read from many places at once. Cut its end off first, with head -n -N"),
    "skip_blank_lines": ((True,), "a blank line would be a row with too few cells, which muster rejects. Leave it out"),
    "on_bad_lines": (("error",), "a bad row goes to the rejects, with its text. Say with --max-bad-rows how many may"),
    "chunksize": ((None,), "batches are made anyway. --batch-rows N gives them a size of your own"),
    "iterator": ((False,), "batches are made anyway. --batch-rows N gives them a size of your own"),
    "converters": ((None,), "the function may do it: df[column] = df[column].map(...). Say --dtype to read text"),
    "engine": ((None, "c"), "muster has a reader of its own, with the values of pandas' engine 'c'. Leave it out"),
    "engine_kwargs": ((None,), "muster has a reader of its own. Leave it out"),
    "dtype_backend": ((), "columns have NumPy's types. Use df.convert_dtypes in the function"),
    "float_precision": (
        (None, "high", "round_trip"),
        "each decimal is read as the nearest number there is. Leave it out",
    ),
    "compression": (("infer",), "a file's name tells how it is compressed. Name it .gz, .zst, .bz2, .xz or .zip"),
    "lineterminator": ((None,), "a line ends with \\n, \\r\\n or \\r. Leave it out"),
    "delim_whitespace": ((False,), "cells are separated by one byte. Say --sep ' ', with --skipinitialspace"),
    "dialect": ((), "say --sep, --quotechar and the others by themselves, or pass a muster.Dialect"),
    "date_parser": ((None,), "pandas has given it up, too. Use pandas.to_datetime in the function"),
    "squeeze": ((False,), "pandas has given it up, too: the function gets a frame"),
    "prefix": ((None,), "pandas has given it up, too. Say --names"),
    "mangle_dupe_cols": ((True,), "pandas has given it up, too: names are made unique"),
    "error_bad_lines": ((), "pandas has given it up, too: a bad row goes to the rejects"),
    "float_format": (
        (None,),
        "numbers are written as to_csv writes them. Do it in the function: df[column].map('{:.2f}'.format)",
    ),
    "na_rep": (("",), "a missing value is written as an empty cell. Do it in the function: df[column].fillna('NA')"),
    "columns": (
        (None,),
        "all columns that the function gives are written. Do it in the function: return df[['a', 'b']]",
    ),
    "index": ((False,), "an index is not written. Do it in the function: df.reset_index()"),
    "index_label": ((None,), "an index is not written. Do it in the function: df.reset_index()"),
}
"""Options of ``read_csv`` and ``to_csv`` that muster does not offer: harmless values, and why others are refused."""

_AS_IF_NOT_GIVEN: Final = (("delimiter", None), ("header", "infer"))

_QUOTE_NONE: Final = 3
"""``csv.QUOTE_NONE``; and ``csv.QUOTE_MINIMAL`` and ``csv.QUOTE_ALL``, which are read alike."""

_WITH_QUOTES: Final = (0, 1)


def is_of_csv(name: str) -> bool:
    """Tell whether a name is an option of ``pandas.read_csv``, offered or not."""
    return name in _UNDERSTOOD or name in _NO_MATTER or name == "quoting" or (name in LEFT_OUT and name != "dialect")


def understood(options: Mapping[str, Any], dialect: Dialect, reading: Reading) -> tuple[Dialect, Reading]:
    """Override a dialect and a reading by the user's options. Raises ``UsageError`` for those muster cannot take.

    ``delimiter=None`` and ``header="infer"`` are as good as not given, as in pandas.
    """
    options = {name: value for name, value in options.items() if (name, value) not in _AS_IF_NOT_GIVEN}
    for name, synonym in (("sep", "delimiter"), ("quotechar", "quote")):
        if name in options and synonym in options:
            raise UsageError(f"{name} and {synonym} are two names of the same. Leave one out.")
    fields: dict[str, Any] = {}
    if options.get("names") is not None and "header" not in options:
        fields["header"] = False
    for name, value in options.items():
        if name in _UNDERSTOOD:
            field, understand = _UNDERSTOOD[name]
            fields[field] = understand(name, value)
        elif name == "quoting":
            fields |= _quoting(value)
        elif name not in _NO_MATTER:
            _refuse(name, value)
    in_dialect = {field.name for field in dataclasses.fields(Dialect)}
    dialect = dataclasses.replace(
        _a_dialect(dialect), **{name: value for name, value in fields.items() if name in in_dialect}
    )
    reading = dataclasses.replace(reading, **{name: value for name, value in fields.items() if name not in in_dialect})
    return checked_dialect(dialect), reading


def _quoting(value: Any) -> dict[str, str]:  # noqa: ANN401 (likewise)
    if value == _QUOTE_NONE:
        return {"quote": ""}
    if value in _WITH_QUOTES:
        return {}
    raise UsageError(f"quoting={value!r}: quotes do not tell texts from numbers here. Say 0 for quotes, 3 for none.")


def _refuse(name: str, value: object) -> None:
    if name not in LEFT_OUT:
        names = (*CsvOptions.__annotations__, "dtype", "storage_options")
        raise UsageError(f"There is no option {with_guess(name, names)}. There are: {', '.join(sorted(names))}.")
    harmless, why = LEFT_OUT[name]
    if not any(_is_same(value, default) for default in harmless):
        raise UsageError(f"{name} is not offered: {why}.")


def _is_same(value: object, default: object) -> bool:
    return value is default or (value == default and type(value) is type(default))  # 0 is not False


def _a_dialect(value: Any) -> Dialect:  # noqa: ANN401 (whatever a caller passes)
    if not isinstance(value, Dialect):
        raise UsageError(f"dialect={value!r}: it must be a muster.Dialect, such as muster.Dialect(delimiter=';').")
    return value


def checked_dialect(dialect: Dialect) -> Dialect:
    """Raise ``UsageError`` for a dialect that cannot be told apart from another."""
    names = ("delimiter", "quote", "escapechar", "comment")
    for name in names:
        values.mark(name, getattr(dialect, name))
    values.encoding("encoding", dialect.encoding)
    values.on_errors("encoding_errors", dialect.encoding_errors)
    written = dataclasses.replace(dialect, delimiter=dialect.delimiter or ",")  # a tab is said, or found with the files
    marks = [(name, getattr(written, name)) for name in names if getattr(written, name)]
    for at, (name, mark) in enumerate(marks):
        for other, same in marks[:at]:
            if mark == same:
                raise UsageError(f"{other}={mark!r}: it must differ from the {name}.")
    return dialect
