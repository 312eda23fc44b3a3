"""Say what the rows of a function depend on: its code, and all of the user's that it reaches, each under a name."""

import functools
import sys
import types
from collections import deque
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from muster._model import Fact

from .by_worker import made_by_worker
from .bytecode import GlobalRead, imports, readings, statements
from .content import Contents, Parts
from .main_module import NAMES
from .origins import is_users, is_users_module, label_of
from .unimported import compiled, digest_of_source, origin_of
from .versions import BASE, package

_SAYS_NOTHING: Final = frozenset(
    {
        *(
            "__dict__",
            "__weakref__",
            "__doc__",
            "__module__",
            "__qualname__",
            "__firstlineno__",
            "__static_attributes__",
        ),
        *("__abstractmethods__", "_abc_impl", "__wrapped__", "__signature__", "__annotate__", "__annotations_cache__"),
    }
)
_SAYS_MUCH: Final = frozenset(
    {
        *("__slots__", "__annotations__", "__orig_bases__", "__attrs_attrs__"),
        *("__pydantic_fields__", "__private_attributes__"),
    }
)
_READABLE: Final = (type(None), bool, int, float)
_LONGEST: Final = 40
"""Letters of a global's value that a message can show as it was and is."""

ODD: Final = "?"
"""The prefix of a fact whose value cannot be compared."""


def facts_of(function: object) -> tuple[Fact, ...]:
    """List what the rows of a function or a class depend on: the same in every process. It never raises."""
    walk = _CodeWalk()
    walk.meet(function)
    return walk.end()


def facts_of_value(what: str, value: object) -> tuple[Fact, ...]:
    """List what there is to know of a value, under a name, with what it refers to. It never raises."""
    walk = _CodeWalk()
    walk.add(what, value)
    return walk.end()


