"""The user's ``__main__``, in a process whose main program is another: names in pickles are found there, and new ones.

What the caller's functions refer to is carried there by value. What they do not refer to, such as the class of an
object that is read from a pickle, is found once the script has been run under another name, as ``multiprocessing``
does: what stands under ``if __name__ == "__main__"`` is left out.
"""

import os
import re
import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final, NamedTuple

from muster.errors import UsageError, UserCodeError

NAMES: Final = ("__main__", "__mp_main__")
"""What a script is called where it is the main program, and where ``multiprocessing`` has spawned the process."""

_NOT_MAIN: Final = "__mp_main__"

_DEFINES_UNSEEN: Final = re.compile(r"\bimport +\*|\b(globals|locals|vars|exec|setattr)\b")
"""What a script can define names with that do not stand in it."""

_loading: ContextVar[str] = ContextVar("loading", default="")
_offered: Final[dict[str, types.ModuleType]] = {}


class MainScript(NamedTuple):
    """The program that the caller's process runs: its file, and its package where it was run with ``-m``."""

    file: str = ""
    package: str | None = None


class Main(types.ModuleType):
    """A ``__main__`` that is filled with what is carried to it, and that runs its script when a name is missing."""

    __slots__ = ("failure", "has_run", "script")

    def __init__(self, script: MainScript) -> None:
        """Know the script; nothing of it is run yet."""
        super().__init__("__main__")
        self.script = script
        self.has_run = False
        self.failure: Exception | None = None
        if script.file:
            self.__file__ = script.file
        self.__package__ = script.package

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 (whatever the user has there)
        """Find a name in the modules that were loaded from a target; else run the script, once, for it."""
        if not name.startswith("__"):
            for module in _offered.values():
                if name in vars(module):
                    return vars(module)[name]
            if self._may_define(name):
                if self._run():
                    return getattr(self, name)
                if self.failure is not None:
                    raise self.failure
        raise AttributeError(f"module '__main__' has no attribute {name!r}")

    def _may_define(self, name: str) -> bool:
        """Tell whether a run of the script may define a name; libraries ask for some that it has never heard of."""
        try:
            with open(self.script.file, encoding="utf-8", errors="replace") as file:  # noqa: PTH123 (light)
                text = file.read()
        except OSError:
            return False
        return re.search(rf"\b{re.escape(name)}\b", text) is not None or _DEFINES_UNSEEN.search(text) is not None

    def _run(self) -> bool:
        """Run the script, if there is one and it was not run; what was carried here stays what it is."""
        if self.has_run or not os.path.isfile(self.script.file) or self.script.file in _offered:  # noqa: PTH113 (light)
            return False
        self.has_run = True
        namespace_ = vars(self)
        carried = dict(namespace_)
        with open(self.script.file, "rb") as file:  # noqa: PTH123 (likewise)
            code = compile(file.read(), self.script.file, "exec")
        namespace_["__name__"] = _NOT_MAIN
        try:
            with loading(self.script.file):
                exec(code, namespace_)  # noqa: S102 (the user's own script)
        except UsageError as error:  # it begins a run: a name that stands above that is there by chance
            self.failure = UserCodeError(str(error))
            namespace_.clear()
        finally:
            for value in namespace_.values():
                if isinstance(value, type | types.FunctionType) and value.__module__ == _NOT_MAIN:
                    value.__module__ = "__main__"  # or what it pickles could not be read by the script itself
            namespace_.update(carried)
        return self.failure is None


def become(script: MainScript) -> None:
    """Have this process's ``__main__`` be that of a script from now on."""
    sys.modules["__main__"] = sys.modules[_NOT_MAIN] = Main(script)


def script_of_this_process() -> MainScript:
    """Tell which script this process runs, or runs for."""
    main = sys.modules.get("__main__")
    if isinstance(main, Main):
        return main.script
    file = getattr(main, "__file__", None)
    return MainScript(os.path.abspath(file) if file else "", getattr(main, "__package__", None))  # noqa: PTH100 (light)


def namespace() -> dict[str, Any]:
    """Give carried functions their globals: those of ``__main__``, unless that is this process's own."""
    main = sys.modules["__main__"]
    return vars(main) if isinstance(main, Main) else {"__name__": "__main__"}


def introduced(value: object, names: dict[str, object]) -> object:
    """Give ``__main__`` the names of what was carried, which ``pickle`` looks up there; return what was carried."""
    main = sys.modules["__main__"]
    if isinstance(main, Main):
        for name, named in names.items():
            vars(main).setdefault(name, named)
    return value


def offer(module: types.ModuleType) -> None:
    """Let ``__main__`` have the names of a target's module, which is ``__main__`` to ``python file.py``."""
    _offered[module.__file__ or module.__name__] = module


def withdraw() -> None:
    """Offer no more names."""
    _offered.clear()


@contextmanager
def loading(place: str) -> Iterator[None]:
    """Note where code is loaded from, for as long as that takes."""
    token = _loading.set(place)
    try:
        yield
    finally:
        _loading.reset(token)


def check_not_loading() -> None:
    """Raise ``UsageError`` if code that a run loads begins a run itself: that would never end."""
    if place := _loading.get():
        raise UsageError(
            f"{place} begins a run while a run loads it: every worker loads that code, and would begin the run anew."
            " Put the call under if __name__ == '__main__': there, then type the same command again. More:"
            " muster help functions"
        )
