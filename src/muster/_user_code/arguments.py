"""Arguments of the user's function besides the batch, or of its class when it is built."""

import datetime as dt
import functools
import inspect
import json
import os
import sys
import types
import typing
import weakref
from collections.abc import Mapping, Sequence
from decimal import Decimal
from inspect import Parameter, Signature
from pathlib import Path
from typing import Any, Final

from muster._model import Arguments, Fact, Target
from muster._near import nearest
from muster._private.secrets import hide, holds_secret, is_secret
from muster.errors import UsageError

from .typed import example_of, is_readable, value_of

_BY_NAME: Final = (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)
_ONLY_BY_NAME: Final = (Parameter.KEYWORD_ONLY, Parameter.VAR_KEYWORD)
_BY_PLACE: Final = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
_LONGEST: Final = 80
_BY_WORD: Final = {one.__name__: one for one in (int, float, bool, str, dt.date, dt.datetime, Decimal, Path)}
"""What is meant where an annotation is a text whose names are not there at run time."""

_own: Final[weakref.WeakValueDictionary[str, Arguments]] = weakref.WeakValueDictionary()
"""Those that were given to this very process, which passes them on as they are: no copies of them."""


def typed(pairs: Sequence[tuple[str, str]]) -> Arguments:
    """Take what was typed. Raises ``UsageError`` for a name that comes twice, or is none."""
    names = [name for name, _ in pairs]
    for name in names:
        if not name.isidentifier():
            raise UsageError(f"--arg {name}=...: {name!r} is no name of a parameter. Type for example --arg n=3.")
        if names.count(name) > 1:
            raise UsageError(f"--arg {name}=... is typed twice. Leave one out; a list is --arg {name}='[1, 2]'.")
    hide(text for name, text in pairs if is_secret(name))
    return Arguments(tuple(pairs))


def given(values: Mapping[str, Any] | None, *, step: str) -> Arguments:
    """Take what a caller in Python gave. Raises ``UsageError`` for what is no mapping of names, or cannot be sent."""
    if not values and (values is None or isinstance(values, Mapping)):
        return Arguments()
    if not isinstance(values, Mapping) or not all(isinstance(name, str) and name.isidentifier() for name in values):
        raise UsageError(f"args={values!r}: it must be a mapping of the parameters' names, such as {{'n': 3}}.")
    from .carry import carried

    held = dict(values)
    hide(text for name, text in held.items() if is_secret(name) and isinstance(text, str))
    try:
        arguments = Arguments((), carried(held), os.urandom(8).hex(), held, facts_of_values(held, step=step))
    except Exception as error:
        raise UsageError(
            f"The arguments of {step!r} cannot be sent to workers: {error}. Make what they hold (a lock, a file, a"
            " connection) inside the function, or in the __init__ of a class."
        ).quoting(str(error)) from error
    _own[arguments.own] = arguments
    return arguments


def hide_secrets(arguments: Arguments) -> None:
    """Strike out from now on what the arguments of a step hold that is secret by its name."""
    hide(
        text
        for name, text in (*arguments.typed, *arguments.values.items())
        if is_secret(name) and isinstance(text, str)
    )


def facts_of(found: Any, target: Target) -> tuple[Fact, ...]:  # noqa: ANN401 (a function, a class, or what can be called)
    """Say what rows depend on in the arguments of a target. Raises as ``values_of`` does."""
    values = values_of(found, target)
    return facts_of_values(values, step=target.name) if target.arguments.typed else target.arguments.facts


def facts_of_values(values: Mapping[str, Any], *, step: str) -> tuple[Fact, ...]:
    """Say what rows depend on in the values: themselves where they are short and no secret, else a digest."""
    from .facts import facts_of_value  # noqa: PLC0415 (a command line's own process only names targets)

    facts: list[Fact] = []
    for name, value in sorted(values.items()):
        what = f"the argument {name!r} of {step!r}"
        shown = _shown(value)
        if shown and not holds_secret(name, shown):
            facts.append(Fact(what, shown))
        else:
            facts += facts_of_value(what, (value,))  # or a number is shown
    return tuple(facts)


