"""The schema that all results of a run share: its columns, their order, and how their values are written.

Each batch comes back with columns of its own, and with values of its own kinds in them. The output is what
``pandas.concat`` of them all would write, however the rows were cut into batches: columns are aligned by name, in the
order in which they first appear in the input, and a value is written in the form that its whole column asks for.

A kind is a short text that ``_formats`` makes of a column: a dtype, such as ``int64``, ``Int64``, ``str`` or
``object``; for datetimes and time spans, how fine they are shown: ``datetime s``, ``datetime[UTC] s``, ``timespan D``.
``missing object`` is a column without a value, ``empty object`` one without a row: they leave the type to the other
batches. ``void str`` has no value either, but a type that tells of itself.
"""

from collections.abc import Iterable
from functools import lru_cache
from operator import itemgetter
from typing import Final

from muster._model import Outcome, Schema

MISSING: Final = "missing "
VOID: Final = "void "
EMPTY: Final = "empty "
ABSENT: Final = "missing column"

Key = tuple[int, int]
"""Where an outcome stands in the input."""

_INTEGERS: Final = frozenset(f"{sign}{bits}" for sign in ("int", "uint", "Int", "UInt") for bits in (8, 16, 32, 64))
_SMALL: Final = frozenset(kind for kind in _INTEGERS if kind.endswith(("8", "16")))
"""Integers that a 32-bit float holds exactly."""

_SMALL_FLOATS: Final = frozenset({"float16", "float32", "Float32"})
_FLOATS: Final = _SMALL_FLOATS | {"float64", "Float64"}
_FINENESS: Final = ("D", "s", "ms", "us", "ns", "alone")


@lru_cache(maxsize=4096)
def form(kind: str, kinds: tuple[str, ...]) -> str:
    """Tell how text shows the values of a batch whose column is of one kind here, and of all these in the run.

    Empty: as they are. ``float64``: so that ``1`` is ``1.0``. Datetimes and time spans: how fine (``D s ms us ns``), or
    ``alone``: each by itself, because the column holds other things too.
    """
    if kind.startswith((MISSING, VOID, EMPTY)):
        return ""
    others = solid(kinds)
    if kind in _INTEGERS:
        return "float64" if _become_floats(kind, others, has_gaps=has_gaps(kinds)) else ""
    if kind in _SMALL_FLOATS:
        return "" if others <= _SMALL_FLOATS | _SMALL else "float64"
    word, _, fineness = kind.partition(" ")
    if word.partition("[")[0] not in {"datetime", "timespan"}:
        return ""
    if not all(other.startswith(f"{word} ") for other in others):
        return "alone"
    return max((other.partition(" ")[2] for other in others), key=_FINENESS.index, default=fineness)


def _become_floats(kind: str, others: frozenset[str], *, has_gaps: bool) -> bool:
    """Tell whether integers are written as decimals: beside decimals, or where a plain integer column has gaps."""
    if not others <= _INTEGERS | _FLOATS:
        return False
    return bool(others & _FLOATS) or (has_gaps and kind.islower() and all(other.islower() for other in others))


def solid(kinds: Iterable[str]) -> frozenset[str]:
    """Keep the kinds that say of which type a column is."""
    return frozenset(kind.removeprefix(VOID) for kind in kinds if not kind.startswith((MISSING, EMPTY)))


def has_gaps(kinds: Iterable[str]) -> bool:
    """Tell whether the column has no value in some batch, and no type there that has room for that."""
    return any(kind.startswith(MISSING) for kind in kinds)


def united(schemas: Iterable[Schema]) -> Schema:
    """Unite schemas of which at least one is given, in the order of the input."""
    first, *others = dict.fromkeys(schemas)
    for other in others:
        first = _both(first, other)
    return first


def _both(one: Schema, other: Schema) -> Schema:
    """Unite two; a column that one of them lacks is missing in its rows."""
    before, after = by_column(one), by_column(other)
    kinds = {
        column: tuple(
            sorted(
                {
                    *before.get(column, (ABSENT,) if _has_rows(one) else ()),
                    *after.get(column, (ABSENT,) if _has_rows(other) else ()),
                }
            )
        )
        for column in before | after
    }
    return Schema(tuple(name for name, _ in kinds), tuple(kinds.values()))


def numbered(columns: Iterable[str]) -> list[tuple[str, int]]:
    """Tell columns of one name apart: the first, the second of that name."""
    times: dict[str, int] = {}
    pairs = []
    for name in columns:
        pairs.append((name, times.get(name, 0)))
        times[name] = times.get(name, 0) + 1
    return pairs


def by_column(schema: Schema) -> dict[tuple[str, int], tuple[str, ...]]:
    """Map each column to its kinds."""
    return dict(zip(numbered(schema.columns), schema.kinds, strict=True))


def _has_rows(schema: Schema) -> bool:
    """Tell whether there are rows of this schema: an empty frame has columns, but only empty kinds."""
    return not schema.columns or any(not kind.startswith(EMPTY) for own in schema.kinds for kind in own)


@lru_cache(maxsize=256)
def _layout(part: Schema, schema: Schema) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    """Tell all that decides what text is made of results: the columns, and the form of each kind that they hold."""
    kinds = by_column(schema)
    forms = (tuple(form(kind, kinds[column]) for kind in held) for column, held in by_column(part).items())
    return schema.columns, tuple(forms)


def stays_as_written(text: Schema, now: Schema) -> bool:
    """Tell whether text that was written under one schema is what it would be under another, which has grown."""
    return _layout(text, text) == _layout(text, now)


class Union:
    """What the outcomes that have come in so far unite to, and which of them were written otherwise."""

    def __init__(self, *, same_text: bool) -> None:
        """Begin with nothing. ``same_text``: the output is text, which shows how it was written.

        Parquet files say what they hold, so they are united when the output is made.
        """
        self.schema: Schema | None = None
        self._same_text = same_text
        self._seen: set[Schema] = set()
        self._first: dict[tuple[str, ...], Key] = {}

    def learn(self, key: Key, schema: Schema | None) -> bool:
        """Take in what the results of a task look like; tell whether that changes the schema of all.

        It only ever grows, in whatever order outcomes come, and in the end says the same: columns stand in the order
        of their first appearance in the input, and kinds have no order.
        """
        if schema is None:
            return False
        first = self._first.get(schema.columns)
        if schema in self._seen and first is not None and first <= key:
            return False
        before = self.schema
        self._seen.add(schema)
        self._first[schema.columns] = min(first or key, key)
        self.schema = self._in_order(schema if before is None else _both(before, schema))
        return self.schema != before

    def _in_order(self, schema: Schema) -> Schema:
        if len(self._first) == 1:
            return schema
        orders = sorted(self._first.items(), key=itemgetter(1))
        places = dict.fromkeys(column for columns, _ in orders for column in numbered(columns))
        kinds = by_column(schema)
        return Schema(tuple(name for name, _ in places), tuple(kinds[column] for column in places))

    def is_written_so(self, outcome: Outcome) -> bool:
        """Tell whether what an outcome wrote is what it would write under the schema of all."""
        schema = outcome.schema
        if not self._same_text or schema is None or self.schema is None or outcome.output is None:
            return True
        written = outcome.written or schema
        return written == self.schema or _layout(schema, written) == _layout(schema, self.schema)
