"""Read arguments that were typed on a command line: by the parameter's annotation, else as JSON, else as text."""

import datetime as dt
import enum
import json
import re
import types
import typing
from collections import abc
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from pathlib import PurePath
from typing import Any, Final, Literal, get_args, get_origin

from .scalars import EXAMPLES, as_json_or_text, from_json, reader_of

_SEQUENCES: Final[Mapping[Any, Callable[[list[Any]], Any]]] = {
    **dict.fromkeys((list, abc.Sequence, abc.MutableSequence, abc.Iterable, abc.Collection), list),
    **dict.fromkeys((set, abc.MutableSet), set),
    **dict.fromkeys((frozenset, abc.Set), frozenset),
    tuple: tuple,
}
_MAPPINGS: Final = (dict, abc.Mapping, abc.MutableMapping)
_OF_JSON: Final[tuple[Any, ...]] = (None, True, 1, 0.5, "", [], {})
_PLAIN: Final = (str, int, float, bool)
"""What JSON has itself: within a list, a value of these has to be one already."""


def value_of(text: str, annotation: Any) -> Any:  # noqa: ANN401 (a case for each kind of annotation)
    """Read a text as an annotation asks. Raises ``ValueError`` where it cannot be read so."""
    annotation = _plain(annotation)
    origin = get_origin(annotation) or annotation
    if origin in {typing.Union, types.UnionType}:
        return _one_of(text, get_args(annotation), value_of)
    if origin is Literal:
        return _choice(text, get_args(annotation))
    if origin in _SEQUENCES or origin in _MAPPINGS:
        return _held(from_json(text), annotation)
    if (read := reader_of(origin)) is not None:
        try:
            return read(text)
        except (ArithmeticError, TypeError, re.error) as error:  # as Decimal and patterns have it
            raise ValueError(text) from error
    value = as_json_or_text(text)
    if not _is_one(value, origin):
        raise ValueError(text)
    return value


def example_of(annotation: Any) -> str:  # noqa: ANN401 (likewise)
    """Show a text that an annotation can be read from; empty where there is none that is known."""
    annotation = _plain(annotation)
    origin, own = get_origin(annotation) or annotation, get_args(annotation)
    if origin in {typing.Union, types.UnionType}:
        return next(filter(None, (example_of(kind) for kind in own if kind is not types.NoneType)), "")
    if origin is Literal:
        return " or ".join(map(str, own))
    if isinstance(origin, type) and issubclass(origin, enum.Enum):
        return " or ".join(origin.__members__)
    if origin in _SEQUENCES:
        return f"'[{_within(own[0])}, ...]'" if own else "'[1, 2]'"
    if origin in _MAPPINGS:
        return f"'{{\"a\": {_within(own[1])}}}'" if own else "'{\"a\": 1}'"
    return EXAMPLES.get(origin, "")


def is_readable(annotation: Any) -> bool:  # noqa: ANN401 (likewise)
    """Tell whether there is any text that an annotation can be read from: of most classes there is none."""
    annotation = _plain(annotation)
    origin = get_origin(annotation) or annotation
    if origin in {typing.Union, types.UnionType}:
        return any(map(is_readable, get_args(annotation)))
    is_collection = origin in _SEQUENCES or origin in _MAPPINGS
    return is_collection or reader_of(origin) is not None or any(_is_one(value, origin) for value in _OF_JSON)


def _within(annotation: Any) -> str:  # noqa: ANN401 (likewise)
    """Show an example as it stands within JSON."""
    example = example_of(annotation).strip("'").split(" or ")[0]
    return example if get_origin(annotation) or annotation in {int, float, bool} else f'"{example or "a"}"'


def _plain(annotation: Any) -> Any:  # noqa: ANN401 (likewise)
    """Leave out what an annotation says besides a type, and what it calls it."""
    while True:
        if get_origin(annotation) is typing.Annotated:
            annotation = get_args(annotation)[0]
        elif hasattr(annotation, "__supertype__"):  # a NewType
            annotation = annotation.__supertype__
        elif type(annotation).__name__ == "TypeAliasType":
            annotation = annotation.__value__
        else:
            return annotation


def _held(value: Any, annotation: Any) -> Any:  # noqa: ANN401 (likewise)
    """Take a value that JSON holds as an annotation asks."""
    annotation = _plain(annotation)
    origin, own = get_origin(annotation) or annotation, get_args(annotation)
    if origin in {typing.Union, types.UnionType}:
        return _one_of(value, own, _held)
    if origin in _SEQUENCES and isinstance(value, list):
        return _SEQUENCES[origin](_elements(value, origin, own))
    if origin in _MAPPINGS and isinstance(value, dict):
        of_key, of_value = own or (Any, Any)
        return {value_of(key, of_key) if own else key: _held(item, of_value) for key, item in value.items()}
    if origin in _SEQUENCES or origin in _MAPPINGS:
        raise ValueError(value)
    if origin in _PLAIN or origin is types.NoneType:
        if not _is_one(value, origin):
            raise ValueError(value)
        return float(value) if origin is float else value
    if origin is Literal or reader_of(origin) is not None:
        return value_of(value if isinstance(value, str) else json.dumps(value), annotation)
    if not _is_one(value, origin):
        raise ValueError(value)
    return value


def _elements(values: list[Any], origin: Any, own: Sequence[Any]) -> list[Any]:  # noqa: ANN401 (likewise)
    if origin is tuple and own and own[-1] is not Ellipsis:
        return [_held(item, kind) for item, kind in zip(values, own, strict=True)]
    return [_held(item, own[0]) for item in values] if own else values


def _is_one(value: Any, kind: Any) -> bool:  # noqa: ANN401 (likewise)
    """Tell whether what JSON holds is of a class; a truth value counts as no number, a whole number as a float."""
    if kind is types.NoneType:
        return value is None
    if isinstance(value, bool) and kind in _PLAIN:
        return kind is bool
    try:
        return isinstance(value, int | float) if kind is float else isinstance(value, kind)
    except TypeError:  # an annotation that nothing can be compared with, such as Any
        return True


def _one_of(value: Any, kinds: Sequence[Any], read: Callable[[Any, Any], Any]) -> Any:  # noqa: ANN401 (likewise)
    """Read it as the narrowest that it can be read as; ``None`` first, text last, which takes anything."""
    if types.NoneType in kinds and (value is None or (read is value_of and value in {"null", "None"})):
        return None
    for kind in sorted((kind for kind in kinds if kind is not types.NoneType), key=_width):
        try:
            return read(value, kind)
        except ValueError:
            continue
    raise ValueError(value)


def _width(kind: Any) -> int:  # noqa: ANN401 (likewise)
    kind = _plain(kind)
    order = (Literal, int, bool, float, Decimal, dt.date, dt.datetime)
    origin = get_origin(kind) or kind
    if origin in order:
        return order.index(origin)
    return len(order) + (2 if origin in {str, bytes} or _is_path(origin) else 0 if reader_of(origin) else 1)


def _is_path(kind: Any) -> bool:  # noqa: ANN401 (likewise)
    return isinstance(kind, type) and issubclass(kind, PurePath)


def _choice(text: str, choices: Sequence[Any]) -> Any:  # noqa: ANN401 (likewise)
    value = as_json_or_text(text)
    for choice in choices:
        if text in {choice, str(choice)} or (type(choice), choice) == (type(value), value):
            return choice
    raise ValueError(text)
