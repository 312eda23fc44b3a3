"""Check the value of each option of ``pandas.read_csv``, and translate it. Every function raises ``UsageError``."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from muster.errors import UsageError


def _wrong(name: str, value: object, expected: str) -> UsageError:
    return UsageError(f"{name}={value!r}: it must be {expected}.")


def mark(name: str, value: Any) -> str:  # noqa: ANN401 (whatever the user passes)
    """Take a mark of one byte; ``None`` and an empty text are none."""
    value = value or ""
    if not isinstance(value, str) or len(value) > 1 or not value.isascii():
        raise _wrong(name, value, "one byte, such as ',' or ';'" if name in {"sep", "delimiter"} else "one byte")
    if value in {"\r", "\n"}:
        raise _wrong(name, value, "something else than a line's end")
    return value


def separator(name: str, value: Any) -> str:  # noqa: ANN401 (likewise)
    if not value:
        raise UsageError(
            f"{name}={value!r}: muster does not guess what separates cells. Say {name}=',' or another byte."
        )
    return mark(name, value)


def in_numbers(name: str, value: Any) -> str:  # noqa: ANN401 (likewise)
    sign = mark(name, value)
    if sign.isalnum() or sign in {"+", "-", '"'} or (name == "decimal" and not sign):
        raise _wrong(name, value, "one byte that is no letter, digit, sign or quote")
    return sign


def flag(name: str, value: Any) -> bool:  # noqa: ANN401 (likewise)
    if not isinstance(value, bool):
        raise _wrong(name, value, "True or False")
    return value


def row(name: str, value: Any) -> bool | int:  # noqa: ANN401 (likewise)
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


def lines(name: str, value: Any) -> int | tuple[int, ...]:  # noqa: ANN401 (likewise)
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
    chosen = tuple(value) if isinstance(value, Iterable) and not isinstance(value, str) else ()
    if not chosen or not all(isinstance(line, int) and line >= 0 for line in chosen):
        raise _wrong(name, value, "a number of lines, or a list of lines, from 0")
    numbers = tuple(sorted(set(chosen)))
    return len(numbers) if numbers == tuple(range(len(numbers))) else numbers


def texts(name: str, value: Any) -> tuple[str, ...]:  # noqa: ANN401 (likewise)
    if value is None:
        return ()
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise _wrong(name, value, "a list of texts")
    return tuple(map(str, value))


def names(name: str, value: Any) -> tuple[str, ...]:  # noqa: ANN401 (likewise)
    listed = texts(name, value)
    if twice := [text for at, text in enumerate(listed) if text in listed[:at]]:
        raise UsageError(
            f"{name}: {twice[0]!r} is in it twice, and columns need names of their own. Name one otherwise."
        )
    return listed


def columns(name: str, value: Any) -> tuple[str, ...] | tuple[int, ...] | None:  # noqa: ANN401 (likewise)
    if value is None:
        return None
    if callable(value):
        raise UsageError(f"{name} is a function here: muster could not tell whether it changed. Give a list of names.")
    chosen = tuple(value) if isinstance(value, Iterable) and not isinstance(value, str) else ()
    if chosen and all(isinstance(column, str) for column in chosen):
        return chosen
    if chosen and all(isinstance(column, int) and not isinstance(column, bool) and column >= 0 for column in chosen):
        return chosen
    raise _wrong(name, value, "a list of names, or a list of positions, from 0, with at least one in it")


def dates(name: str, value: Any) -> tuple[str | int, ...]:  # noqa: ANN401 (likewise)
    if value is None or value is False:
        return ()
    if value is True:
        raise UsageError(
            f"{name}=True is about the index, which is the row's number here. Name the columns that hold dates."
        )
    chosen = tuple(value) if isinstance(value, Iterable) and not isinstance(value, str | Mapping) else ()
    if not all(isinstance(column, str) or (isinstance(column, int) and column >= 0) for column in chosen) or not chosen:
        raise _wrong(name, value, "a list of columns, by name or by position; to join some, use your function")
    return chosen


def date_format(name: str, value: Any) -> str | tuple[tuple[str, str], ...]:  # noqa: ANN401 (likewise)
    if isinstance(value, Mapping):
        return tuple((str(column), str(written)) for column, written in value.items())
    if not isinstance(value, str | None):
        raise _wrong(name, value, "a format such as '%d.%m.%Y', or one for each column")
    return value or ""


def missing(name: str, value: Any) -> tuple[str, ...] | tuple[tuple[str, tuple[str, ...]], ...]:  # noqa: ANN401 (likewise)
    if isinstance(value, Mapping):
        return tuple((str(column), _spelled(name, own)) for column, own in value.items())
    return _spelled(name, value)


def _spelled(name: str, value: Any) -> tuple[str, ...]:  # noqa: ANN401 (likewise)
    """List the spellings of a missing cell: of a number, all those that pandas accepts for it."""
    listed = [value] if isinstance(value, str) or not isinstance(value, Iterable) else list(value)
    if value is None:
        return ()
    spellings = dict.fromkeys(map(str, listed))
    for sentinel in listed:
        try:
            whole = int(float(sentinel))
            if whole == float(sentinel):
                spellings |= {f"{whole}.0": None, str(whole): None}
        except (TypeError, ValueError, OverflowError):
            continue
    if any("\n" in spelling or "\r" in spelling for spelling in spellings):
        raise _wrong(name, value, "texts within a line")
    return tuple(spellings)


def encoding(name: str, value: Any) -> str:  # noqa: ANN401 (likewise)
    try:
        "".encode(value or "utf-8")
    except (LookupError, UnicodeError, TypeError) as error:
        raise UsageError(f"{name}={value!r}: Python knows no such encoding.") from error
    return value or "utf-8"


ON_ERRORS: Final = ("strict", "replace", "ignore", "backslashreplace")


def on_errors(name: str, value: Any) -> str:  # noqa: ANN401 (likewise)
    if value not in ON_ERRORS:
        raise _wrong(name, value, f"one of {', '.join(ON_ERRORS)}: what others leave is no text that can be written")
    return str(value)
