"""What the user's function takes besides the batch: the names of its parameters, and what is wrong with others."""

import datetime as dt
import functools
import inspect
import sys
import types
import typing
from collections.abc import Iterable, Mapping
from decimal import Decimal
from inspect import Parameter, Signature
from pathlib import Path
from typing import Any, Final

from muster._model import Target
from muster._words.near import nearest
from muster.errors import UsageError

_BY_NAME: Final = (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)
_ONLY_BY_NAME: Final = (Parameter.KEYWORD_ONLY, Parameter.VAR_KEYWORD)
_BY_PLACE: Final = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
_BY_WORD: Final = {kind.__name__: kind for kind in (int, float, bool, str, dt.date, dt.datetime, Decimal, Path)}
"""What an annotation means that is text, and whose names exist only for type checkers."""


def parameters_of(function: Any) -> dict[str, Parameter]:  # noqa: ANN401 (a function, a class, or what can be called)
    """List the parameters besides the batch: of a class those that it is built with."""
    signature = _signature(function)
    if signature is None:
        return {"": Parameter("anything", Parameter.VAR_KEYWORD)}
    parameters = list(signature.parameters.values())
    if not isinstance(function, type) and parameters and parameters[0].kind in _BY_PLACE:
        parameters = parameters[1:]
    return {parameter.name: parameter for parameter in parameters}


def takes_key(function: Any, given: Iterable[str] = ()) -> bool:  # noqa: ANN401 (a function, or what can be called)
    """Tell whether a function of groups takes their keys, too: behind the rows, by place, and without a default."""
    signature = _signature(function)
    places = [one for one in signature.parameters.values() if one.kind in _BY_PLACE] if signature else []
    return len(places) > 1 and places[1].default is Parameter.empty and places[1].name not in given


def cannot_be_built(kind: type) -> str:
    """Say which arguments a class needs to be built; empty where it needs none, or does not say."""
    try:
        if (signature := _signature(kind)) is not None:
            signature.bind()
    except TypeError as error:
        return str(error)
    return ""


def _signature(function: Any) -> Signature | None:  # noqa: ANN401 (likewise)
    try:
        return inspect.signature(function)
    except (TypeError, ValueError):  # compiled code may not say
        return None


def check_names(
    function: Any,  # noqa: ANN401 (likewise)
    target: Target,
    parameters: Mapping[str, Parameter],
    names: Iterable[str],
) -> None:
    """Raise ``UsageError`` for a name that is none of the parameters, with the one that was meant."""
    takes_any = any(parameter.kind is Parameter.VAR_KEYWORD for parameter in parameters.values())
    allowed = [name for name, parameter in parameters.items() if parameter.kind in _BY_NAME]
    for name in names:
        if name in allowed or takes_any or name in _named_by_wrapper(function):
            continue
        if name in parameters and parameters[name].kind is Parameter.POSITIONAL_ONLY:
            raise UsageError(_only_by_place(function, target, name))
        if name in _named_in_call(function):
            raise UsageError(
                f"{shown(function, target)} has no parameter {name!r}; its __call__ has, and that gets the"
                f" batch alone. Take {name!r} in __init__ and keep it in self."
            )
        near = nearest(name, allowed)
        meant = f" Did you mean --arg {near}=...?" if near else ""
        others = f" It takes: {', '.join(allowed)}." if allowed else " It takes no arguments besides the batch."
        if isinstance(function, type) and not allowed:
            others = " It is built without arguments."
        batch = f" {name!r} is the batch, which muster gives." if name == _batch(function) else ""
        raise UsageError(f"{shown(function, target)} has no parameter {name!r}.{meant or others}{batch}")


def _named_by_wrapper(function: Any) -> frozenset[str]:  # noqa: ANN401 (likewise)
    """Name the parameters of a decorator's wrapper, which may differ from those of the function that it wraps."""
    if not hasattr(function, "__wrapped__"):
        return frozenset()
    own = list(inspect.signature(function, follow_wrapped=False).parameters.values())
    return frozenset(parameter.name for parameter in own[1:] if parameter.kind in _BY_NAME)  # the first is the batch


def _named_in_call(function: Any) -> frozenset[str]:  # noqa: ANN401 (likewise)
    call = vars(function).get("__call__") if isinstance(function, type) else None
    return frozenset(list(inspect.signature(call).parameters)[2:]) if inspect.isfunction(call) else frozenset()


def _batch(function: Any) -> str:  # noqa: ANN401 (likewise)
    """Name the parameter that the batch goes to; empty for a class, which is called later."""
    signature = None if isinstance(function, type) else _signature(function)
    first = next(iter(signature.parameters.values()), None) if signature else None
    return first.name if first is not None and first.kind in _BY_PLACE else ""


