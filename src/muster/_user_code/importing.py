"""Import what a target names: a file as Python would run it, or a module."""

import contextlib
import importlib
import importlib.util
import inspect
import sys
import types
from pathlib import Path
from typing import Any, Final

from muster._model import Target
from muster._words import as_name
from muster._words.near import nearest, with_guess
from muster.errors import UsageError

from . import main_module
from .at_the_top import PIPELINE, may_be_pipeline, pipelines_in
from .fresh import FreshLoader, fresh_imports
from .loaded import recent

_temporary: Final[list[str]] = []
"""Names of the modules that were imported from a target's file, and of those beside it that it imported."""

_unnamed: Final[set[str]] = set()
"""Names of modules that were imported from a target's file and cannot be imported by that name."""


def by_name(target: Target, *, is_temporary: bool) -> object:
    """Import the file or module of a target, and find the name in it. Raises ``UsageError`` where it has none.

    What is temporary ``forget`` removes.
    """
    with fresh_imports():  # also of a pipeline, which is loaded where no worker has begun
        module = (
            _module_from_file(Path(target.place), is_temporary=is_temporary)
            if target.kind == "file"
            else _module_from_name(target.place)
        )
    main_module.offer(module)
    value = _walk(module, target)
    if value is None:
        raise _lacking(target, module)
    if not callable(value) and not may_be_pipeline(target):
        raise no_function(target, value)
    return value


def no_function(target: Target, value: object) -> UsageError:
    """Say what a target is instead of a function."""
    kind = type(value).__name__
    advice = ""
    if kind == "Pipeline":  # a file is parsed before it is run, and what a function of it returns is not known then
        advice = (
            " A pipeline is taken that is called 'pipeline', or that a line such as"
            f" {target.name} = muster.read_csv(...).map_batches(...).write_csv(...) at the top of the file makes."
        )
    return UsageError(f"{target.name!r} in {target.place} is of type {kind}, not a function or a class.{advice}")


def forget() -> None:
    """Have what is temporary imported anew next time."""
    while _temporary:
        sys.modules.pop(_temporary.pop(), None)


def has_no_name(module: types.ModuleType) -> bool:
    """Tell whether nobody can import a module by its name, as that of ``model.v2.py``."""
    return module.__name__ in _unnamed


def _walk(module: types.ModuleType, target: Target) -> Any:  # noqa: ANN401 (whatever there is)
    """Find a name, or one within a class: ``Class.method``. Raises ``UsageError`` for a method that needs an object."""
    value: Any = module
    for word in target.name.split("."):
        holder, value = value, getattr(value, word, None)
        if isinstance(holder, type) and isinstance(inspect.getattr_static(holder, word, None), types.FunctionType):
            kind = holder.__name__
            raise UsageError(
                f"{target.name!r} is a method of an object of {kind}, and there is none. Name the class, {kind}, and"
                f" call {word} in its __call__(self, df); or make it a @staticmethod or @classmethod."
            )
    return value


def _lacking(target: Target, module: types.ModuleType) -> UsageError:
    """Say what a file or module defines in place of what was named, and what to type."""
    defined = [  # what the file runs by itself comes first
        *(pipelines_in(Path(module.__file__)) if module.__file__ else ()),
        *(
            name
            for name, value in vars(module).items()
            if callable(value) and getattr(value, "__module__", "") == module.__name__ and not name.startswith("_")
        ),
    ]
    place = target.place
    with contextlib.suppress(ValueError):  # it lies elsewhere
        place = str(Path(place).relative_to(Path.cwd()))
    place = as_name(place)
    has_not = f"{place} has no {with_guess(target.name, defined, shown=repr(target.name))}"
    if not defined:
        return UsageError(f"{has_not}, and it defines no function. Write one that takes a DataFrame and returns one.")
    *others, last = (f"{place}:{name}" for name in defined)
    listed = f"{', '.join(others)} or {last}" if others else last
    if target.name == PIPELINE:
        return UsageError(f"{place} has no 'pipeline', and no function is named. Type {listed}.")
    return UsageError(f"{has_not}. It defines: {', '.join(defined)}. Type {listed}.")


def _module_from_file(path: Path, *, is_temporary: bool) -> types.ModuleType:
    """Import a file as ``python file.py`` would: its folder comes first on the search path."""
    folder = str(path.parent)
    if sys.path[:1] != [folder]:
        sys.path.insert(0, folder)
    plain = path.stem.replace(".", "_")  # to import "model.v2" would be to import "model" first
    loaded = sys.modules.get(plain)
    if loaded is not None and getattr(loaded, "__file__", None) == str(path):
        return loaded
    name = plain if loaded is None else f"_muster_target_{plain}"
    specification = importlib.util.spec_from_file_location(name, path, loader=FreshLoader(name, str(path)))
    if specification is None or specification.loader is None:
        raise UsageError(f"{str(path)!r} cannot be imported as Python.")
    if name != path.stem:
        _unnamed.add(name)
    module = importlib.util.module_from_spec(specification)
    before = set(recent())
    sys.modules[name] = module
    try:
        specification.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    finally:
        if is_temporary:  # also where it raises: what it has imported by then may be what is mended
            new = (other for other in recent() if other not in before)
            _temporary.extend(other for other in new if _is_below(sys.modules[other], path.parent))
    return module


def _is_below(module: types.ModuleType, folder: Path) -> bool:
    return Path(getattr(module, "__file__", None) or "").is_relative_to(folder)


def _module_from_name(name: str) -> types.ModuleType:
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not name.startswith(error.name):
            raise
        like = nearest(name, (path.name for path in Path.cwd().glob("*.py"))) or f"{name}.py"
        meant = f"Did you mean {as_name(like)}?" if Path(like).is_file() else f"For a file, type {like}:…"
        raise UsageError(f"No module {name!r} in this environment or folder. {meant}") from error
