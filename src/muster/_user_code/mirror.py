"""Find a file by the name that it has at home, on a machine that has it somewhere else.

What was sent lies below one folder, the mirror, each file where it lies at home; the working folder too. So relative
names lead to it by themselves, and absolute ones once they are turned, by what Python opens and looks files up with.
What compiled code opens by an absolute name is not turned.
"""

import builtins
import functools
import importlib
import io
import os
import sys
import zipimport
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib.machinery import all_suffixes
from types import FrameType
from typing import Any, Final, NamedTuple

from .lacking import is_there, named
from .origins import is_users

_TURNED: Final = {
    ("path",): (
        *("open", "listdir", "scandir", "chdir", "chroot", "mkdir", "rmdir", "remove", "unlink", "truncate", "utime"),
        *("chmod", "chown", "lchown", "getxattr", "setxattr", "listxattr", "removexattr"),
    ),
    ("src", "dst"): ("rename", "replace", "link", "symlink"),
}
"""What ``os`` opens, lists and changes with, by the names of the paths that come first; audit events tell of these."""

_LOOKED_UP: Final = ("stat", "lstat")
_ASKED: Final = ("access", "readlink", "statvfs", "pathconf", "mkfifo", "mknod")
"""What else takes a path, and has no audit event."""

_LOADED_BY: Final = (
    ("importlib.util", "spec_from_file_location", ("name", "location")),
    ("runpy", "run_path", ("path_name",)),
)
"""What loads code from a path, the last of these arguments, as Python itself does, of whom nobody is told."""

_NOT_ASKED_BY_THE_FUNCTION: Final = ("linecache", "inspect", "tokenize", "traceback", "pkgutil", "zipimport", "runpy")
"""Modules that look for source code, and go on without it."""

_TOLERANT: Final = ("makedirs", "mkdir", "touch", "unlink")
"""What ``os`` and ``pathlib`` make and remove with, and may be told that it is all the same whether a file is there."""

_ARCHIVES: Final = (".zip", ".egg", ".whl")
_DEEP: Final = 12
"""Frames that are looked through: between a line of the user's and the call stand a few of a library's."""

IMPORT: Final = "import "
_CARRIES: Final = ("cloudpickle.py", f"{os.sep}importing.py", f"{os.sep}shared_objects.py")
"""What imports modules for the user's code, besides itself; the last for what a pickle refers to by its name."""


class Mirror(NamedTuple):
    """The folder below which what was sent lies, and which files and folders of home's that are."""

    root: str
    sent: tuple[str, ...] = ()

    def here(self, path: str) -> str:
        """Turn an absolute name of home's into where the file is here; leave all others as they are."""
        if not path.startswith(os.sep) or path.startswith(self.root):
            return path
        plain = os.path.normpath(path)
        if not any(plain == place or plain.startswith(place.rstrip(os.sep) + os.sep) for place in self.sent):
            return path
        there = self.root + plain
        if is_there(there) or (is_there(there.rpartition(os.sep)[0]) and not is_there(path)):
            return there
        return path

    def at_home(self, path: str) -> str:
        """Turn the name that a file has here into the one that it has at home."""
        return (path.removeprefix(self.root) or os.sep) if path.startswith(self.root + os.sep) else path


def install(mirror: Mirror, missed: Callable[[str], None]) -> None:
    """Have this process find what was sent; ``missed`` is told the name of what is looked up in vain.

    Of a module that is, :data:`IMPORT` and its name.
    """
    sys.meta_path.append(_LastFinder(missed))
    builtins.open = io.open = _turning(builtins.open, mirror, ("file",))
    for names, functions in _TURNED.items():
        for function in functions:
            _replace(function, lambda one, names=names: _turning(one, mirror, names))  # type: ignore[misc]  # its own
    for function in _LOOKED_UP:
        _replace(function, lambda one: _telling(_turning(one, mirror, ("path",)), missed))
    for function in _ASKED:
        _replace(function, lambda one: _turning(_asking(one, missed, ("path",)), mirror, ("path",)))
    for module, function, names in _LOADED_BY:
        place = importlib.import_module(module)
        setattr(place, function, _turning(_asking(getattr(place, function), missed, names), mirror, names))
    archived: Any = zipimport.zipimporter
    archived.__init__ = _turning(_asking(archived.__init__, missed, ("self", "path")), mirror, ("self", "path"))
    _replace("open", _from_the_working_folder)


