"""Blocks that lie on other machines: what is known of them here, and excerpts, which are what a task needs of all.

Rows of a lane are a few stretches of each block. Whoever knows what stands at the ends of the blocks says which bytes
of which block an excerpt is made of, and writes its end; whoever puts it together copies bytes, and understands none.
An excerpt is a block: it is read as any other is.
"""

import itertools
import json
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from .blocks import StoredSection, ending, sections_of

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
    more: str
    """What else is said of it: JSON, for those that read the rows."""


def ends_of(path: str) -> tuple[SectionEnd, ...]:
    """Tell what stands at the end of a block of lanes."""
    return tuple(map(_section_end, sections_of(path)))


def _section_end(section: StoredSection) -> SectionEnd:
    said = section.said
    more = {name: value for name, value in said.items() if name not in {"rows", "batches", "bytes", "needs_all"}}
    cut = (section.offsets, tuple(section.batches), tuple(said["rows"]))
    return SectionEnd(section.at, *cut, said["bytes"], said["needs_all"], section.head, json.dumps(more))


def check(ends: Sequence[SectionEnd], *, lanes: int, size: int) -> None:
    """Raise ``ValueError`` for what is not the end of a block of so many lanes and bytes."""
    for one in ends:
        is_cut = len(one.rows) == lanes and len(one.offsets) == len(one.batches) > 1 and min(one.rows) >= 0
        is_cut = is_cut and (one.batches[0], one.batches[-1]) == (0, lanes)
        if not (is_cut and _ascends((0, *one.offsets)) and _ascends(one.batches)):
            raise ValueError("a block that is not cut into lanes")
        if not 0 <= one.at <= one.at + one.offsets[-1] <= size or one.memory < 0:
            raise ValueError(f"a block of {size} bytes with rows beyond its end")
        if len(one.head) != one.offsets[0] or not isinstance(json.loads(one.more), dict):
            raise ValueError("a block whose sections have no head")


def _ascends(numbers: Sequence[int]) -> bool:
    return all(lo <= hi for lo, hi in itertools.pairwise(numbers))


def end_of(ends: Sequence[SectionEnd]) -> bytes:
    """Write the end of a block alone, and the heads of its sections: what is asked of these is answered by that."""
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
        heads.append(one.head)
        at += len(one.head)
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


def excerpt(ends: Sequence[str], first: int, last: int) -> Excerpt:
    """Say what an excerpt of some stretches that follow each other is made of; ``ends`` are paths of blocks' ends."""
    copied, told, at = list[Copied](), list[dict[str, Any]](), 0
    for block, path in enumerate(ends):
        for section in sections_of(path):
            if any(section.said["rows"][first:last]):
                ranges, one = _cut(section, first, last, block=block, at=at)
                copied += ranges
                told.append(one)
                at += sum(stop - start for _, start, stop in ranges)
    return Excerpt(tuple(copied), ending(told))


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
    return [Copied(block, start, stop) for start, stop in copied], _told(at, moved, said)
