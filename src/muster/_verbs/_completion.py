"""Complete commands: at each Tab the shell starts muster, which prints what may follow, and ends."""

import argparse
import os
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any, Final

import argcomplete
from argcomplete.completers import BaseCompleter

from muster._dialects.values import ON_ERRORS
from muster._files.home import home
from muster._journal.runs import known
from muster._user_code.at_the_top import functions_in

from ._parser import Parser
from ._topics import anchors, topics

Complete = Callable[..., list[str]]
_MOST_RUNS: Final = 20
"""How many runs are offered: the newest."""


def complete(parser: Parser, *, verbs: Collection[str]) -> None:
    """Answer the shell, which asks by environment variables, and end this process."""
    completers = {**_BY_METAVAR, "TOPIC": _these(lambda: [*verbs, *topics()])}
    for action in _actions(parser):
        action.completer = completers.get(str(action.metavar), _Nothing())  # type: ignore[attr-defined]
    argcomplete.autocomplete(parser, always_complete_options=False, default_completer=_Nothing())


def _actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    for action in parser._actions:  # noqa: SLF001 (argparse has no public way to list what a parser takes)
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001 (likewise)
            for verb in action.choices.values():
                yield from _actions(verb)
        elif action.choices is None and action.nargs != 0:
            yield action


class _Nothing(BaseCompleter):
    """Offers nothing, where argcomplete would offer files."""

    def __call__(self, **_: Any) -> list[str]:  # noqa: ANN401 (as argcomplete calls it)
        return []


def _these(list_them: Callable[[], list[str]]) -> Complete:
    return lambda prefix, **_: [text for text in list_them() if text.startswith(prefix)]


def _files(*suffixes: str) -> Complete:
    return lambda prefix, **_: list(_beginning_with(prefix, suffixes))


def _beginning_with(prefix: str, suffixes: tuple[str, ...] = ()) -> Iterator[str]:
    """Name the files and folders that begin so, as they are typed: ``~/`` stays, and a folder ends in ``/``."""
    folder, name = os.path.split(prefix)
    for path in sorted(Path(folder or ".").expanduser().glob("*")):
        if path.name.startswith(name) and (name or not path.name.startswith(".")):
            if path.is_dir():
                yield f"{Path(folder, path.name)}/"
            elif path.name.endswith(suffixes or ""):
                yield str(Path(folder, path.name))


def _targets(prefix: str, **_: Any) -> list[str]:  # noqa: ANN401 (as argcomplete calls it)
    """Name the Python files that begin so; if there is only one, its functions."""
    place, colon, name = prefix.rpartition(":")
    if colon:
        file = Path(place if place.endswith(".py") else f"{place.replace('.', '/')}.py").expanduser()
        return [f"{place}:{function}" for function in functions_in(file) if function.startswith(name)]
    paths = list(_beginning_with(prefix, (".py",)))
    if len(paths) == 1 and paths[0].endswith(".py"):
        return [f"{paths[0]}:{function}" for function in functions_in(Path(paths[0]).expanduser())]
    return [path if path.endswith("/") else f"{path}:" for path in paths]


def _clusters() -> list[str]:
    return sorted(path.parent.name for path in (home() / "clusters").glob("*/cluster.json"))


def _runs() -> list[str]:
    return [record.run for record in known()[:_MOST_RUNS]]


def _clouds(prefix: str, **_: Any) -> list[str]:  # noqa: ANN401 (as argcomplete calls it)
    return [*(["local"] if "local".startswith(prefix) else []), *_beginning_with(prefix, (".yml", ".yaml"))]


def _chapters(prefix: str, parsed_args: argparse.Namespace, **_: Any) -> list[str]:  # noqa: ANN401 (likewise)
    page = topics().get(parsed_args.topic)
    return [anchor for anchor in anchors(page.read_text()) if anchor.startswith(prefix)] if page else []


_BY_METAVAR: Final[dict[str, Complete]] = {
    "TARGET": _targets,
    "INPUT": _files(),
    "OUTPUT": _files(),
    "FILE": _files(),
    "PATH": _files(),
    "NAME": _these(_clusters),
    "CLOUD": _clouds,
    "RUN": _these(_runs),
    "WHICH": _these(lambda: [*_clusters(), *_runs()]),
    "CHAPTER": _chapters,
    "NAME,...": _these(lambda: sorted(os.environ)),
    "HOW": _these(lambda: list(ON_ERRORS)),
}
"""What completes a value, by its name in the help."""