def _replace(name: str, made: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
    """Put another function into the place of one of ``os``, if this system has it; it has the same abilities."""
    if (function := getattr(os, name, None)) is not None:
        setattr(os, name, other := made(function))
        for able in (os.supports_dir_fd, os.supports_effective_ids, os.supports_fd, os.supports_follow_symlinks):
            if function in able:
                able.add(other)


def _turning(function: Callable[..., Any], mirror: Mirror, names: Sequence[str]) -> Callable[..., Any]:
    """Turn the first arguments of a function, of these names, which are paths."""

    @functools.wraps(function)
    def turned(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 (whatever it takes)
        for at, name in enumerate(names):
            if at < len(args):
                if (there := _turned(args[at], mirror)) is not args[at]:
                    args = (*args[:at], there, *args[at + 1 :])
            elif name in kwargs:
                kwargs[name] = _turned(kwargs[name], mirror)
        return function(*args, **kwargs)

    return turned


def _turned(argument: object, mirror: Mirror) -> object:
    if not isinstance(argument, str | bytes | os.PathLike):
        return argument
    path = os.fsdecode(argument)
    there = mirror.here(path)
    if there == path:
        return argument
    return os.fsencode(there) if isinstance(argument, bytes) else there


def _telling(function: Callable[..., Any], missed: Callable[[str], None]) -> Callable[..., Any]:
    """Tell of what a function has looked up in vain: it is called for every file, so not before."""

    @functools.wraps(function)
    def told(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 (likewise)
        try:
            return function(*args, **kwargs)
        except FileNotFoundError:
            _tell(args[0] if args else kwargs.get("path"), kwargs.get("dir_fd"), missed)
            raise

    return told


def _asking(function: Callable[..., Any], missed: Callable[[str], None], names: Sequence[str]) -> Callable[..., Any]:
    """Tell of the last of these arguments where a function is about to look it up in vain, or to make it."""
    at = len(names) - 1

    def missed_here(path: str) -> None:
        if not is_there(path):
            missed(path)

    @functools.wraps(function)
    def asked(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 (likewise)
        _tell(args[at] if at < len(args) else kwargs.get(names[at]), kwargs.get("dir_fd"), missed_here)
        return function(*args, **kwargs)

    return asked


def _from_the_working_folder(function: Callable[..., int]) -> Callable[..., int]:
    """Have ``os.open`` open by a name that tells all: the audit event does not name the folder that it begins at."""

    @functools.wraps(function)
    def opened(path: Any, *given: Any, dir_fd: int | None = None, **other: Any) -> int:  # noqa: ANN401 (likewise)
        with suppress(OSError):  # where the system does not tell
            path, dir_fd = (path if dir_fd is None else named(path, dir_fd)), None
        return function(path, *given, dir_fd=dir_fd, **other)

    return opened


def _tell(argument: object, folder: int | None, missed: Callable[[str], None]) -> None:
    with suppress(OSError, TypeError):  # whatever is wrong with it, the function itself says so
        path = named(argument, folder)
        if path is not None and is_asked_by_the_function():
            missed(path)


class _LastFinder:
    """Is asked for a module once nobody else has found it, and tells of it where the user's code imports it."""

    def __init__(self, missed: Callable[[str], None]) -> None:
        """Tell ``missed``; where modules are found so far, home knows itself."""
        self._missed = missed
        self._known = frozenset(sys.path)

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: object = None) -> None:
        """Find nothing."""
        del target
        frame: Any = sys._getframe(1)  # noqa: SLF001 (there is no other way to ask who calls)
        while frame is not None and "importlib" in frame.f_code.co_filename:
            frame = frame.f_back
        if frame is None or is_users(frame.f_code.co_filename) or frame.f_code.co_filename.endswith(_CARRIES):
            self._missed(IMPORT + fullname)
            for place in sys.path if path is None else path:
                if isinstance(place, str) and place not in self._known:
                    self._tell_of(os.path.join(place, fullname.rpartition(".")[2]))  # noqa: PTH118 (as text)

    def _tell_of(self, module: str) -> None:
        """Tell of the files that a module may be at home, in a place that the function itself looks in."""
        files = [module, *(module + ending for ending in all_suffixes())]
        files += [place for place in (module.rpartition(os.sep)[0],) if place.endswith(_ARCHIVES)]
        for file in files:
            if not is_there(file):
                self._missed(file)


def is_asked_by_the_function() -> bool:
    """Tell whether it is not Python itself that looks, for modules or for source code to show.

    Nor a library that does the same whether the file is there or not.
    """
    frame = sys._getframe(1)  # noqa: SLF001 (there is no other way to ask who calls)
    for _ in range(_DEEP):
        file = frame.f_code.co_filename
        name = file.rpartition(os.sep)[2].removesuffix(".py")
        if is_users(file):
            return True
        if name in _NOT_ASKED_BY_THE_FUNCTION or "importlib" in file or _is_all_the_same(frame):
            return False
        if frame.f_back is None:
            break
        frame = frame.f_back
    return True


def _is_all_the_same(frame: FrameType) -> bool:
    """Tell whether a library makes what may be there already, or removes what may not be."""
    if frame.f_code.co_name not in _TOLERANT:
        return False
    return bool(frame.f_locals.get("exist_ok") or frame.f_locals.get("missing_ok"))
