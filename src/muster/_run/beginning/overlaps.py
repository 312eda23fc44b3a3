"""Refuse an output that overlaps an input, or another run's output: what is read would be replaced or removed."""

import os
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath
from typing import Final, TypeVar

from muster._model import Source
from muster._output.folder import WorkFolder
from muster._urls.identity import Identity, identity, local
from muster._urls.resolved import Resolved
from muster._urls.urls import is_remote
from muster.errors import UsageError

T = TypeVar("T")

_ENDING: Final = ".muster"
_OF_A_RUN: Final = ("lock", "journal.jsonl")


def check_apart(
    works: Sequence[WorkFolder], *, sources: Sequence[Source], given: Sequence[str], recurs: bool = False
) -> None:
    """Raise ``UsageError`` where an input is not safe from the runs, or an output from being read as input.

    ``given`` are the inputs as the user named them. A command that ``recurs`` finds the outputs of the time before.
    """
    resolved = Resolved()
    outputs = {identity(work.output): work for work in works}
    around = {place: work for own, work in outputs.items() for place in resolved.around(work.output) - {own}}
    _check_outputs(outputs, around, given)
    _check_sources(outputs, sources, resolved)
    for name, folder in _works_around({source.name: source.path for source in sources}, resolved):
        raise _unfinished(name, folder)
    for output, folder in _works_around({work.output: work.output for work in works}, resolved):
        raise UsageError(
            f"{output!r} lies in {folder!r}, where a run keeps its work until it ends. Choose another output."
        )
    if recurs:
        _check_not_found_again(works, given)


def _check_outputs(
    outputs: Mapping[Identity, WorkFolder], around: Mapping[Identity, WorkFolder], given: Sequence[str]
) -> None:
    """Raise where an output lies in an input or in another output; ``around`` are the folders that any lies in."""
    for text in given:
        if work := around.get(identity(text)):
            raise UsageError(
                f"{work.output!r} lies in {text!r}, which is an input, so that a run would read what another wrote."
                " Choose an output elsewhere, or name the input's files by a pattern."
            )
    for place, outer in outputs.items():
        if work := around.get(place):
            raise UsageError(
                f"{work.output!r} would lie in {outer.output!r}, which is an output, too. Give one of the inputs"
                " another name, or run them apart."
            )


def _check_sources(outputs: Mapping[Identity, WorkFolder], sources: Sequence[Source], resolved: Resolved) -> None:
    """Raise where an input is an output, or lies where a run keeps something."""
    kept = {identity(place): work for work in outputs.values() for place in work.kept_places}
    homes = {str(work.home / "work") for work in outputs.values()}
    homes_work = {identity(place): place for place in homes}
    for source in sources:
        around = resolved.around(source.path)
        if work := _one_of(outputs, around):
            raise UsageError(
                f"{work.output!r} is both input and output: {source.name!r} is one of the inputs. Choose another"
                " output, or a pattern for the inputs that does not take in what a run has written."
            )
        if work := _one_of(kept, around):
            raise UsageError(
                f"{source.name!r} is an input, and lies where a run to {work.output!r} keeps its bad rows or its work,"
                " so it would be lost. Choose another output, or move the input."
            )
        if place := _one_of(homes_work, around):
            raise _unfinished(source.name, place)


def check_no_twins(work: WorkFolder, *, sources: Sequence[Source]) -> None:
    """Raise ``UsageError`` where what the output replaces seems to be an input, under an address of another kind.

    No address tells that a web server, a redirect, a mount or a name of its own leads to the same file. So size,
    version, time and bytes of what stands there are compared; in one store, keys tell objects apart.
    """
    kind = identity(work.output)[0]
    others = [
        source for source in sources if (work.is_remote or is_remote(source.path)) and identity(source.path)[0] != kind
    ]
    if not others:
        return
    from muster._output import twins

    if found := twins.twin_in(work.output, among=others):
        place, twin = found
        raise UsageError(
            f"{place!r} seems to be the input {twin.name!r} under another address: size, time or version, and the bytes"
            " are the same, and the run would replace what it reads. Choose another output."
        )


def _one_of(those: Mapping[Identity, T], places: set[Identity]) -> T | None:
    return next((those[place] for place in places if place in those), None)


def _check_not_found_again(works: Sequence[WorkFolder], given: Sequence[str]) -> None:
    """Raise ``UsageError`` where the next command would take an output for input."""
    for text in (text for text in map(local, given) if any(sign in text for sign in "*?[")):
        pattern = (text if is_remote(text) else os.path.abspath(text)).split("/")  # noqa: PTH100 (as text)
        for work in works:
            place = work.output if is_remote(text) else os.path.abspath(work.output)  # noqa: PTH100 (likewise)
            if _matches(place.rstrip("/").split("/"), pattern):
                raise UsageError(
                    f"{work.output!r} would be one of the inputs {text!r} the next time. Choose another folder for the"
                    " outputs."
                )


def _matches(place: Sequence[str], pattern: Sequence[str]) -> bool:
    """Tell whether a pattern finds a place, both in their components: ``**`` stands for any number of them."""
    if pattern[:1] == ["**"]:
        return _matches(place, pattern[1:]) or (bool(place) and _matches(place[1:], pattern))
    if not pattern or not place:
        return not pattern and not place
    return fnmatch(place[0], pattern[0]) and _matches(place[1:], pattern[1:])


def _unfinished(name: str, folder: str) -> UsageError:
    return UsageError(
        f"{name!r} is an input, and lies in {folder!r}, where a run keeps its work until it ends: it is not complete,"
        " and will be removed. Wait for that run, and take its output."
    )


def _works_around(paths: dict[str, str], resolved: Resolved) -> Iterator[tuple[str, str]]:
    """Yield those that lie in the work folder of a run, with that folder."""
    known: dict[str, bool] = {}
    for name, path in paths.items():
        for folder in _named_so(local(path), resolved):
            if folder not in known:
                known[folder] = _is_of_a_run(folder)
            if known[folder]:
                yield name, folder


def _named_so(path: str, resolved: Resolved) -> Iterator[str]:
    """Yield the folders around a path that have the name of a run's work folder."""
    place = path if is_remote(path) else resolved.path(path)
    if _ENDING not in place:
        return
    if not is_remote(path):
        yield from (str(folder) for folder in Path(place).parents if folder.name.endswith(_ENDING))
        return
    protocol, _, inside = path.partition("://")
    folders = PurePosixPath(inside).parents
    yield from (f"{protocol}://{folder}" for folder in folders if folder.name.endswith(_ENDING))


def _is_of_a_run(folder: str) -> bool:
    if not is_remote(folder):
        return any(Path(folder, name).is_file() for name in _OF_A_RUN)
    from muster._output.shelf import is_of_runs

    return is_of_runs(folder)
