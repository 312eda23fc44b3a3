"""Load the functions of a run in this process, each once, and release them."""

import contextlib
import sys
import typing
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from typing import Any, Final

from muster._model import Code, Global, Target
from muster._process.limit import TimeIsUp
from muster._words import bare
from muster.errors import UsageError, UserCodeError

from . import arguments, edits, frames, importing, main_module
from .awaited import end_loop
from .described import described
from .fresh import import_as_ever, import_fresh
from .loaded import loaded
from .origins import user_traceback
from .state import restore
from .targets import is_own, own_function
from .world import World

_ANY: Final = Code()


class Loaded:
    """The functions that one worker has loaded, each once: a class is built once in it."""

    def __init__(self) -> None:
        """Begin with none."""
        from .generators import Generators

        world = World.here()
        self._generators = Generators(world.seeds, world.run)
        self._sown: Sequence[Target] = ()
        self._functions: dict[Target, Callable[[Any], object]] = {}
        self._frames: dict[Target, str] = {}
        self._imported: dict[Target, object] = {}
        self._state: tuple[Global, ...] = ()
        self._code = Code()
        self._path = list(sys.path)
        self.modules = frozenset(loaded())
        """Names of those that may be the user's and were there when the last function was loaded, or this began."""
        _at_work.append(self)
        import_fresh()

    def end(self) -> None:
        """Release them. If no other thread uses the modules, these are forgotten, and read anew next time."""
        end_loop()
        self._generators.restore()
        self._forget()
        self._imported.clear()
        _at_work.remove(self)
        if not _at_work:
            main_module.withdraw()
            importing.forget()
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
        self._find_generators(targets)
        self._generators.begin(*place)

    def sower_of_groups(self, targets: Sequence[Target]) -> Callable[[int], None]:
        """Give what has the random numbers of these begin with what belongs to a group, by its place."""
        self._find_generators(targets)
        return self._generators.begin_group

    def _find_generators(self, targets: Sequence[Target]) -> None:
        if targets is not self._sown and targets != self._sown:
            self._generators.find(self.get(target) for target in targets)
            self._sown = targets

    def have(self, state: tuple[Global, ...], code: Code = _ANY) -> None:
        """Set these globals once a target is imported, before it is built; what was built without them is dropped.

        What is loaded from then on must be the ``code`` that the run began with.
        """
        self._code = code
        if state != self._state:
            self._state = state
            self._forget()
            self._sown = ()

    def _forget(self) -> None:
        self._functions.clear()
        self._frames.clear()

    def find(self, target: Target) -> object:
        """Import a target, unless that was done before."""
        if target not in self._imported:
            self._imported[target] = _find(target)
        restore(self._state)
        return self._imported[target]

    def _find_as_it_was(self, target: Target) -> object:
        imported = self.find(target)
        if edits.were_edited(self._code):
            edits.check_same(self._code, target.name, described(target, imported).facts)
        return imported

    def get(self, target: Target) -> Callable[[Any], object]:
        """Load a target, unless that was done before. Raises ``UserCodeError`` where it was edited since."""
        if target not in self._functions:
            self._functions[target] = _made(target, self._find_as_it_was)
            self.modules = frozenset(loaded())
        return self._functions[target]

    def frame_for(self, target: Target) -> str:
        """Tell which kind of frame a target takes; that is found out once, as it takes as long as a call."""
        if target not in self._frames:
            self._frames[target] = frames.wants(self.get(target))
        return self._frames[target]


_at_work: Final[list[Loaded]] = []
_here: Final[ContextVar[Loaded]] = ContextVar("loaded")


def load(target: Target) -> Callable[[Any], object]:
    """Make the step's function: import it, and build it once where it is a class.

    Raises ``UsageError`` when the file has no such name, ``UserCodeError`` when the user's own code raises.
    """
    here = _here.get(None)
    return _made(target, _find) if here is None else here.get(target)


def frame_for(target: Target) -> str:
    """Tell which kind of frame a step's function takes, as ``frames`` does. Raises as ``load`` does."""
    here = _here.get(None)
    return frames.wants(load(target)) if here is None else here.frame_for(target)


def sow(targets: Sequence[Target], *place: int) -> None:
    """Have the random numbers of these functions begin with what belongs to the batch at a place."""
    if (here := _here.get(None)) is not None:
        here.sow(targets, *place)


def sower_of_groups(targets: Sequence[Target]) -> Callable[[int], None]:
    """Give what has the random numbers of these functions begin with what belongs to the group at a place.

    It is called for each group, so what can be found out before is.
    """
    here = _here.get(None)
    return (lambda _: None) if here is None else here.sower_of_groups(targets)


def _made(target: Target, finds: Callable[[Target], object]) -> Callable[[Any], object]:
    try:
        imported = finds(target)
        function = arguments.bound(imported, arguments.values_of(imported, target)) if callable(imported) else None
    except (UsageError, UserCodeError):
        raise
    except (Exception, SystemExit, TimeIsUp) as error:
        raise _unloadable(target, error) from error
    if function is None:
        raise importing.no_function(target, imported)
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
        f"Loading {target.name!r} from {place} raised {kind.__name__}: {bare(error)}. To go on, {hint}, then type the"
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
    if is_own(target):
        return own_function(target)
    if target.kind == "pickle":
        with main_module.loading(f"The module of {target.name!r}"):
            from .shared_objects import restored

            return restored(target.carried)
    with main_module.loading(target.place):
        return importing.by_name(target, is_temporary=_here.get(None) is not None)


def used() -> "Loaded | None":
    """Return what ``load`` loads into, in this thread."""
    return _here.get(None)
