"""Find the user's function, load it, and tell what it wants."""

import contextlib
import functools
import importlib
import importlib.util
import inspect
import os
import sys
import types
import typing
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextvars import ContextVar
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, NamedTuple

from muster._model import Arguments, Code, DataFile, Fact, Global, Target
from muster._near import nearest, with_guess
from muster._process.limit import Limit, TimeIsUp
from muster.errors import UsageError, UserCodeError

from . import arguments, edits, main_module
from .awaited import end_loop
from .fresh import FreshLoader, import_as_ever, import_fresh
from .origins import user_traceback
from .state import differing, outdated, restore
from .world import World

_loaded: Final[list[str]] = []
"""Names of the modules that were loaded from a target's file, and of those beside it that it imported."""

_unnamed: Final[set[str]] = set()
"""Names of modules that were loaded from a target's file and cannot be imported by that name."""

_ANY: Final = Code()

_own: Final[weakref.WeakValueDictionary[str, Target]] = weakref.WeakValueDictionary()
"""Targets whose function was given to this very process, which calls it as it is: no copy of it."""


class Described(NamedTuple):
    """What a target turned out to be: the step's name, and what its rows depend on."""

    name: str
    facts: tuple[Fact, ...]
    set_there: tuple[Fact, ...] = ()
    """Globals that the caller's program has set in modules that were imported anew here."""
    outdated: tuple[str, ...] = ()
    """What the caller has imported from files that were written since."""
    files: tuple[DataFile, ...] = ()
    """The user's code here, as it is now."""


class Describe(NamedTuple):
    """Ask a worker what the steps are called, and what their rows depend on."""

    steps: tuple[Target, ...]
    timeout: float | None = None
    """Seconds that loading them may take."""
    state: tuple[Global, ...] = ()
    builds: bool = True
    """Whether classes are built, too."""

    def answer(self) -> list[Described]:
        """Load them. Raises as ``load`` does."""
        if (here := _here.get(None)) is not None:
            here.have(self.state)
        with _loading(self.steps, self.timeout):
            return describe(self.steps, builds=self.builds)


class Build(NamedTuple):
    """Ask a worker to build the steps, so that their first calls find them built."""

    steps: tuple[Target, ...]
    timeout: float | None = None
    state: tuple[Global, ...] = ()

    def answer(self) -> tuple[DataFile, ...]:
        """Build them; list the files of the user's code that are loaded now. Raises as ``load`` does."""
        if (here := _here.get(None)) is not None:
            here.have(self.state)
        with _loading(self.steps, self.timeout):
            for step in self.steps:
                load(step)
        return edits.code_files()


@contextlib.contextmanager
def _loading(steps: Sequence[Target], seconds: float | None) -> Iterator[None]:
    """Load steps for so many seconds at most. Raises ``UserCodeError`` when that is over."""
    try:
        with Limit(seconds):
            yield
    except TimeoutError as error:
        names = ", ".join(repr(step.name) for step in steps)
        raise UserCodeError(
            f"Loading {names} was stopped: {error}, which is for that, too. Allow more with --timeout, or do less when"
            " the file is imported and the class is built, then type the same command again."
        ) from error


def parse_target(text: str) -> Target:
    """Understand ``file.py:function``, ``package.module:function`` or ``file.py`` that defines ``pipeline``.

    Raises ``UsageError`` when it is none of these, or the file does not exist.
    """
    place, _, name = text.rpartition(":") if ":" in text else (text, "", "pipeline")
    if place.endswith(".py"):
        if not Path(place).is_file():
            like = nearest(Path(place).name, (beside.name for beside in Path(place).parent.glob("*.py")))
            meant = f" Did you mean {Path(place).with_name(like)}?" if like else " Check the path before the colon."
            raise UsageError(f"No file {place!r}, so no function {name!r} in it.{meant}")
        return Target("file", str(Path(place).resolve()), name)
    if Path(place).is_file():
        raise UsageError(f"{place!r} names no function, as it is no file of Python. Type file.py:function.")
    if not all(word.isidentifier() for word in name.split(".")) or not all(
        word.isidentifier() for word in place.split(".")
    ):
        raise UsageError(f"{text!r} names no function. Type file.py:function or package.module:function.")
    return Target("module", place, name)


def with_arguments(target: Target, chosen: Arguments) -> Target:
    """Give a target arguments; it is another one in this process, too, as a class is built with them."""
    target = replace(target, arguments=chosen)
    if target.own in _own:
        _own[target.own] = target
    return target


def of_function(function: Callable[..., object]) -> Target:
    """Carry a function or class by value, so that lambdas, closures and notebooks work."""
    from .carry import carried
    from .facts import facts_of  # noqa: PLC0415 (likewise)

    name = name_of(function)
    _carry_by_value(sys.modules.get(getattr(function, "__module__", None) or type(function).__module__))
    try:
        target = Target("pickle", "", name, carried(function), os.urandom(8).hex(), function, facts_of(function))
    except Exception as error:
        raise UsageError(
            f"{name!r} cannot be sent to workers: {error}. Make what it holds (a lock, a file, a connection) inside the"
            " function, or in the __init__ of a class. More: muster help functions"
        ).quoting(str(error)) from error
    _own[target.own] = target
    return target


