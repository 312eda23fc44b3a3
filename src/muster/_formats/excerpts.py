"""Blocks that lie on other machines: what is known of them here, and excerpts, which are what a task needs of all.

Rows of a lane, and results of groups that lie near each other in the output, are a few stretches of each block. Whoever
knows what stands at the ends of the blocks says which bytes of which block an excerpt is made of, and writes its end;
whoever puts it together copies bytes, and understands none. An excerpt is a block: it is read as any other is.

What is said of all groups, how many rows each has and what its key is, stands at the end, too: so it is known here how
results are cut into stretches of the output, without them.
"""

import itertools
import json
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

from .blocks import INDEX, KEYS, StoredSection, ending, sections_of, written_section
from .ranks import Ranks

_ORIGIN: Final = "origin"
"""What is said of a section whose end stands alone: where it begins in its block."""


class SectionEnd(NamedTuple):
    """What stands at the end of a block about a section: where its batches lie, and how many rows stretches have."""

    at: int
    offsets: tuple[int, ...]
    batches: tuple[int, ...]
    rows: tuple[int, ...]
    memory: int
    """How many bytes of it its rows take."""
    needs_all: bool
    """Its first stretches are needed to read those behind them."""
    head: bytes
    """What stands before its first stretch: Arrow's schema."""
    body: bytes
    """All that stands behind that, where it is about groups, and not their results; else nothing."""
    more: str
    """What else is said of it: JSON, for those that read the rows."""


def ends_of(path: str) -> tuple[SectionEnd, ...]:
    """Tell what stands at the end of a block."""
    return tuple(map(_section_end, sections_of(path)))


def _section_end(section: StoredSection) -> SectionEnd:
    said = section.said
    more = {name: value for name, value in said.items() if name not in {"rows", "batches", "bytes", "needs_all"}}
    cut = (section.offsets, tuple(section.batches), tuple(said["rows"]))
    body = section.body if _is_of_groups(said) else b""
    return SectionEnd(section.at, *cut, said.get("bytes", 0), said["needs_all"], section.head, body, json.dumps(more))


def _is_of_groups(said: dict[str, Any]) -> bool:
    """Tell whether a section is about groups, and not their results."""
    return INDEX in said or KEYS in said


def check(ends: Sequence[SectionEnd], *, lanes: int | None, size: int) -> None:
    """Raise ``ValueError`` for what is not the end of a block of so many lanes, or of results, and of so many bytes."""
    for one in ends:
        count = len(one.rows)
        is_cut = lanes in {None, count} and len(one.offsets) == len(one.batches) > 0 and min(one.rows, default=0) >= 0
        is_cut = is_cut and (one.batches[0], one.batches[-1]) == (0, count)
        if not (is_cut and _ascends((0, *one.offsets)) and _ascends(one.batches)):
            raise ValueError("a block that is not cut into stretches")
        if not 0 <= one.at <= one.at + one.offsets[-1] <= size or one.memory < 0:
            raise ValueError(f"a block of {size} bytes with rows beyond its end")
        said = json.loads(one.more)
        if len(one.head) != one.offsets[0] or not isinstance(said, dict):
            raise ValueError("a block whose sections have no head")
        _check_says_what_it_holds(one, said, has_lanes=lanes is not None)


def _check_says_what_it_holds(end: SectionEnd, said: dict[str, Any], *, has_lanes: bool) -> None:
    """Raise ``ValueError`` where nobody could tell rows of lanes, results, and what is about groups apart."""
    is_of_groups = _is_of_groups(said)
    if (len(end.body) != end.offsets[-1] - end.offsets[0]) if is_of_groups else end.body:
        raise ValueError("a block with rows that were to stay there, or without what was to come")
    if has_lanes != ("places" not in said and not is_of_groups):
        raise ValueError("a block of lanes for one of results, or the other way round")
    places = said.get("places", ())
    if not has_lanes and not is_of_groups and (len(places) != len(end.rows) or not all(map(_is_pair, places))):
        raise ValueError("a block whose results have no places")


