"""Name the user's function: by what was typed, or by what a caller in Python gave."""

import functools
import os
import sys
import types
import weakref
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Final

from muster._model import Arguments, Target
from muster._words import as_name, bare
from muster._words.near import nearest
from muster.errors import UsageError

from . import importing
from .at_the_top import PIPELINE

_own: Final[weakref.WeakValueDictionary[str, Target]] = weakref.WeakValueDictionary()
"""Targets whose function was given to this very process, by what is theirs alone."""


def parse_target(text: str) -> Target:
    """Understand ``file.py:function``, ``package.module:function`` or ``file.py`` that defines ``pipeline``.

    Raises ``UsageError`` when it is none of these, or the file does not exist.
    """
    place, _, name = text.rpartition(":") if ":" in text else (text, "", PIPELINE)
    if place.endswith(".py"):
        if not Path(place).is_file():
            like = nearest(Path(place).name, (beside.name for beside in Path(place).parent.glob("*.py")))
            meant = (
                f" Did you mean {as_name(Path(place).with_name(like))}?"
                if like
                else " Check the path before the colon."
            )
            raise UsageError(f"No file {place!r}, so no function {name!r} in it.{meant}")
        return Target("file", str(Path(place).resolve()), name)
    if Path(place).is_file():
        raise UsageError(f"{place!r} names no function, as it is no file of Python. Type file.py:function.")
    if not all(word.isidentifier() for word in name.split(".")) or not all(
        word.isidentifier() for word in place.split(".")
    ):
        raise UsageError(f"{text!r} names no function. Type file.py:function or package.module:function.")
    return Target("module", place, name)


def with_arguments(target: Target, chosen: Arguments) -> Target:
    """Give a target arguments; it is another one in this process, too, as a class is built with them."""
    target = replace(target, arguments=chosen)
    if target.own in _own:
        _own[target.own] = target
    return target


def of_groups(target: Target) -> Target:
    """Have a target called with groups; in this process, too."""
    target = replace(target, is_of_groups=True)
    if target.own in _own:
        _own[target.own] = target
    return target


def with_state(target: Target) -> Target:
    """Have a target called with states, too; in this process as well."""
    target = replace(target, has_state=True)
    if target.own in _own:
        _own[target.own] = target
    return target


def of_function(function: Callable[..., object], *, holds: Iterable[Callable[..., object]] = ()) -> Target:
    """Carry a function or class by value, so that lambdas, closures and notebooks work; and those that it ``holds``."""
    from .carry import carried
    from .facts import facts_of

    name = name_of(function)
    for one in (function, *holds):
        _carry_by_value(sys.modules.get(getattr(one, "__module__", None) or type(one).__module__))
    try:
        target = Target(
            kind="pickle",
            place="",
            name=name,
            carried=carried(function),
            own=os.urandom(8).hex(),
            function=function,
            facts=facts_of(function),
        )
    except Exception as error:
        raise UsageError(
            f"{name!r} cannot be sent to workers: {bare(error)}. Make what it holds (a lock, a file, a connection)"
            " inside the function, or in the __init__ of a class. More: muster help functions"
        ).quoting(bare(error)) from error
    _own[target.own] = target
    return target


def is_own(target: Target) -> bool:
    """Tell whether the function was given to this very process, which calls it as it is: no copy of it."""
    return target.own in _own


def own_function(target: Target) -> object:
    """Return that function. Raises ``KeyError`` where there is none."""
    return _own[target.own].function


def name_of(function: Callable[..., object]) -> str:
    """Name a function; for one that is bound by ``functools.partial``, what is bound."""
    while isinstance(function, functools.partial):
        function = function.func
    return getattr(function, "__name__", type(function).__name__)


def _carry_by_value(module: types.ModuleType | None) -> None:
    """See to it that functions of a file such as ``model.v2.py`` travel, whose module nobody can import by its name."""
    if module is not None and importing.has_no_name(module):
        import cloudpickle

        cloudpickle.register_pickle_by_value(module)