def name_of(function: Callable[..., object]) -> str:
    """Name a function; for one that is bound by ``functools.partial``, what is bound."""
    while isinstance(function, functools.partial):
        function = function.func
    return getattr(function, "__name__", type(function).__name__)


def _carry_by_value(module: types.ModuleType | None) -> None:
    """See to it that functions of a file such as ``model.v2.py`` travel, whose module nobody can import by its name."""
    if module is not None and module.__name__ in _unnamed:
        import cloudpickle

        cloudpickle.register_pickle_by_value(module)


class Loaded:
    """The functions that one worker has loaded, each once: a class is built once in it."""

    def __init__(self) -> None:
        """Begin with none."""
        from .generators import Generators

        world = World.here()
        self._generators = Generators(world.seeds, world.run)
        self._sown: Sequence[Target] = ()
        self._functions: dict[Target, Callable[[Any], object]] = {}
        self._found: dict[Target, object] = {}
        self._state: tuple[Global, ...] = ()
        self._code = Code()
        self._path = list(sys.path)
        self.modules: frozenset[str] = frozenset()
        """Names of the modules that were there when the last function was loaded."""
        _at_work.append(self)
        import_fresh()

    def end(self) -> None:
        """Release them. If no other thread uses the modules, these are forgotten, and read anew next time."""
        end_loop()
        self._generators.restore()
        self._functions.clear()
        self._found.clear()
        _at_work.remove(self)
        if not _at_work:
            main_module.withdraw()
            while _loaded:
                sys.modules.pop(_loaded.pop(), None)
            sys.path[:] = self._path
            import_as_ever()

    @contextlib.contextmanager
    def used(self) -> Iterator[None]:
        """Have ``load`` load into this, in this thread, for as long as the context lasts."""
        token = _here.set(self)
        try:
            yield
        finally:
            _here.reset(token)

    def sow(self, targets: Sequence[Target], *place: int) -> None:
        """Have the random numbers of these begin with what belongs to a batch: the number of its file and first row."""
        if targets != self._sown:
            self._generators.find(self.get(target) for target in targets)
            self._sown = targets
        self._generators.begin(*place)

    def have(self, state: tuple[Global, ...], code: Code = _ANY) -> None:
        """Set these globals once a target is imported, before it is built; what was built without them is dropped.

        What is loaded from then on must be the ``code`` that the run began with.
        """
        self._code = code
        if state != self._state:
            self._state = state
            self._functions.clear()
            self._sown = ()

    def find(self, target: Target) -> object:
        """Import a target, unless that was done before."""
        if target not in self._found:
            self._found[target] = _find(target)
        restore(self._state)
        return self._found[target]

    def _find_as_it_was(self, target: Target) -> object:
        found = self.find(target)
        if edits.were_edited(self._code):
            edits.check_same(self._code, target.name, _described(target, found).facts)
        return found

    def get(self, target: Target) -> Callable[[Any], object]:
        """Load a target, unless that was done before. Raises ``UserCodeError`` where it was edited since."""
        if target not in self._functions:
            self._functions[target] = _made(target, self._find_as_it_was)
            self.modules = frozenset(sys.modules)
        return self._functions[target]


_at_work: Final[list[Loaded]] = []
_here: Final[ContextVar[Loaded]] = ContextVar("loaded")


def load(target: Target) -> Callable[[Any], object]:
    """Make the step's function: import it, and build it once where it is a class.

    Raises ``UsageError`` when the file has no such name, ``UserCodeError`` when the user's own code raises.
    """
    here = _here.get(None)
    return _made(target, _find) if here is None else here.get(target)


def sow(targets: Sequence[Target], *place: int) -> None:
    """Have the random numbers of these functions begin with what belongs to the batch at a place."""
    if (here := _here.get(None)) is not None:
        here.sow(targets, *place)


def _made(target: Target, finds: Callable[[Target], object]) -> Callable[[Any], object]:
    try:
        found = finds(target)
        function = arguments.bound(found, arguments.values_of(found, target))
    except (UsageError, UserCodeError):
        raise
    except (Exception, SystemExit, TimeIsUp) as error:
        raise _unloadable(target, error) from error
    if not callable(function):
        raise UsageError(
            f"{target.name!r} makes {type(function).__name__} objects, which cannot be called. Give the class"
            " a method __call__(self, df), or name a function."
        )
    return typing.cast("Callable[[Any], object]", function)


def _unloadable(target: Target, error: BaseException) -> UserCodeError:
    place = target.place if target.kind != "pickle" else "the caller"
    hint = "put what a script does under if __name__ == '__main__'" if isinstance(error, SystemExit) else "mend it"
    kind = TimeoutError if isinstance(error, TimeIsUp) else type(error)
    return UserCodeError(
        f"Loading {target.name!r} from {place} raised {kind.__name__}: {error}. To go on, {hint}, then type the"
        " same command again.",
        user_traceback(error),
    ).quoting(str(error))


