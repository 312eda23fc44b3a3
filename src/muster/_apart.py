"""Input and output lie apart: what a run reads is not what it replaces or removes, nor what another run works on."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Final

from muster._identity import Identity, identity, local, upwards
from muster._model import Source
from muster._output import Work
from muster._urls import is_remote
from muster.errors import UsageError

_ENDING: Final = ".muster"
_OF_A_RUN: Final = ("lock", "journal.jsonl")


def check_apart(work: Work, *, sources: Sequence[Source], given: Sequence[str]) -> None:
    """Raise ``UsageError`` where an input is not safe from the run, or the output from being read as input.

    ``given`` are the inputs as the user named them.
    """
    output, *above_output = upwards(work.output)
    kept = {identity(place) for place in work.kept_places}
    homes_work = identity(str(work.home / "work"))
    for text in given:
        if identity(text) in above_output:
            raise UsageError(
                f"{work.output!r} lies in {text!r}, which is an input, so that a run would read what another wrote."
                " Choose an output elsewhere, or name the input's files by a pattern."
            )
    above: dict[str, set[Identity]] = {}
    for source in sources:
        around = _around(source.path, above)
        if output in around:
            raise UsageError(
                f"{work.output!r} is both input and output: {source.name!r} is one of the inputs. Choose another"
                " output, or a pattern for the inputs that does not take in what a run has written."
            )
        if kept & around:
            raise UsageError(
                f"{source.name!r} is an input, and lies where a run to {work.output!r} keeps its bad rows or its work,"
                " so it would be lost. Choose another output, or move the input."
            )
        if homes_work in around:
            raise _unfinished(source.name, str(work.home / "work"))
    for name, folder in _works_around({source.name: source.path for source in sources}):
        raise _unfinished(name, folder)
    for _, folder in _works_around({work.output: work.output}):
        raise UsageError(
            f"{work.output!r} lies in {folder!r}, where a run keeps its work until it ends. Choose another output."
        )


def _around(path: str, above: dict[str, set[Identity]]) -> set[Identity]:
    """Tell what a file is and lies in; ``above`` keeps that of folders, as many files lie in one."""
    path = local(path)
    place = path if is_remote(path) else os.path.realpath(path)
    folder = place.rpartition("/")[0] or "/"
    folder = place if folder.endswith(":/") else folder  # a URL of one name
    if folder not in above:
        above[folder] = set(upwards(folder))
    return {identity(place), *above[folder]}


def _unfinished(name: str, folder: str) -> UsageError:
    return UsageError(
        f"{name!r} is an input, and lies in {folder!r}, where a run keeps its work until it ends: it is not complete,"
        " and will be removed. Wait for that run, and take its output."
    )


def _works_around(paths: dict[str, str]) -> Iterator[tuple[str, str]]:
    """Yield those that lie in the work folder of a run, with that folder."""
    known: dict[str, bool] = {}
    for name, path in paths.items():
        for folder in _named_so(local(path)):
            if folder not in known:
                known[folder] = _is_of_a_run(folder)
            if known[folder]:
                yield name, folder


def _named_so(path: str) -> Iterator[str]:
    """Yield the folders around a path that have the name of a run's work folder."""
    if _ENDING not in path and is_remote(path):
        return
    if not is_remote(path):
        yield from (str(folder) for folder in Path(path).resolve().parents if folder.name.endswith(_ENDING))
        return
    protocol, _, inside = path.partition("://")
    folders = PurePosixPath(inside).parents
    yield from (f"{protocol}://{folder}" for folder in folders if folder.name.endswith(_ENDING))


def _is_of_a_run(folder: str) -> bool:
    if not is_remote(folder):
        return any(Path(folder, name).is_file() for name in _OF_A_RUN)
    from muster._shelf import is_of_runs  # noqa: PLC0415 (files of this computer need no store)

    return is_of_runs(folder)
