"""The options of ``pandas.read_csv``: checked, and translated into ``Dialect`` and ``Reading``."""

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, Literal, TypedDict

from muster._dialect import Dialect, Reading
from muster._near import with_guess
from muster.errors import UsageError


class CsvOptions(TypedDict, total=False):
    """The options of ``pandas.read_csv`` that muster has, each with pandas' meaning and default."""

    sep: str
    delimiter: str | None
    quotechar: str | None
    quote: str | None
    quoting: int
    header: bool | int | str | None
    names: Sequence[str] | None
    index_col: Literal[False] | None
    usecols: Sequence[str] | Sequence[int] | None
    skiprows: int | Sequence[int] | None
    comment: str | None
    escapechar: str | None
    doublequote: bool
    skipinitialspace: bool
    encoding: str | None
    encoding_errors: str
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


def _wrong(name: str, value: object, expected: str) -> UsageError:
    return UsageError(f"{name}={value!r}: it must be {expected}.")


def _mark(name: str, value: Any) -> str:  # noqa: ANN401 (whatever the user passes)
    """Take a mark of one byte; ``None`` and an empty text are none."""
    value = value or ""
    if not isinstance(value, str) or len(value) > 1 or not value.isascii():
        raise _wrong(name, value, "one byte, such as ',' or ';'" if name in {"sep", "delimiter"} else "one byte")
    if value in {"\r", "\n"}:
        raise _wrong(name, value, "something else than a line's end")
    return value


def _separator(name: str, value: Any) -> str:  # noqa: ANN401 (likewise)
    if not value:
        raise UsageError(
            f"{name}={value!r}: muster does not guess what separates cells. Say {name}=',' or another byte."
        )
    return _mark(name, value)


def _in_numbers(name: str, value: Any) -> str:  # noqa: ANN401 (likewise)
    mark = _mark(name, value)
    if mark.isalnum() or mark in {"+", "-", '"'} or (name == "decimal" and not mark):
        raise _wrong(name, value, "one byte that is no letter, digit, sign or quote")
    return mark


def _flag(name: str, value: Any) -> bool:  # noqa: ANN401 (likewise)
    if not isinstance(value, bool):
        raise _wrong(name, value, "True or False")
    return value


def _row(name: str, value: Any) -> bool | int:  # noqa: ANN401 (likewise)
    """Take a header: ``True``, 0 and ``"infer"`` mean the first row, ``False`` and ``None`` none."""
    if value is None or isinstance(value, bool):
        return bool(value)
    if value == "infer":
        return True
    if isinstance(value, list | tuple):
        raise UsageError(f"{name}={value!r}: muster's columns have one name each. Say which one row holds the names.")
    if not isinstance(value, int) or value < 0:
        raise _wrong(name, value, "the number of a row, from 0, or None")
    return value or True


def _lines(name: str, value: Any) -> int | tuple[int, ...]:  # noqa: ANN401 (likewise)
    if value is None:
        return 0
    if callable(value):
        raise UsageError(
            f"{name} is a function here: muster could not tell whether it is the same when a run is resumed, and would"
            " have to call it line by line. Give a number or a list of lines; or drop rows in your function, by the"
            " frame's index."
        )
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    lines = tuple(value) if isinstance(value, Iterable) and not isinstance(value, str) else ()
    if not lines or not all(isinstance(line, int) and line >= 0 for line in lines):
        raise _wrong(name, value, "a number of lines, or a list of lines, from 0")
    listed = tuple(sorted(set(lines)))
    return len(listed) if listed == tuple(range(len(listed))) else listed


def _texts(name: str, value: Any) -> tuple[str, ...]:  # noqa: ANN401 (likewise)
    if value is None:
        return ()
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise _wrong(name, value, "a list of texts")
    return tuple(map(str, value))


def _names(name: str, value: Any) -> tuple[str, ...]:  # noqa: ANN401 (likewise)
    names = _texts(name, value)
    if twice := [one for at, one in enumerate(names) if one in names[:at]]:
        raise UsageError(
            f"{name}: {twice[0]!r} is in it twice, and columns need names of their own. Name one otherwise."
        )
    return names


def _columns(name: str, value: Any) -> tuple[str, ...] | tuple[int, ...] | None:  # noqa: ANN401 (likewise)
    if value is None:
        return None
    if callable(value):
        raise UsageError(f"{name} is a function here: muster could not tell whether it changed. Give a list of names.")
    chosen = tuple(value) if isinstance(value, Iterable) and not isinstance(value, str) else ()
    if chosen and all(isinstance(one, str) for one in chosen):
        return chosen
    if chosen and all(isinstance(one, int) and not isinstance(one, bool) and one >= 0 for one in chosen):
        return chosen
    raise _wrong(name, value, "a list of names, or a list of positions, from 0, with at least one in it")


def _dates(name: str, value: Any) -> tuple[str | int, ...]:  # noqa: ANN401 (likewise)
    if value is None or value is False:
        return ()
    if value is True:
        raise UsageError(
            f"{name}=True is about the index, which is the row's number here. Name the columns that hold dates."
        )
    chosen = tuple(value) if isinstance(value, Iterable) and not isinstance(value, str | Mapping) else ()
    if not all(isinstance(one, str) or (isinstance(one, int) and one >= 0) for one in chosen) or not chosen:
        raise _wrong(name, value, "a list of columns, by name or by position; to join some, use your function")
    return chosen


