"""The nouns that may come home from machines: by name, and each with fields that are looked at before it is made.

All are frozen and do nothing when they are made. A question's answer is looked at likewise, by what its ``answer``
says that it gives.
"""

import functools
import importlib
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any, Final, NamedTuple, get_args, get_origin

from muster._engines.frames import GarbledError

_HOMES: Final[Mapping[str, str]] = {
    name: module
    for module, names in {
        "muster._engines.base": "Began Done Failed Lost Joined Left Told",
        "muster._engines.on_ray.station": "Printed Ended",
        "muster._engines.on_ray.keeping": "Unsupplied",
        "muster._model.code": "DataFile Fact Module",
        "muster._model.groups": "LaneShare PlaceRange",
        "muster._model.inputs": "LocalCopy Column",
        "muster._model.measures": "Seconds StepMeasure Load",
        "muster._model.outcomes": "Outcome Outcomes FailedGroup Reason Fault Warned",
        "muster._model.pieces": "Piece PieceLocation Span",
        "muster._model.tasks": "Task Schema LethalKeys",
        "muster._model.windows": "WindowsSeen",
        "muster._user_code.described": "Described",
        "muster._formats.stitch": "ScannedBlock Flow",
        "muster._formats.layouts": "FileLayout Agreed",
        "muster._formats.excerpts": "SectionEnd",
        "muster._formats.gaps": "Looks GroupRows",
        "muster._formats.lanes": "Weighed",
        "muster._formats.settled": "CommonSchema",
        "muster._formats.parquet_footer": "ColumnChunk ColumnChunks",
        "muster._worker.compare": "Compared",
        "muster._worker.profiled": "Profiled SourceLine Function",
        "muster._travel.parcels": "Returned Unanswered",
    }.items()
    for name in names.split()
}
"""Where each noun is, whose module is loaded when it comes."""


class Fields(NamedTuple):
    """What a noun is called, and what its fields hold, in order."""

    name: str
    hints: Mapping[str, Any]


@functools.cache
def named(kind: type[Any]) -> Fields | None:
    """Tell what a noun that may come home is made of; ``None`` for any other type."""
    if _HOMES.get(kind.__name__) != kind.__module__:
        return None
    hints = typing.get_type_hints(kind)
    names = [field.name for field in fields(kind)] if is_dataclass(kind) else kind._fields
    return Fields(kind.__name__, {name: hints[name] for name in names})


class _Mould(NamedTuple):
    """A noun, and what each of its fields is looked at by, in order."""

    kind: type[Any]
    fields: Sequence[tuple[str, "Check"]]


def noun(name: str, values: Sequence[object]) -> object:
    """Make a noun of the values of its fields. Raises ``GarbledError`` for a name or a value that it cannot have."""
    mould = _mould(name)
    if not isinstance(values, list) or len(values) != len(mould.fields):
        raise GarbledError(f"{name} has other fields")
    for (field, fits_in), value in zip(mould.fields, values, strict=True):
        if not fits_in(value):
            raise GarbledError(f"{name} cannot have {field} {str(value)[:100]!r}")
    return mould.kind(*values)


@functools.cache
def _mould(name: str) -> _Mould:
    if name not in _HOMES:
        raise GarbledError(f"{name!r} is no noun that comes home")
    kind = getattr(importlib.import_module(_HOMES[name]), name)
    made_of = named(kind)
    return _Mould(kind, [(field, check(hint)) for field, hint in made_of.hints.items()] if made_of else [])


@functools.cache
def answer_of(question: type) -> Any:  # noqa: ANN401 (a hint)
    """Tell what a question's answer must be; anything where it does not say."""
    answer = getattr(question, "answer", None)
    return Any if answer is None else typing.get_type_hints(answer).get("return", Any)


Check = Callable[[object], bool]
"""Tells whether a value is what a hint says, through and through."""


def fits(value: object, hint: Any) -> bool:  # noqa: ANN401 (a hint)
    """Tell whether a value is what a hint says."""
    return check(hint)(value)


@functools.cache
def check(hint: Any) -> Check:  # noqa: ANN401, PLR0911 (a hint, which has many kinds)
    """Make what tells whether a value is what a hint says: once for a hint, as values come by the million."""
    origin, inner = get_origin(hint), get_args(hint)
    if hint is Any or hint is object:
        return lambda _: True
    if origin in {typing.Union, types.UnionType}:
        return _any_of([check(one) for one in inner])
    if origin is tuple and inner[-1:] != (...,):
        return _all_of([check(one) for one in inner])
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return _mapping(check(inner[0]), check(inner[1]))
    if isinstance(origin, type):
        return _collection(origin, check(inner[0]))
    if hint is float:
        return lambda value: isinstance(value, int | float) and not isinstance(value, bool)
    if hint is int:
        return lambda value: isinstance(value, int) and not isinstance(value, bool)
    kind = types.NoneType if hint is None else hint
    return lambda value: isinstance(value, kind)


def _any_of(checks: Sequence[Check]) -> Check:
    return lambda value: any(one(value) for one in checks)


def _all_of(checks: Sequence[Check]) -> Check:
    def fits_all(value: object) -> bool:
        return (
            isinstance(value, tuple)
            and len(value) == len(checks)
            and all(one(own) for one, own in zip(checks, value, strict=True))
        )

    return fits_all


def _mapping(key: Check, of: Check) -> Check:
    return lambda value: isinstance(value, dict) and all(key(one) and of(own) for one, own in value.items())


def _collection(kind: type[Any], of: Check) -> Check:
    return lambda value: isinstance(value, kind) and all(of(one) for one in value)