def _shown(value: object) -> str:
    """Write a short plain value as JSON does; nothing for any other."""
    if not isinstance(value, str | int | float | bool | list | dict | None):
        return ""
    try:
        text = json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError):
        return ""
    return text if len(text) <= _LONGEST and json.loads(text) == value else ""


def values_of(found: Any, target: Target) -> dict[str, Any]:  # noqa: ANN401 (likewise)
    """Read the arguments of a target. Raises ``UsageError`` for one that there is none of, or none for."""
    arguments = target.arguments
    parameters = _parameters(found)
    _check_names(found, target, parameters)
    values = {
        name: _read(text, name, parameters.get(name), target=target, found=found) for name, text in arguments.typed
    }
    values |= _given(arguments)
    _check_complete(found, target, parameters, values)
    return values


def _given(arguments: Arguments) -> Mapping[str, Any]:
    if arguments.own in _own:
        return _own[arguments.own].values
    if not (arguments.carried.pickle or arguments.carried.file):
        return {}
    from .laid_down import restored  # noqa: PLC0415 (most functions have no arguments)

    values: Mapping[str, Any] = restored(arguments.carried)
    return values


def bound(found: Any, values: Mapping[str, Any]) -> Any:  # noqa: ANN401 (likewise)
    """Make what is called with a batch: a class is built with the arguments, a function gets them with each call."""
    if isinstance(found, type):
        return found(**values)
    return functools.partial(found, **values) if values else found


def _parameters(found: Any) -> dict[str, Parameter]:  # noqa: ANN401 (likewise)
    """List what can be given by name: of a class all that it is built with, of a function all but the batch."""
    signature = _signature(found)
    if signature is None:
        return {"": Parameter("anything", Parameter.VAR_KEYWORD)}
    parameters = list(signature.parameters.values())
    if not isinstance(found, type) and parameters and parameters[0].kind in _BY_PLACE:
        parameters = parameters[1:]
    return {one.name: one for one in parameters}


def _signature(found: Any) -> Signature | None:  # noqa: ANN401 (likewise)
    try:
        return inspect.signature(found)
    except (TypeError, ValueError):  # compiled code may not say
        return None


def _check_names(found: Any, target: Target, parameters: Mapping[str, Parameter]) -> None:  # noqa: ANN401 (likewise)
    takes_any = any(one.kind is Parameter.VAR_KEYWORD for one in parameters.values())
    allowed = [name for name, one in parameters.items() if one.kind in _BY_NAME]
    for name in (*(name for name, _ in target.arguments.typed), *_given(target.arguments)):
        if name in allowed or takes_any or name in _named_by_wrapper(found):
            continue
        if name in parameters and parameters[name].kind is Parameter.POSITIONAL_ONLY:
            raise UsageError(_only_by_place(found, target, name))
        if name in _named_in_call(found):
            raise UsageError(
                f"{_shown_signature(found, target)} has no parameter {name!r}; its __call__ has, and that gets the"
                f" batch alone. Take {name!r} in __init__ and keep it in self."
            )
        near = nearest(name, allowed)
        meant = f" Did you mean --arg {near}=...?" if near else ""
        others = f" It takes: {', '.join(allowed)}." if allowed else " It takes no arguments besides the batch."
        if isinstance(found, type) and not allowed:
            others = " It is built without arguments."
        batch = f" {name!r} is the batch, which muster gives." if name == _batch(found) else ""
        raise UsageError(f"{_shown_signature(found, target)} has no parameter {name!r}.{meant or others}{batch}")


def _batch(found: Any) -> str:  # noqa: ANN401 (likewise)
    """Name the parameter that the batch goes to; empty for a class, which is called later."""
    signature = None if isinstance(found, type) else _signature(found)
    first = next(iter(signature.parameters.values()), None) if signature else None
    return first.name if first is not None and first.kind in _BY_PLACE else ""


def _only_by_place(found: Any, target: Target, name: str) -> str:  # noqa: ANN401 (likewise)
    return (
        f"{_shown_signature(found, target)} takes {name!r} by its place alone, as it stands before the /, and arguments"
        f" are given by name. Write the / before {name!r}, or give the parameter a default and leave it out."
    )


