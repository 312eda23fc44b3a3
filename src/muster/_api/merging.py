"""Pipelines over the rows of several inputs, and of several sources."""

import dataclasses
from collections.abc import Iterator, Mapping
from itertools import combinations
from typing import Any, Final, TypeVar

from muster._api.decoding import STEP
from muster._job import Follow, ListenTcp, Options, ReadFrom
from muster._model import PAYLOAD
from muster._streams.shared_columns import SharedColumns
from muster._words.quoted import in_files
from muster.errors import UsageError

P = TypeVar("P")

_SAME_DECODE: Final = (
    "decode= makes rows in the first function, through which all rows of a merge go. Give all of them the same decode="
    " and columns=; or have another pipeline decode what comes, and send its rows on to here: listen_tcp(PLACE,"
    " decode=...).map_batches(f).send_tcp('HOST:PORT')."
)


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
        if (pipeline.steps and _decode_of(pipeline) is None) or pipeline.output:
            raise UsageError(
                "merge() puts rows together before any function gets them, and one of these pipelines has functions or"
                " an output. Merge what is read, and go on behind it: read_csv(a).merge(read_csv(b)).map_batches(f)."
            )
    follow = _followed(one.follow, two.follow)
    if _decode_of(one) != _decode_of(two):
        raise UsageError(
            f"merge(): rows of the one are decoded, and those of the other are not, or not so. {_SAME_DECODE}"
        )
    options = _options(one)
    if differing := sorted(_differing(options, _options(two))):
        raise UsageError(
            f"merge(): the pipelines differ in {', '.join(differing)}, and a run reads all rows in one way. Give both"
            " the same; or bring the files into one form first."
        )
    if follow is not None:
        _check_columns(follow, options)
    (names, files), (more_names, more_files) = _inputs(one), _inputs(two)
    inputs = (*names, *more_names, *files, *more_files)
    return dataclasses.replace(one, inputs=inputs, options=options, follow=follow)  # type: ignore[no-any-return]


def _inputs(pipeline: Any) -> tuple[tuple[str, ...], tuple[str, ...]]:  # noqa: ANN401 (a pipeline)
    """Tell the names of its sources from its files, which stand behind them."""
    count = len(pipeline.follow.sources) if pipeline.follow is not None else 0
    return pipeline.inputs[:count], pipeline.inputs[count:]


def _decode_of(pipeline: Any) -> Mapping[str, Any] | None:  # noqa: ANN401 (likewise)
    """Tell how its rows are made of what came; ``None`` where they come as they are."""
    is_decoded = len(pipeline.steps) == 1 and f"{pipeline.steps[0].place}:{pipeline.steps[0].name}" == STEP
    return pipeline.steps[0].arguments.values if is_decoded else None


def _options(pipeline: Any) -> Options:  # noqa: ANN401 (likewise)
    """Tell how its rows are read. Of what is decoded payloads alone: beside some stands a place, for rejects."""
    options: Options = pipeline.options
    if _decode_of(pipeline) is None:
        return options
    reading = dataclasses.replace(options.reading, usecols=(PAYLOAD,))
    return dataclasses.replace(options, dtype={PAYLOAD: "str"}, reading=reading)


def _followed(one: Follow | None, two: Follow | None) -> Follow | None:
    if one is None and two is None:
        return None
    if one is None or two is None:
        raise UsageError(
            "merge(): the one has an end, and the other goes on. Follow the files, too: follow_csv(...).merge(...)."
        )
    sources = (*one.sources, *two.sources)
    for pair in combinations(sources, 2):
        _check_are_two(*pair)
    has_files = one.has_files or two.has_files
    return dataclasses.replace(one, every=min(one.every, two.every), sources=sources, has_files=has_files)


def _check_are_two(one: ListenTcp | ReadFrom, two: ListenTcp | ReadFrom) -> None:
    """Raise ``UsageError`` where two sources are one, or cannot be told apart."""
    is_one = one.name == two.name
    if isinstance(one, ListenTcp) and isinstance(two, ListenTcp):
        from muster._streams.endpoints import endpoint_of

        if endpoint_of(one).port == endpoint_of(two).port == 0:
            raise UsageError(
                f"merge(): port 0 is any that is free, so {one.call} and {two.call} would change places whenever the"
                " stream goes on. Give at least one of them a port of its own."
            )
        is_one = endpoint_of(one) == endpoint_of(two)
    elif isinstance(one, ReadFrom) and isinstance(two, ReadFrom):
        is_one = is_one or one.source is two.source
        if not is_one and in_files(one.name) == in_files(two.name):
            raise UsageError(
                f"merge(): what comes from {one.name!r} and {two.name!r} would wait in one folder: these names differ"
                " in signs alone that no file has. Give one of them another name=."
            )
    if is_one:
        is_unnamed = two.call.startswith("read_from(") and one.name == two.name
        how = " Tell two sources of one class apart by name=." if is_unnamed else ""
        raise UsageError(f"merge(): the rows of {two.call} are among those of {one.call} already. Leave one out.{how}")


def _check_columns(follow: Follow, options: Options) -> None:
    """Raise ``UsageError`` where sources have other columns, as far as the user says which."""
    columns = SharedColumns(options.reading.usecols)
    for source in follow.sources:
        if source.columns:
            columns.check(source.call, source.columns)


def _differing(one: Options, two: Options) -> Iterator[str]:
    """Name what is set otherwise, by what users call it."""
    if one.input_format != two.input_format:  # of which each has its own options
        yield "formats"
        return
    yield from _unlike(one.dialect, two.dialect)
    yield from _unlike(one.reading, two.reading)
    yield from {*_unlike(one, two)} - {"dialect", "reading"}


def _unlike(one: Any, two: Any) -> Iterator[str]:  # noqa: ANN401 (dataclasses of one kind)
    names = (part.name for part in dataclasses.fields(one) if getattr(one, part.name) != getattr(two, part.name))
    return (_CALLED.get(name, name) for name in names)


_CALLED: Final = {"delimiter": "sep", "quote": "quotechar"}
