"""Pipelines over the rows of several inputs."""

import dataclasses
from collections.abc import Iterator
from typing import Any, TypeVar

from muster._job import Follow, Options
from muster.errors import UsageError

P = TypeVar("P")


def merged(first: P, *others: P) -> P:
    """Have one pipeline read what all of them do. Raises ``UsageError`` for what does not go together."""
    for other in others:
        first = _both(first, other)
    return first


def _both(first: P, other: P) -> P:
    one: Any = first
    two: Any = other
    if not isinstance(other, type(first)):
        raise UsageError(f"merge({other!r}): that is no pipeline. Give one, such as muster.read_csv('more/*.csv').")
    for pipeline in (one, two):
        if pipeline.steps or pipeline.output:
            raise UsageError(
                "merge() puts rows together before any function gets them, and one of these pipelines has functions or"
                " an output. Merge what is read, and go on behind it: read_csv(a).merge(read_csv(b)).map_batches(f)."
            )
    if differing := sorted(_differing(one.options, two.options)):
        raise UsageError(
            f"merge(): {', '.join(differing)} of the one are not those of the other, and a run reads all files in one"
            " way. Give both the same; or bring the files into one form first."
        )
    follow = _followed(one.follow, two.follow)
    return dataclasses.replace(one, inputs=(*one.inputs, *two.inputs), follow=follow)  # type: ignore[no-any-return]


def _followed(one: Follow | None, two: Follow | None) -> Follow | None:
    if one is None and two is None:
        return None
    if one is None or two is None:
        raise UsageError(
            "merge(): the one has an end, and the other goes on. Follow the files, too: follow_csv(...).merge(...)."
        )
    for source in (one.source, two.source):
        if source is not None:
            raise UsageError(
                f"merge(): rows that come over TCP or from a source of your own, as those of {source.call}, are not"
                " merged with others. Have all come to one place; or write what comes into a folder with one pipeline,"
                " and follow that together with the other files."
            )
    return dataclasses.replace(one, every=min(one.every, two.every))


def _differing(one: Options, two: Options) -> Iterator[str]:
    """Name what is set otherwise, by what users call it."""
    yield from _unlike(one.dialect, two.dialect)
    yield from _unlike(one.reading, two.reading)
    yield from {*_unlike(one, two)} - {"dialect", "reading", "input_format"}
    if one.input_format != two.input_format:
        yield "formats"


def _unlike(one: Any, two: Any) -> Iterator[str]:  # noqa: ANN401 (dataclasses of one kind)
    return (part.name for part in dataclasses.fields(one) if getattr(one, part.name) != getattr(two, part.name))