def _named_by_wrapper(found: Any) -> frozenset[str]:  # noqa: ANN401 (likewise)
    """Name what a decorator itself takes, whatever it passes on to the function that it wraps."""
    if not hasattr(found, "__wrapped__"):
        return frozenset()
    own = list(inspect.signature(found, follow_wrapped=False).parameters.values())
    return frozenset(one.name for one in own[1:] if one.kind in _BY_NAME)  # the first is the batch


def _named_in_call(found: Any) -> frozenset[str]:  # noqa: ANN401 (likewise)
    call = vars(found).get("__call__") if isinstance(found, type) else None
    return frozenset(list(inspect.signature(call).parameters)[2:]) if inspect.isfunction(call) else frozenset()


def _check_complete(
    found: Any,  # noqa: ANN401 (likewise)
    target: Target,
    parameters: Mapping[str, Parameter],
    values: Mapping[str, Any],
) -> None:
    if hasattr(found, "__wrapped__") and not isinstance(found, type):  # what wraps it may give it what it lacks
        return
    lacking = [
        name
        for name, one in parameters.items()
        if one.default is Parameter.empty and name not in values and one.kind in (*_BY_NAME, Parameter.POSITIONAL_ONLY)
    ]
    if not lacking:
        return
    if (
        not isinstance(found, type)
        and all(one.kind in _ONLY_BY_NAME for one in parameters.values())
        and not _batch(found)
    ):
        raise UsageError(
            f"{_shown_signature(found, target)} takes nothing by its place, and so the batch is given. Write the"
            f" parameter for the batch before the *, as in {target.name}(df, *, ...)."
        )
    for name in lacking:
        if parameters[name].kind is Parameter.POSITIONAL_ONLY:
            raise UsageError(_only_by_place(found, target, name))
    flags = " ".join(f"--arg {name}=..." for name in lacking)
    when = "when it is built" if isinstance(found, type) else "besides the batch"
    raise UsageError(
        f"{_shown_signature(found, target)} needs {' and '.join(map(repr, lacking))} {when}. Give"
        f" {'it' if len(lacking) == 1 else 'them'} with {flags}, or give the parameter a default."
    )


def _shown_signature(found: Any, target: Target) -> str:  # noqa: ANN401 (likewise)
    signature = _signature(found)
    return f"{target.name}{signature if signature is not None else '(...)'}"


def _read(text: str, name: str, parameter: Parameter | None, *, target: Target, found: Any) -> Any:  # noqa: ANN401 (likewise)
    annotation = _annotation(found, name, parameter)
    try:
        return value_of(text, annotation)
    except ValueError as error:
        shown = "..." if is_secret(name) else text
        raise UsageError(
            f"--arg {name}={shown}: {_shown_signature(found, target)} takes {_said(annotation)}, and that is none."
            f" {_what_to_type(name, annotation)}"
        ) from (None if is_secret(name) else error)


def _what_to_type(name: str, annotation: Any) -> str:  # noqa: ANN401 (likewise)
    if not is_readable(annotation):
        return (
            "Nothing that can be typed is one. Take a text or a number and make it of that, or call muster.run in"
            " Python with args."
        )
    example = example_of(annotation)
    return f"Type for example --arg {name}={example}." if example else "Type another value."


def _annotation(found: Any, name: str, parameter: Parameter | None) -> Any:  # noqa: ANN401 (likewise)
    """Tell the annotation of a parameter; nothing where it cannot be found out."""
    if parameter is None or parameter.annotation is Parameter.empty:
        return None
    if not isinstance(parameter.annotation, str):
        return parameter.annotation
    plain = inspect.unwrap(found.func if isinstance(found, functools.partial) else found)
    if isinstance(plain, type):
        plain = vars(plain).get("__init__", plain.__new__)
    elif not inspect.isroutine(plain):
        plain = type(plain).__call__
    alone = types.SimpleNamespace(__annotations__={name: parameter.annotation})  # others may be of what is not there
    try:
        return typing.get_type_hints(alone, vars(sys.modules[plain.__module__]) | getattr(plain, "__globals__", {}))[
            name
        ]
    except Exception:  # noqa: BLE001 (whatever stands there)
        return _BY_WORD.get(parameter.annotation.rpartition(".")[2])


def _said(annotation: Any) -> str:  # noqa: ANN401 (likewise)
    return annotation.__name__ if isinstance(annotation, type) else str(annotation)