def check_complete(
    function: Any,  # noqa: ANN401 (likewise)
    target: Target,
    parameters: Mapping[str, Parameter],
    values: Mapping[str, Any],
) -> None:
    """Raise ``UsageError`` where a parameter without a default has no value."""
    if hasattr(function, "__wrapped__") and not isinstance(function, type):  # a decorator may add the arguments
        return
    lacking = [
        name
        for name, parameter in parameters.items()
        if parameter.default is Parameter.empty
        and name not in values
        and parameter.kind in (*_BY_NAME, Parameter.POSITIONAL_ONLY)
    ]
    if not lacking:
        return
    if (
        not isinstance(function, type)
        and all(parameter.kind in _ONLY_BY_NAME for parameter in parameters.values())
        and not _batch(function)
    ):
        raise UsageError(
            f"{shown(function, target)} takes nothing by its place, and so the batch is given. Write the"
            f" parameter for the batch before the *, as in {target.name}(df, *, ...)."
        )
    for name in lacking:
        if parameters[name].kind is Parameter.POSITIONAL_ONLY:
            raise UsageError(_only_by_place(function, target, name))
    if lacking[0] in _OF_KEYS and not isinstance(function, type):
        raise UsageError(_is_of_keys(function, target, lacking[0]))
    flags = " ".join(f"--arg {name}=..." for name in lacking)
    when = "when it is built" if isinstance(function, type) else "besides the batch"
    raise UsageError(
        f"{shown(function, target)} needs {' and '.join(map(repr, lacking))} {when}. Give"
        f" {'it' if len(lacking) == 1 else 'them'} with {flags}, or give the parameter a default."
    )


_OF_KEYS: Final = {
    "states": ("states", 'key_by("column").map_batches({}, state=...)'),
    "state": ("states", 'key_by("column").map_batches({}, state=...)'),
    "key": ("the key of a group", 'group_by("column").map_groups({})'),
}
"""Parameters that muster fills where rows come by keys, by the names that docs give them: how the pipeline says so."""


def _is_of_keys(function: Any, target: Target, name: str) -> str:  # noqa: ANN401 (likewise)
    what, call = _OF_KEYS[name]
    stars = f" There {name!r} is given by its place: no * may stand before it." if _is_by_name(function, name) else ""
    return (
        f"{shown(function, target)} needs {name!r} besides the batch. If it takes {what}, rows have to come by keys:"
        f" define pipeline = muster.read_csv(...).{call.format(target.name)}.write_csv(...) in the file, and run that."
        f"{stars}"
        f" If not, give it with --arg {name}=..., or give the parameter a default."
    )


def _is_by_name(function: Any, name: str) -> bool:  # noqa: ANN401 (likewise)
    """Tell whether a parameter can be given by its name alone."""
    signature = _signature(function)
    parameter = None if signature is None else signature.parameters.get(name)
    return parameter is not None and parameter.kind is parameter.KEYWORD_ONLY


def _only_by_place(function: Any, target: Target, name: str) -> str:  # noqa: ANN401 (likewise)
    return (
        f"{shown(function, target)} takes {name!r} by its place alone, as it stands before the /, and arguments"
        f" are given by name. Write the / before {name!r}, or give the parameter a default and leave it out."
    )


def shown(function: Any, target: Target) -> str:  # noqa: ANN401 (likewise)
    """Write a function as it is defined: ``f(df, n=3)``."""
    signature = _signature(function)
    return f"{target.name}{signature if signature is not None else '(...)'}"


def annotation_of(function: Any, name: str, parameter: Parameter | None) -> Any:  # noqa: ANN401 (likewise)
    """Tell the annotation of a parameter; nothing where it cannot be found out."""
    if parameter is None or parameter.annotation is Parameter.empty:
        return None
    if not isinstance(parameter.annotation, str):
        return parameter.annotation
    plain = inspect.unwrap(function.func if isinstance(function, functools.partial) else function)
    if isinstance(plain, type):
        plain = vars(plain).get("__init__", plain.__new__)
    elif not inspect.isroutine(plain):
        plain = type(plain).__call__
    # Only this one: the others may name types that exist for type checkers alone.
    alone = types.SimpleNamespace(__annotations__={name: parameter.annotation})
    try:
        return typing.get_type_hints(alone, vars(sys.modules[plain.__module__]) | getattr(plain, "__globals__", {}))[
            name
        ]
    except Exception:  # noqa: BLE001 (whatever stands there)
        return _BY_WORD.get(parameter.annotation.rpartition(".")[2])