def _date_format(name: str, value: Any) -> str | tuple[tuple[str, str], ...]:  # noqa: ANN401 (likewise)
    if isinstance(value, Mapping):
        return tuple((str(column), str(written)) for column, written in value.items())
    if not isinstance(value, str | None):
        raise _wrong(name, value, "a format such as '%d.%m.%Y', or one for each column")
    return value or ""


def _missing(name: str, value: Any) -> tuple[str, ...] | tuple[tuple[str, tuple[str, ...]], ...]:  # noqa: ANN401 (likewise)
    if isinstance(value, Mapping):
        return tuple((str(column), _spelled(name, own)) for column, own in value.items())
    return _spelled(name, value)


def _spelled(name: str, value: Any) -> tuple[str, ...]:  # noqa: ANN401 (likewise)
    """List the spellings of a missing cell: of a number, all those that pandas accepts for it."""
    listed = [value] if isinstance(value, str) or not isinstance(value, Iterable) else list(value)
    if value is None:
        return ()
    spelled = dict.fromkeys(str(one) for one in listed)
    for one in listed:
        try:
            whole = int(float(one))
            if whole == float(one):
                spelled |= {f"{whole}.0": None, str(whole): None}
        except (TypeError, ValueError, OverflowError):
            continue
    if any("\n" in one or "\r" in one for one in spelled):
        raise _wrong(name, value, "texts within a line")
    return tuple(spelled)


def _encoding(name: str, value: Any) -> str:  # noqa: ANN401 (likewise)
    try:
        "".encode(value or "utf-8")
    except (LookupError, UnicodeError, TypeError) as error:
        raise UsageError(f"{name}={value!r}: Python knows no such encoding.") from error
    return value or "utf-8"


ON_ERRORS: Final = ("strict", "replace", "ignore", "backslashreplace")


def _on_errors(name: str, value: Any) -> str:  # noqa: ANN401 (likewise)
    if value not in ON_ERRORS:
        raise _wrong(name, value, f"one of {', '.join(ON_ERRORS)}: what others leave is no text that can be written")
    return str(value)


_UNDERSTOOD: Final[dict[str, tuple[str, Callable[[str, Any], Any]]]] = {
    "sep": ("delimiter", _separator),
    "delimiter": ("delimiter", _separator),
    "quotechar": ("quote", _mark),
    "quote": ("quote", _mark),
    "header": ("header", _row),
    "names": ("names", _names),
    "usecols": ("usecols", _columns),
    "skiprows": ("skiprows", _lines),
    "comment": ("comment", _mark),
    "escapechar": ("escapechar", _mark),
    "doublequote": ("doublequote", _flag),
    "skipinitialspace": ("skipinitialspace", _flag),
    "encoding": ("encoding", _encoding),
    "encoding_errors": ("encoding_errors", _on_errors),
    "na_values": ("na_values", _missing),
    "keep_default_na": ("keep_default_na", _flag),
    "na_filter": ("na_filter", _flag),
    "true_values": ("true_values", _texts),
    "false_values": ("false_values", _texts),
    "decimal": ("decimal", _in_numbers),
    "thousands": ("thousands", _in_numbers),
    "parse_dates": ("parse_dates", _dates),
    "date_format": ("date_format", _date_format),
    "dayfirst": ("dayfirst", _flag),
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
_WITH_QUOTES: Final = (0, 1)


def is_of_csv(name: str) -> bool:
    """Tell whether a name is an option of ``pandas.read_csv``, offered or not."""
    return name in _UNDERSTOOD or name in _NO_MATTER or name == "quoting" or (name in LEFT_OUT and name != "dialect")


def understood(options: Mapping[str, Any], dialect: Dialect, reading: Reading) -> tuple[Dialect, Reading]:
    """Override a dialect and a reading by the user's options. Raises ``UsageError`` for those muster cannot take.

    ``delimiter=None`` and ``header="infer"`` are as good as not given, as in pandas.
    """
    options = {name: value for name, value in options.items() if (name, value) not in _AS_IF_NOT_GIVEN}
    for one, other in (("sep", "delimiter"), ("quotechar", "quote")):
        if one in options and other in options:
            raise UsageError(f"{one} and {other} are two names of the same. Leave one out.")
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
        known = (*CsvOptions.__annotations__, "dtype", "storage_options")
        raise UsageError(f"There is no option {with_guess(name, known)}. There are: {', '.join(sorted(known))}.")
    harmless, why = LEFT_OUT[name]
    if not any(value is one or (value == one and type(value) is type(one)) for one in harmless):
        raise UsageError(f"{name} is not offered: {why}.")


def _a_dialect(given: Any) -> Dialect:  # noqa: ANN401 (whatever a caller passes)
    if not isinstance(given, Dialect):
        raise UsageError(f"dialect={given!r}: it must be a muster.Dialect, such as muster.Dialect(delimiter=';').")
    return given


def checked_dialect(dialect: Dialect) -> Dialect:
    """Raise ``UsageError`` for a dialect that cannot be told apart from another."""
    names = ("delimiter", "quote", "escapechar", "comment")
    for name in names:
        _mark(name, getattr(dialect, name))
    _encoding("encoding", dialect.encoding)
    _on_errors("encoding_errors", dialect.encoding_errors)
    written = dataclasses.replace(dialect, delimiter=dialect.delimiter or ",")  # a tab is said, or found with the files
    marks = [(name, getattr(written, name)) for name in names if getattr(written, name)]
    for at, (name, mark) in enumerate(marks):
        for other, same in marks[:at]:
            if mark == same:
                raise UsageError(f"{other}={mark!r}: it must differ from the {name}.")
    return dialect