class _CodeWalk:
    """Goes from one function to all code and globals of the user's that it reaches, and digests each by itself.

    Within others, what has a name is digested by that name: so circles end, and a message can name what changed.
    """

    def __init__(self) -> None:
        self._facts: dict[str, Fact] = {}
        self._queue: deque[functools.partial[None]] = deque()
        self._met: set[object] = set()
        self._kept: list[object] = []
        self._odd: set[str] = set()

    def meet(self, value: object) -> None:
        """Begin with a function, a class or an object that can be called."""
        if self._named(value) is None:
            name = getattr(value, "__qualname__", None)
            self._add(f"the function {name!r}" if name else f"the {type(value).__qualname__} object", value)

    def add(self, what: str, value: object) -> None:
        """Begin with a value, under a name."""
        self._add(what, value)

    def end(self) -> tuple[Fact, ...]:
        """Follow everything, and list the facts."""
        while self._queue:
            self._queue.popleft()()
        return tuple(self._facts[what] for what in sorted(self._facts))

    def _add(self, what: str, value: object, *, place: tuple[str, str] = ("", ""), parts: Parts | None = None) -> None:
        """Digest a value by what it holds; it becomes a fact of its own."""
        contents = Contents(named=self._named, parts=self._parts)
        try:
            text = "#" + contents.digest(value if parts is None else parts(value)).hex()
        except RecursionError:
            contents.odd.add("something nested too deeply")
            text = ""
        except Exception as error:  # noqa: BLE001 (objects of others may raise anything when they are looked at)
            contents.odd.add(f"{type(value).__qualname__} ({type(error).__name__})")
            text = ""
        if contents.odd:
            text = ODD + ", ".join(sorted(contents.odd))
        elif type(value) in _READABLE and len(repr(value)) <= _LONGEST:
            text = repr(value)
        self._note(Fact(what, text, *place))

    def _note(self, fact: Fact) -> None:
        earlier = self._facts.get(fact.what)
        if earlier is not None and earlier != fact:  # two objects of one name, such as closures of one function
            at = next(at for at in range(2, len(self._facts) + 3) if f"{fact.what} ({at})" not in self._facts)
            fact = Fact(f"{fact.what} ({at})", fact.value, fact.module, fact.name)
        self._facts[fact.what] = fact

    def _later(self, key: object, work: "functools.partial[None]") -> None:
        if key not in self._met:
            self._met.add(key)
            self._queue.append(work)

    # Names

    def _named(self, value: object) -> str | None:
        """Name a function, class or module that can be found by its name, and queue it for a fact of its own."""
        if isinstance(value, types.ModuleType):
            if is_users_module(value.__name__):
                self._later(("module", value.__name__), functools.partial(self._all_of, value))
            else:
                self._library(value.__name__)
            return value.__name__
        if not isinstance(value, type | types.FunctionType | types.BuiltinFunctionType):
            return None
        home = _home_of(value)
        if home is None:
            return None
        module, name = home
        if not is_users_module(module):
            self._library(module)
        elif isinstance(value, type | types.FunctionType):
            kind = "class" if isinstance(value, type) else "function"
            what = f"the {kind} {name!r} of {label_of(vars(sys.modules[module]))}"
            place = (module if _is_found_anew(module) else "", "")
            work = functools.partial(self._add, what, value, place=place, parts=self._parts_in_full)
            self._later((kind, module, name), work)
        return f"{module}:{name}"

    def _parts_in_full(self, value: Any) -> list[object]:  # noqa: ANN401 (a function or a class)
        return list(self._parts(value))

    def _library(self, module: str) -> None:
        top = module.partition(".")[0]
        if top and top not in sys.stdlib_module_names and top not in {*BASE, "muster"}:
            self._later(("package", top), functools.partial(self._package, top))

    def _package(self, top: str) -> None:
        self._note(package(top))

    def _all_of(self, module: types.ModuleType) -> None:
        """Follow everything in a module that is passed around as a value, as any of its names may be used."""
        for name in sorted(vars(module)):
            if not name.startswith("__"):
                self._global(vars(module), GlobalRead(name))

    # What things are made of

    def _parts(self, value: Any) -> Iterable[object]:  # noqa: ANN401 (a function, a class, or code)
        match value:
            case types.CodeType():
                return statements(value)
            case types.FunctionType():
                return self._parts_of_function(value)
            case type():
                return self._parts_of_class(value)
            case types.BuiltinFunctionType():
                return [value.__name__, value.__self__]
        return [value]

    def _parts_of_function(self, function: types.FunctionType) -> list[object]:
        code = function.__code__
        cells = list(zip(code.co_freevars, function.__closure__ or (), strict=False))
        attributes = {name: held for name, held in vars(function).items() if name not in _SAYS_NOTHING}
        parts: list[object] = [function.__defaults__, function.__kwdefaults__, cells, attributes]
        if not is_users(code.co_filename):  # a library's wrapper around something of the user's
            self._library(str(function.__globals__.get("__name__", "")))
            return [code.co_qualname, *parts]
        self._read(code, function.__globals__)
        return [code, dict(function.__annotations__), *parts]

    def _read(self, code: types.CodeType, globals_: dict[str, Any]) -> None:
        """Follow the globals that code reads, and the modules that it imports when it runs."""
        for reading in dict.fromkeys(readings(code)):
            if reading.name in globals_:
                self._global(globals_, reading)
        for name in imports(code, package=str(globals_.get("__package__") or "")):
            self._later(("import", name), functools.partial(self._imported, name))

    def _parts_of_class(self, kind: type) -> list[object]:
        attributes = [(name, held) for name, held in sorted(vars(kind).items()) if _counts(name, held)]
        return [kind.__qualname__, type(kind), kind.__bases__, attributes]

    # Globals and modules

    def _global(self, globals_: Mapping[str, Any], reading: GlobalRead) -> None:
        """Follow a global; of a module of the user's, only the attributes that are read."""
        value = globals_[reading.name]
        attributes = reading.attributes
        while isinstance(value, types.ModuleType) and attributes and is_users_module(value.__name__):
            inner = vars(value).get(attributes[0], value)
            if inner is value:  # it has no such attribute yet
                return
            globals_, reading = vars(value), GlobalRead(attributes[0], attributes[1:])
            value, attributes = inner, reading.attributes
        if isinstance(value, types.ModuleType):
            self._named(value)
            return
        module = str(globals_.get("__name__", ""))
        self._kept.append(globals_)  # so that no other gets its id
        self._later((id(globals_), reading.name), functools.partial(self._value, globals_, module, reading.name))

    def _value(self, globals_: Mapping[str, Any], module: str, name: str) -> None:
        value = globals_[name]
        what = f"the global {name} of {label_of(globals_)}"
        is_imported = _is_found_anew(module) and vars(sys.modules[module]) is globals_
        label = self._named(value)
        if label == f"{module}:{name}":
            return
        place = (module, name) if is_imported else ("", "")
        if label is not None:
            self._note(Fact(what, label, *place))
        elif is_imported and (made := made_by_worker(module).get(name)):
            self._add(what, made.text, place=place)
            for other in sorted(made.reads & globals_.keys()):
                self._global(globals_, GlobalRead(other))
        else:
            self._add(what, value, place=place)

    def _imported(self, name: str) -> None:
        """Follow a module that is imported only when a function runs: by its file, without importing it."""
        origin, is_package = origin_of(name)
        if not origin:
            return
        if not is_users(origin):
            self._library(name)
        elif origin.endswith(".py"):
            self._note(Fact(f"the module {name}", digest_of_source(Path(origin))))
            code = compiled(Path(origin))
            for other in imports(code, package=name if is_package else name.rpartition(".")[0]) if code else ():
                self._later(("import", other), functools.partial(self._imported, other))


def _counts(name: str, held: object) -> bool:
    """Tell whether an attribute of a class counts: one that the user wrote, or that changes how objects behave."""
    if name in _SAYS_NOTHING or isinstance(held, types.GetSetDescriptorType | types.MemberDescriptorType):
        return False
    is_special = name.startswith("__") and name.endswith("__")
    is_code = isinstance(held, types.FunctionType | classmethod | staticmethod | property)
    return not is_special or is_code or name in _SAYS_MUCH


def _is_found_anew(module: str) -> bool:
    """Tell whether a worker imports the same module by this name, from the same file."""
    file = getattr(sys.modules.get(module), "__file__", None)
    return module not in NAMES and bool(file) and origin_of(module)[0] == file


def _home_of(value: Any) -> tuple[str, str] | None:  # noqa: ANN401 (a function or a class)
    """Return the module and the name by which a function or a class can be found; ``None`` if it cannot.

    Modules are not asked by ``getattr``: some would then import more, and ``__main__`` would run its script.
    """
    module, name = getattr(value, "__module__", None), getattr(value, "__qualname__", "")
    if module is None and isinstance(getattr(value, "__self__", None), types.ModuleType):
        module = value.__self__.__name__
    there: Any = sys.modules.get(module) if isinstance(module, str) else None
    for word in name.split("."):
        if isinstance(there, types.ModuleType):
            there = vars(there).get(word)
        else:
            there = getattr(there, word, None) if isinstance(there, type) else None
    if there is value:
        return str(module), name
    is_librarys = isinstance(module, str) and module in sys.modules and not is_users_module(module)
    return (str(module), name) if is_librarys and isinstance(value, type) else None
