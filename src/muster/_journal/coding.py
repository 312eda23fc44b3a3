"""Events as the fields of their lines of JSON, and back.

A line holds the kind, the time of day, and the fields of the class. Fields that have their default are left out, and a
field that a reader does not know is passed over: so an earlier journal, or a later one of the same format, is read. A
journal whose format is later, or that lacks a field, is refused in words (``UnreadableError``).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from types import UnionType
from typing import Any, Final, get_args, get_origin, get_type_hints

from muster._model import DataFile, Gap, LaneShare, PlaceRange, Schema, StageKind, WindowsDone
from muster._planner import Plan

from . import fields
from .events import (
    FORMAT,
    NOTHING,
    OF_KIND,
    Committed,
    EpochBegan,
    Event,
    Exchanged,
    Fields,
    FilesMoved,
    Kept,
    KeptLater,
    Other,
    OutputLayout,
    Read,
    Settled,
    Shaped,
    Started,
    StatesDone,
    Surveyed,
    Totals,
    UnreadableError,
)

_AT_SEEN: Final = StatesDone._fields.index("seen")
_NO_DEFAULT: Final = object()
"""Differs from every value that a field may have."""


def as_fields(event: Event, numbers: Mapping[Schema, int] = NOTHING) -> Fields:
    """Write an event as fields of its line; schemas have the ``numbers`` that the journal has told."""
    if isinstance(event, Kept):  # of which there may be millions
        said = fields.of_outcome(event.outcome, numbers)
        said["worker"] = event.worker
        return said
    if isinstance(event, KeptLater):
        return {**fields.of_outcome(event.outcome, numbers), "worker": event.worker, "stage": event.stage}
    if isinstance(event, Read):
        return event.file._asdict()
    return {name: _NOUNS[name](value) if name in _NOUNS else value for name, value in _unlike_defaults(event).items()}


def _of_states(states: StatesDone) -> tuple[Any, ...]:
    seen = {number: fields.of_bytes(own) for number, own in states.seen.items()}
    windows = {number: tuple(done) for number, done in states.windows.items()}
    return (*states[:_AT_SEEN], seen, *([windows] if windows else []))


_NOUNS: Final[Mapping[str, Callable[[Any], Any]]] = {
    "parts": fields.of_parts,
    "columns": fields.of_columns,
    "agreed": fields.of_bytes,
    "schema": tuple,
    "positions": lambda positions: [*map(tuple, positions)],
    "totals": tuple,
    "states": _of_states,
    "stretches": lambda stretches: [(*stretch[:-1], tuple(stretch.position)) for stretch in stretches],
    "schemas": lambda schemas: [*map(fields.of_bytes, schemas)],
}
"""How fields are written that are no JSON by themselves."""


def _unlike_defaults(event: Event) -> Fields:
    values, defaults = event._asdict(), event._field_defaults
    # The format is written in any case: a line that lacks it is of the first format.
    return {
        name: value for name, value in values.items() if name == "format" or value != defaults.get(name, _NO_DEFAULT)
    }


def of_fields(kind: str, said: Fields, schemas: dict[int, Schema]) -> Event:
    """Read an event from the fields of its line; ``schemas`` are those that were told before, and become more.

    Raises ``UnreadableError``.
    """
    of = OF_KIND.get(kind, Other)
    try:
        if of is Kept:
            return _kept(said, schemas)
        if of is KeptLater:
            return KeptLater(said["stage"], fields.read_outcome(said, schemas), said.get("worker", ""))
        event = _READ[of](said) if of in _READ else _as_it_stands(kind, said)
    except UnreadableError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UnreadableError(
            f"the event {kind!r} is not as this version writes it, unless its line was damaged ({error!r})"
        ) from error
    if isinstance(event, Shaped):
        schemas[event.number] = event.schema
    if isinstance(event, Started) and event.format > FORMAT:
        raise UnreadableError(f"its format is {event.format}, and this version of muster reads up to {FORMAT}")
    return event


def _as_it_stands(kind: str, said: Fields) -> Event:
    """Read an event whose fields are JSON; raise ``TypeError`` where one is of another kind than the class says."""
    of = OF_KIND.get(kind, Other)
    values = {name: said[name] for name in of._fields if name in said}
    for name, value in values.items():
        if not isinstance(value, _kinds(kind)[name]):
            raise TypeError(f"{name} is {value!r}")
    return of(**values)


@cache
def _kinds(kind: str) -> Mapping[str, tuple[type, ...]]:
    """Tell what the fields of an event may be, without what is within them."""
    return {name: tuple(_classes(hint)) for name, hint in get_type_hints(OF_KIND[kind]).items()}


def _classes(hint: Any) -> Iterator[type]:  # noqa: ANN401 (a hint)
    if isinstance(hint, UnionType):
        for one in get_args(hint):
            yield from _classes(one)
    elif hint is Any:
        yield object
    else:
        yield get_origin(hint) or hint
        if hint is float:  # as JSON writes 2.0 in other hands
            yield int


def _kept(said: Fields, schemas: Mapping[int, Schema]) -> Event:
    """Read a task that is done. An early version did not journal the schema of its rows: these are done again."""
    return Other() if "columns" in said else Kept(fields.read_outcome(said, schemas), said.get("worker", ""))


def _surveyed(said: Fields) -> Surveyed:
    return Surveyed(
        parts=fields.read_parts(said["parts"]),
        orders=tuple(tuple(order) for order in said["orders"]),
        columns=fields.read_columns(said["columns"]),
        agreed=fields.read_bytes(said.get("agreed", "")),
        starts={int(at): start for at, start in said.get("starts", {}).items()},
        digests={int(at): digest for at, digest in said.get("digests", {}).items()},
    )


def _committed(said: Fields) -> Committed:
    values = {name: said[name] for name in Committed._fields if name in said}
    values["positions"] = [*map(fields.read_position, said["positions"])]
    values["totals"] = Totals(*said["totals"])
    if "schema" in said:
        values["schema"] = fields.read_schema(said["schema"])
    if "agreed" in said:
        values["agreed"] = fields.read_bytes(said["agreed"])
    if "states" in said:
        log, size, given, is_end, seen, *windows = said["states"]
        looks = {int(number): fields.read_bytes(text) for number, text in seen.items()}
        done = {int(number): _read_windows(own) for one in windows for number, own in one.items()}
        values["states"] = StatesDone(log, size, given, is_end=is_end, seen=looks, windows=done)
    return Committed(**values)


def _read_windows(said: Sequence[Any]) -> WindowsDone:
    done = WindowsDone(*said)
    return done._replace(by_source=tuple((origin, latest) for origin, latest in done.by_source))


def _shares(kind: StageKind, said: Sequence[Sequence[int]]) -> list[LaneShare | PlaceRange]:
    return [PlaceRange(*one) if kind is StageKind.ORDERING else LaneShare(*one) for one in said]


def _planned(said: Fields) -> Plan:
    low, high = said["seconds"]
    return Plan(said["rows_left"], said["workers"], said["rows_per_second"], (low, high), said.get("dollars"))


_READ: Final[Mapping[type[Event], Callable[[Fields], Event]]] = {
    Exchanged: lambda said: Exchanged(
        stage=said["stage"],
        parts=fields.read_parts(said["parts"]),
        shares=_shares(StageKind.of(said["stage"]), said["shares"]),
        schema=fields.read_schema(said["schema"]) if "schema" in said else None,
        columns=fields.read_columns(said.get("columns", ())),
        agreed=fields.read_bytes(said.get("agreed", "")),
        gaps=[Gap(*one) for one in said.get("gaps", ())],
        looks=[(fields.read_schema(schema), row) for schema, row in said.get("looks", ())],
    ),
    Shaped: lambda said: Shaped(said["number"], fields.read_schema(said["schema"])),
    Read: lambda said: Read(DataFile(said["path"], said["size"], said["modified"], said["digest"])),
    Surveyed: _surveyed,
    EpochBegan: lambda said: EpochBegan(said["number"], [*map(fields.read_stretch, said["stretches"])]),
    Committed: _committed,
    FilesMoved: lambda said: FilesMoved(
        [*map(fields.read_position, said["positions"])], [(device, inode) for device, inode in said.get("gone", ())]
    ),
    Settled: lambda said: Settled(fields.read_columns(said["columns"]), said.get("by", "")),
    OutputLayout: lambda said: OutputLayout(
        [(pieces, size) for pieces, size in said["volumes"]],
        [*map(fields.read_bytes, said.get("schemas", ()))],
        said.get("of_pieces", ()),
        said.get("bytes", 0),
    ),
    Plan: _planned,
}
"""How events are read whose fields are no JSON by themselves."""