def find(target: Target) -> object:
    """Import what a target names, without calling anything. Raises as ``load`` does."""
    here = _here.get(None)
    try:
        return _find(target) if here is None else here.find(target)
    except UsageError:
        raise
    except (Exception, SystemExit, TimeIsUp) as error:
        raise _unloadable(target, error) from error


def _find(target: Target) -> object:
    if target.own in _own:
        return _own[target.own].function
    if target.kind == "pickle":
        with main_module.loading(f"The module of {target.name!r}"):
            from .laid_down import restored  # noqa: PLC0415 (the command line names its targets)

            return restored(target.carried)
    with main_module.loading(target.place):
        return _find_by_name(target)


def _find_by_name(target: Target) -> object:
    module = _module_from_file(Path(target.place)) if target.kind == "file" else _module_from_name(target.place)
    main_module.offer(module)
    value = _walk(module, target)
    if value is None:
        raise _lacking(target, module)
    if not callable(value) and target.name != "pipeline":
        raise UsageError(f"{target.name!r} in {target.place} is a {type(value).__name__}, not a function or a class.")
    return value


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
    defined = [
        name
        for name, value in vars(module).items()
        if callable(value) and getattr(value, "__module__", "") == module.__name__ and not name.startswith("_")
    ]
    place = target.place
    with contextlib.suppress(ValueError):  # it lies elsewhere
        place = str(Path(place).relative_to(Path.cwd()))
    has_not = f"{place} has no {with_guess(target.name, defined, shown=repr(target.name))}"
    if not defined:
        return UsageError(f"{has_not}, and it defines no function. Write one that takes a DataFrame and returns one.")
    *others, last = (f"{place}:{name}" for name in defined)
    listed = f"{', '.join(others)} or {last}" if others else last
    if target.name == "pipeline":
        return UsageError(f"{place} has no 'pipeline', and no function is named. Type {listed}.")
    return UsageError(f"{has_not}. It defines: {', '.join(defined)}. Type {listed}.")


def _module_from_file(path: Path) -> types.ModuleType:
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
    before = set(sys.modules)
    sys.modules[name] = module
    try:
        specification.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    finally:
        if _here.get(None) is not None:
            _loaded.extend(other for other in sys.modules.keys() - before if _is_below(sys.modules[other], path.parent))
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
        meant = f"Did you mean {like}?" if Path(like).is_file() else f"For a file, type {like}:…"
        raise UsageError(f"No module {name!r} in this environment or folder. {meant}") from error


def describe(targets: Iterable[Target], *, builds: bool = True) -> list[Described]:
    """Load every step and say what its rows depend on. Raises as ``load`` does.

    What travels by value is described where it comes from: there all of it has its name. Where modules are not here as
    they are there, nothing is loaded yet.
    """
    described = [_described(target, find(target)) for target in targets]
    if builds and not any(one.set_there for one in described):
        for target in targets:
            load(target)
    files = edits.code_files()
    return [one._replace(files=files) for one in described]


def _described(target: Target, found: object) -> Described:
    from .facts import facts_of  # noqa: PLC0415 (a command line's own process only names targets)
    from .versions import versions  # noqa: PLC0415 (likewise)

    if target.kind != "pickle":
        one = Described(target.name, facts_of(found))
    elif target.own in _own or not any(fact.module for fact in target.facts):
        one = Described(target.name, target.facts)
    else:
        one = _compared(target, facts_of(found))
    return one._replace(facts=(*one.facts, *arguments.facts_of(found, target), *versions()))


def _compared(target: Target, here: tuple[Fact, ...]) -> Described:
    """Say what the caller knows of a step; but code that workers import anew is what it is now."""
    renewed = {fact.what: fact for fact in here if fact.module and not fact.name}
    facts = tuple(renewed.get(fact.what, fact) for fact in target.facts)
    return Described(target.name, facts, differing(target.facts, here), outdated(target.facts, here))


def wants(function: Callable[[Any], object]) -> str:
    """Tell which frame the first parameter is annotated with: ``pandas``, ``pyarrow`` or ``polars``."""
    while isinstance(function, functools.partial):
        if function.args:  # the batch takes the place behind those
            return "pandas"
        function = function.func
    plain = function if inspect.isroutine(function) else type(function).__call__
    names = [name for name in inspect.signature(plain).parameters if name != "self"]
    annotation = getattr(plain, "__annotations__", {}).get(names[0]) if names else None
    try:
        annotation = typing.get_type_hints(plain).get(names[0]) if names else None
    except Exception:  # noqa: BLE001 (an annotation that cannot be resolved is read as text)
        annotation = str(annotation)
    text = (
        annotation
        if isinstance(annotation, str)
        else f"{getattr(annotation, '__module__', '')}.{getattr(annotation, '__name__', '')}"
    )
    if text.endswith("Table") and text.startswith(("pyarrow", "pa.")):
        return "pyarrow"
    return "polars" if text.endswith("DataFrame") and text.startswith(("polars", "pl.")) else "pandas"
