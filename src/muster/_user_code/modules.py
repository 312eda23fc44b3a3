"""List the user's modules that a function reaches, from wherever Python has found them."""

import sys
import types
from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from muster._model import Module, Target

from .bytecode import imports
from .loading import find, load
from .origins import is_users, is_users_module
from .unimported import compiled, origin_of


class Reached(NamedTuple):
    """Ask a worker for the user's modules that the steps have imported, or import when they run."""

    steps: tuple[Target, ...]

    def answer(self) -> tuple[Module, ...]:
        """Load them. Raises as ``load`` does."""
        for step in self.steps:
            load(step)
        loaded = {
            name: str(module.__file__)
            for name, module in list(sys.modules.items())
            if getattr(module, "__file__", None) and name not in {"__main__", "__mp_main__"} and is_users_module(name)
        }
        code = [code for step in self.steps for code in _code_of(find(step))]
        return tuple(dict.fromkeys(_module(name, file) for name, file in _with_later_ones(loaded, code).items()))


def _code_of(function: object) -> Iterator[types.CodeType]:
    for held in (function, *vars(function).values()) if isinstance(function, type) else (function,):
        if isinstance(held, types.FunctionType):
            yield held.__code__


def _with_later_ones(loaded: dict[str, str], code: Iterable[types.CodeType]) -> dict[str, str]:
    """Add the modules that these import only when they run, and what those import."""
    files = dict(loaded)
    waiting = deque(name for executed in code for name in imports(executed, package=""))
    for name, file in loaded.items():
        waiting += _imported_by(name, file)
    while waiting:
        name = waiting.popleft()
        if name in files or name in sys.stdlib_module_names:
            continue
        origin, _ = origin_of(name)
        if origin and is_users(origin):
            files[name] = origin
            waiting += _imported_by(name, origin)
    return files


def _imported_by(name: str, file: str) -> Iterator[str]:
    code = compiled(Path(file)) if file.endswith(".py") else None
    package = name if Path(file).name == "__init__.py" else name.rpartition(".")[0]
    yield from imports(code, package=package) if code else ()


def _module(name: str, file: str) -> Module:
    path = Path(file)
    depth = name.count(".") + (path.name.startswith("__init__."))
    root = path.parents[min(depth, len(path.parents) - 1)]
    while not path.exists() and path != path.parent:  # it is in an archive of modules
        path = path.parent
        root = path
    while (path.parent / "__init__.py").exists():
        path = path.parent
    return Module(str(path), str(root))
