"""Look through a function's source for what mixes rows: such a result depends on where batches end.

It is judged by names alone, without a call: ``df["x"].mean()`` mixes rows, ``df.mean(axis=1)`` and ``row.mean()`` in a
function that is applied to each row do not. What cannot be followed is not remarked upon.
"""

import functools
import inspect
import sys
from collections.abc import Callable, Sequence
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any, Final

from muster._model import Target

from .syntax import SourceModule
from .walk import Remarks, remarks_in

_MOST: Final = 3
"""How many remarks a warning has room for."""


def remarks_on(function: Callable[..., Any] | None, target: Target) -> tuple[str, ...]:
    """Say which lines of a function mix rows; nothing where its source cannot be read."""
    try:
        remarks = _in_object(function) if function is not None else _in_file(target)
    except Exception:  # noqa: BLE001 (whatever odd thing the user made: nothing is remarked upon, and the run goes on)
        return ()
    return tuple(f"line {line}: {text} ({', '.join(names)})" for line, (text, names) in sorted(remarks.items()))[:_MOST]


def warnings_of(steps: Sequence[Target], remarks: Sequence[str], *, is_stream: bool = False) -> list[str]:
    """Put the remarks on functions into words, where there are any. A stream has no ``--batch-rows``."""
    silenced = "" if is_stream else " With --batch-rows N the batches are the same in every run, and this is not said."
    name = " | ".join(step.name for step in steps)
    text = (
        f"{name!r} may not treat each row by itself: {'; '.join(remarks)}. It is called with a batch of rows, not with"
        " the whole file, so such a result depends on where batches end. Work out beforehand what takes all rows, and"
        f" use it here. To see which columns differ, type muster check.{silenced} More: muster help row-wise"
    )
    return [text] if remarks else []


def _in_file(target: Target) -> Remarks:
    path = Path(target.place) if target.kind == "file" else _file_of(target.place)
    return remarks_in(SourceModule(path.read_text(encoding="utf-8")), target.name)


def _file_of(module: str) -> Path:
    """Find a module's file without importing anything."""
    where, origin = [str(Path.cwd()), *sys.path], ""
    for word in module.split("."):
        spec = PathFinder.find_spec(word, where)
        if spec is None:
            raise ModuleNotFoundError(module)
        where, origin = list(spec.submodule_search_locations or []), spec.origin or ""
    return Path(origin)


def _in_object(function: Any) -> Remarks:  # noqa: ANN401 (whatever can be called)
    bound = 0
    while isinstance(plain := inspect.unwrap(function), functools.partial):
        function, bound = plain.func, bound + len(plain.args)
    if not inspect.isroutine(plain):
        plain = (plain if isinstance(plain, type) else type(plain)).__call__
    lines, _ = inspect.findsource(plain)
    plain = getattr(plain, "__func__", plain)
    return remarks_in(SourceModule("".join(lines)), plain.__name__, line=plain.__code__.co_firstlineno, bound=bound)
