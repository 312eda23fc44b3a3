"""List the objects that a function can reach by names, closure, defaults and attributes, without calling anything."""

import contextlib
import functools
import sys
import types
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any, Final

from .origins import is_users

_MOST_VALUES: Final = 20_000
"""Objects that are looked through: some hundredths of a second."""

_MOST_ITEMS: Final = 1_000
"""Of a large list or mapping: its elements are alike, as a rule."""

_DATA: Final = ("numpy", "pandas", "pyarrow", "polars", "builtins")
"""Packages whose objects are not followed: they hold data, and much of it."""


def reached(roots: Iterable[object], is_wanted: Callable[[object], bool]) -> list[Any]:
    """List what is wanted among what these can reach; of what is large, its beginning."""
    matches, seen = [], dict[int, object]()
    waiting = list(roots)
    while waiting and len(seen) < _MOST_VALUES:
        value = waiting.pop()
        if value is None or id(value) in seen or isinstance(value, str | int | float | bytes):
            continue
        seen[id(value)] = value
        if is_wanted(value):
            matches.append(value)
        else:
            with contextlib.suppress(Exception):  # of the user's code, which may look like anything
                waiting += _parts(value)
    return matches


def _parts(value: Any) -> Iterator[object]:  # noqa: ANN401, C901, PLR0912 (a case for each kind of value)
    match value:
        case types.FunctionType():
            yield from _parts_of_function(value)
        case types.MethodType():
            yield from (value.__func__, value.__self__)
        case types.BuiltinMethodType():
            yield value.__self__
        case functools.partial():
            yield from (value.func, value.args, value.keywords)
        case staticmethod() | classmethod():
            yield value.__func__
        case property():
            yield from (value.fget, value.fset)
        case functools.cached_property():
            yield value.func
        case list() | tuple() | set() | frozenset():
            yield from islice(value, _MOST_ITEMS)
        case dict():
            yield from islice(value.values(), _MOST_ITEMS)
        case types.CellType():
            yield value.cell_contents
        case types.ModuleType():
            pass  # its names are reached by those who use them
        case type():
            if _is_from_user(value):
                yield from (*vars(value).values(), *value.__bases__)
        case _ if type(value).__module__.partition(".")[0] not in _DATA:
            yield from _parts_of_object(value)


def _parts_of_function(function: types.FunctionType) -> Iterator[object]:
    if not is_users(function.__code__.co_filename):
        return
    yield from (function.__closure__, function.__defaults__, function.__kwdefaults__, vars(function))
    names = _names(function.__code__)
    for name in names & function.__globals__.keys():
        value = function.__globals__[name]
        if isinstance(value, types.ModuleType):
            if is_users(getattr(value, "__file__", None) or ""):
                yield from (vars(value)[inner] for inner in names & vars(value).keys())
        else:
            yield value


def _names(code: types.CodeType) -> set[str]:
    """Name what code looks up, with the functions inside it."""
    inner = (constant for constant in code.co_consts if isinstance(constant, types.CodeType))
    return set(code.co_names).union(*map(_names, inner))


def _parts_of_object(value: object) -> Iterator[object]:
    yield type(value)
    yield getattr(value, "__dict__", None)
    yield getattr(value, "__wrapped__", None)
    for kind in type(value).__mro__:
        slots = vars(kind).get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            yield getattr(value, name, None)


def _is_from_user(kind: type) -> bool:
    module = sys.modules.get(kind.__module__)
    return is_users(getattr(module, "__file__", None) or "<user>")
