"""Some rows of an input instead of all: the first ones, or stretches spread evenly; which they are, where they lie."""

from collections.abc import Iterator, Sequence
from typing import Final

from muster._dialects import Dialect
from muster._model import Part, Source

from ._questions import Ask, Locate

_PLACES: Final = 32
"""In how many places a sample is taken: enough to see how its tasks differ, few enough that each has some rows."""

_WEIGHTS: Final = (1, 3)
"""How long stretches are, in turn: with two lengths, the cost of a call can be told from the cost of a row."""

_GOLDEN: Final = 0.6180339887
"""The golden ratio: the fractional parts of its multiples spread evenly over 0 to 1, and never repeat."""

Rows = tuple[int, int]
"""The first row of a stretch, and the one behind its last."""


def first_rows(total: int, count: int) -> list[Rows]:
    """Choose the first rows of ``total``."""
    return [(0, min(count, total))] if total and count else []


def spread_rows(total: int, count: int) -> list[Rows]:
    """Choose ``count`` of ``total`` rows: stretches of neighbours, each as many as its share of the input.

    The input is cut into cells, and each holds one stretch, at a place that follows no rhythm of the rows, such as that
    of weekdays. So every region gives its share, and the same input has the same sample every time.
    """
    count = min(count, total)
    places = min(count, _PLACES)
    weights = [_WEIGHTS[at % len(_WEIGHTS)] if count >= sum(_WEIGHTS) * places else 1 for at in range(places)]
    left, before, whole = total - count, 0, sum(weights)
    chosen: list[Rows] = []
    for at, weight in enumerate(weights):
        upto = before + weight
        taken, passed = count * before // whole, left * before // whole
        rows, room = count * upto // whole - taken, left * upto // whole - passed  # a cell is as large as both together
        first = taken + passed + int((room + 1) * (_GOLDEN * (at + 1) % 1))
        chosen.append((first, first + rows))
        before = upto
    return chosen


def excerpt(
    parts: Sequence[Part], stretches: Sequence[Rows], ask: Ask, *, sources: Sequence[Source], dialect: Dialect
) -> list[Part]:
    """Cut the parts that hold some stretches of rows, counted over all parts, down to these rows.

    ``sources`` are the files as they are read; workers are asked where rows begin in text.
    """
    pieces = list(_pieces(parts, stretches))
    cuts: dict[int, list[int]] = {}
    for at, lo, hi in pieces:
        inner = [row for row in (lo, hi) if 0 < row < parts[at].rows]
        cuts.setdefault(at, []).extend(inner)
    asked = [at for at, rows in cuts.items() if rows and sources[parts[at].file].format != "parquet"]
    questions = [_where(parts[at], sorted(set(cuts[at])), sources=sources, dialect=dialect) for at in asked]
    starts = {
        at: dict(zip(question.rows, offsets, strict=True))
        for at, question, offsets in zip(asked, questions, ask(questions), strict=True)
    }
    return [_cut(parts[at], lo, hi, starts.get(at)) for at, lo, hi in pieces]


def _pieces(parts: Sequence[Part], stretches: Sequence[Rows]) -> Iterator[tuple[int, int, int]]:
    """Yield which rows of which part a stretch has, counted in the part."""
    at, before = 0, 0
    for first, end in stretches:
        reached = first
        while reached < end:
            while before + parts[at].rows <= reached:
                before += parts[at].rows
                at += 1
            hi = min(end - before, parts[at].rows)
            yield at, reached - before, hi
            reached = before + hi


def _where(part: Part, rows: Sequence[int], *, sources: Sequence[Source], dialect: Dialect) -> Locate:
    path, origin = (part.local_copy.path, part.local_copy.origin) if part.local_copy else (sources[part.file].path, 0)
    return Locate(path, part.start - origin, part.stop - origin, tuple(rows), dialect)


def _cut(part: Part, lo: int, hi: int, starts: dict[int, int] | None) -> Part:
    """Leave only some rows of a part; ``starts`` tells where they begin in text, a Parquet part counts in rows."""
    origin = part.local_copy.origin if part.local_copy and starts is not None else 0
    offsets = range(part.start, part.stop + 1) if starts is None else starts
    return part._replace(
        start=offsets[lo] + origin if lo else part.start,
        stop=offsets[hi] + origin if hi < part.rows else part.stop,
        row=part.row + lo,
        rows=hi - lo,
    )
