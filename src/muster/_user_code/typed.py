"""Read arguments that were typed on a command line: by the parameter's annotation, else as JSON, else as text."""

import enum
import json
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any, Final, Literal, get_args, get_origin

_WORDS: Final = {"True": True, "False": False, "None": None}
"""Python's words for what JSON writes in small letters: as text, ``False`` would count as true."""

_TRUE: Final = frozenset({"true", "yes", "on", "1"})
_FALSE: Final = frozenset({"false", "no", "off", "0"})
_SEQUENCES: Final = {list: list, tuple: tuple, set: set, frozenset: frozenset, Sequence: list}
_MAPPINGS: Final = (dict, Mapping)


def value_of(text: str, annotation: Any) -> Any:  # noqa: ANN401, PLR0911 (a case for each kind of annotation)
    """Read a text as an annotation asks. Raises ``ValueError`` where it cannot be read so."""
    origin = get_origin(annotation) or annotation
    if origin in {typing.Union, types.UnionType}:
        return _one_of(text, get_args(annotation))
    if origin is Literal:
        return _choice(text, get_args(annotation))
    if origin in _READERS:
        return _READERS[origin](text)
    if origin in _SEQUENCES or origin in _MAPPINGS:
        return _collection(text, origin)
    if isinstance(origin, type) and issubclass(origin, enum.Enum):
        return _member(text, origin)
    if isinstance(origin, type) and issubclass(origin, PurePath):
        return origin(text)
    return _as_json_or_text(text)


def _as_json_or_text(text: str) -> Any:  # noqa: ANN401 (what JSON can hold)
    try:
        return _WORDS[text] if text in _WORDS else _json(text)
    except ValueError:
        return text


def _json(text: str) -> Any:  # noqa: ANN401 (likewise)
    return json.loads(text, parse_constant=_no_constant)


def _no_constant(name: str) -> Any:  # noqa: ANN401 (it returns nothing)
    raise ValueError(f"{name} is no JSON")  # Python's json takes NaN and Infinity


def _one_of(text: str, kinds: Sequence[Any]) -> Any:  # noqa: ANN401 (likewise)
    """Read it as the first that it can be read as; ``None`` first, then all but text, which takes anything."""
    if types.NoneType in kinds and text in {"null", "None"}:
        return None
    others = [kind for kind in kinds if kind is not types.NoneType]
    for kind in sorted(others, key=lambda kind: kind is str or kind is Path):
        try:
            return value_of(text, kind)
        except ValueError:
            continue
    raise ValueError(text)


def _choice(text: str, choices: Sequence[Any]) -> Any:  # noqa: ANN401 (likewise)
    found = next((one for one in choices if text in {one, str(one)}), _WORDS)
    if found is _WORDS:
        raise ValueError(text)
    return found


def _member(text: str, kind: type[enum.Enum]) -> enum.Enum:
    if text in kind.__members__:
        return kind[text]
    return kind(_as_json_or_text(text))


def _truth(text: str) -> bool:
    word = text.lower()
    if word not in _TRUE | _FALSE:
        raise ValueError(text)
    return word in _TRUE


def _collection(text: str, kind: Any) -> Any:  # noqa: ANN401 (likewise)
    value = _json(text)
    if kind in _SEQUENCES and isinstance(value, list):
        return _SEQUENCES[kind](value)
    if kind in _MAPPINGS and isinstance(value, dict):
        return value
    raise ValueError(text)


_READERS: Final[Mapping[Any, Callable[[str], Any]]] = {
    str: str,
    int: int,
    float: float,
    complex: complex,
    bool: _truth,
    bytes: str.encode,
}
