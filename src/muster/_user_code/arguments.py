"""Arguments of the user's function besides the batch, or of its class when it is built."""

import functools
import json
import os
import weakref
from collections.abc import Mapping, Sequence
from inspect import Parameter
from typing import Any, Final

from muster._model import Arguments, Fact, Target
from muster._private.secrets import hide, holds_secret, is_secret
from muster._words import bare
from muster.errors import UsageError

from . import signature
from .typed import example_of, is_readable, value_of

STATE: Final = "__state__"
"""The name under which what makes states travels with the arguments; no parameter is called so."""

_LONGEST: Final = 80
"""Letters of an example that fits into a line of an error."""

_own: Final[weakref.WeakValueDictionary[str, Arguments]] = weakref.WeakValueDictionary()
"""Arguments that were given to this very process, which passes on the objects themselves, not copies."""


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
            f"The arguments of {step!r} cannot be sent to workers: {bare(error)}. Make what they hold (a lock, a file,"
            " a connection) inside the function, or in the __init__ of a class."
        ).quoting(bare(error)) from error
    _own[arguments.own] = arguments
    return arguments


def hide_secrets(arguments: Arguments) -> None:
    """Have the values of arguments struck out of all messages from now on whose names say that they are secret."""
    hide(
        text
        for name, text in (*arguments.typed, *arguments.values.items())
        if is_secret(name) and isinstance(text, str)
    )


def facts_of(function: Any, target: Target) -> tuple[Fact, ...]:  # noqa: ANN401 (a function, a class, or what can be called)
    """Say what rows depend on in the arguments of a target. Raises as ``values_of`` does."""
    values = values_of(function, target)
    return facts_of_values(values, step=target.name) if target.arguments.typed else target.arguments.facts


def facts_of_values(values: Mapping[str, Any], *, step: str) -> tuple[Fact, ...]:
    """Say what rows depend on in the values: the values where they are short and no secret, else digests."""
    from .facts import facts_of_value

    facts: list[Fact] = []
    for name, value in sorted(values.items()):
        what = f"the state of {step!r}" if name == STATE else f"the argument {name!r} of {step!r}"
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


def values_of(function: Any, target: Target) -> dict[str, Any]:  # noqa: ANN401 (likewise)
    """Read the arguments of a target. Raises ``UsageError`` for one without a parameter, and one that is missing."""
    arguments, own = target.arguments, {**_given(target.arguments)}
    own.pop(STATE, None)
    parameters = signature.parameters_of(function)
    names = (*(name for name, _ in arguments.typed), *own)
    takes_two = target.has_state or target.is_of_groups
    if takes_two and not isinstance(function, type) and signature.takes_key(function, names):
        del parameters[next(iter(parameters))]
    signature.check_names(function, target, parameters, names)
    values = {
        name: _read(text, name, parameters.get(name), target=target, function=function)
        for name, text in arguments.typed
    }
    values |= own
    signature.check_complete(function, target, parameters, values)
    return values


def state_of(target: Target) -> Any:  # noqa: ANN401 (what can be called without arguments)
    """Return what makes the state of a key."""
    return _given(target.arguments)[STATE]


def _given(arguments: Arguments) -> Mapping[str, Any]:
    if arguments.own in _own:
        return _own[arguments.own].values
    if not (arguments.carried.pickle or arguments.carried.file):
        return {}
    from .shared_objects import restored

    values: Mapping[str, Any] = restored(arguments.carried)
    return values


def bound(function: Any, values: Mapping[str, Any]) -> Any:  # noqa: ANN401 (likewise)
    """Make what is called with a batch: a class is built with the arguments, a function gets them with each call."""
    if isinstance(function, type):
        return function(**values)
    return functools.partial(function, **values) if values else function


def _read(text: str, name: str, parameter: Parameter | None, *, target: Target, function: Any) -> Any:  # noqa: ANN401 (likewise)
    annotation = signature.annotation_of(function, name, parameter)
    try:
        return value_of(text, annotation)
    except ValueError as error:
        shown = "..." if is_secret(name) else text
        raise UsageError(
            f"--arg {name}={shown}: {signature.shown(function, target)} takes {_said(annotation)}, and that is none."
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


def _said(annotation: Any) -> str:  # noqa: ANN401 (likewise)
    return annotation.__name__ if isinstance(annotation, type) else str(annotation)