def _is_pair(value: object) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(isinstance(one, int) for one in value)  # noqa: PLR2004 (a pair)


def _ascends(numbers: Sequence[int]) -> bool:
    return all(lo <= hi for lo, hi in itertools.pairwise(numbers))


def end_of(ends: Sequence[SectionEnd]) -> bytes:
    """Write the end of a block alone, and the heads of its sections: what is asked of these is answered by that.

    What is about groups is there as a whole.
    """
    heads, told, at = list[bytes](), list[dict[str, Any]](), 0
    for one in ends:
        own = {
            "rows": list(one.rows),
            "batches": list(one.batches),
            "bytes": one.memory,
            "needs_all": one.needs_all,
            _ORIGIN: one.at,
        }
        told.append(_told(at, one.offsets, json.loads(one.more) | own))
        heads.append(one.head + one.body)
        at += len(heads[-1])
    return b"".join([*heads, ending(told)])


def _told(at: int, offsets: Sequence[int], said: dict[str, Any]) -> dict[str, Any]:
    return {"at": at, "offsets": list(offsets), "said": said}


class Copied(NamedTuple):
    """Bytes of a block that are copied into an excerpt."""

    block: int
    start: int
    stop: int


class Excerpt(NamedTuple):
    """What an excerpt is made of: bytes of blocks, one behind the other, and its end."""

    copied: tuple[Copied, ...]
    end: bytes


def of_lanes(ends: Sequence[str], first: int, last: int) -> Excerpt:
    """Say what an excerpt of some lanes that follow each other is made of; ``ends`` are paths of blocks' ends."""
    copied, told = _chosen(ends, lambda one: (first, last) if any(one.said["rows"][first:last]) else (0, 0))
    return Excerpt(tuple(copied), ending(told))


def of_places(ends: Sequence[str], lo: int, hi: int, ranks: Ranks) -> Excerpt:
    """Say what an excerpt of results is made of whose ranks are from ``lo`` to ``hi``, inclusive; ranks go along."""
    copied, told = _chosen(ends, lambda one: ranks.stretches(one, lo, hi))
    if ranks.places is None:
        return Excerpt(tuple(copied), ending(told))
    needed = ranks.among([places for one in told for places in one["said"]["places"]])
    data, its_end = written_section(needed.section(), at=sum(one.stop - one.start for one in copied), is_packed=True)
    return Excerpt(tuple(copied), bytes(data) + ending([*told, its_end]))


def _chosen(
    ends: Sequence[str], stretches: Callable[[StoredSection], tuple[int, int]]
) -> tuple[list[Copied], list[dict[str, Any]]]:
    """Say what is copied of the stretches that are chosen of each section, and what stands at the end about them."""
    copied, told, at = list[Copied](), list[dict[str, Any]](), 0
    for block, path in enumerate(ends):
        for section in sections_of(path):
            first, last = stretches(section)
            if first < last:
                ranges, one = _cut(section, first, last, block=block, at=at)
                copied += ranges
                told.append(one)
                at += sum(stop - start for _, start, stop in ranges)
    return copied, told


def _cut(section: StoredSection, first: int, last: int, *, block: int, at: int) -> tuple[list[Copied], dict[str, Any]]:
    """Choose what is copied of a section: its head, and stretches."""
    said, (begin, end) = dict(section.said), section.span(first, last)
    origin, offsets, batches = said.pop(_ORIGIN), section.offsets, section.batches[begin : end + 1]
    rows = said["rows"][batches[0] : batches[-1]]
    size = said["bytes"] * sum(rows) // max(sum(said["rows"]), 1)
    copied = [(origin, origin + offsets[0]), (origin + offsets[begin], origin + offsets[end])]
    moved = [one - offsets[begin] + offsets[0] for one in offsets[begin : end + 1]]
    said |= {"rows": rows, "batches": [one - batches[0] for one in batches], "bytes": size}
    said |= {"before": batches[0], "block": block}
    if "places" in said:
        said["places"] = said["places"][batches[0] : batches[-1]]
    return [Copied(block, start, stop) for start, stop in copied], _told(at, moved, said)
