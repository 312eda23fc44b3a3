"""Find a file by the name that it has at home, on a machine that has it somewhere else.

What was sent lies below one folder, the mirror, each file where it lies at home; the working folder too. So relative
names lead to it by themselves, and absolute ones once they are turned, by what Python opens and looks files up with.
What compiled code opens by an absolute name is not turned.
"""

import builtins
import functools
import io
import os
import sys
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from muster._user_code.origins import is_users

_TURNED: Final = ("open", "listdir", "scandir", "chdir", "access")
"""What ``os`` opens and lists with, by a name that comes first."""

_LOOKED_UP: Final = ("stat", "lstat")
_NOT_ASKED_BY_THE_FUNCTION: Final = ("linecache", "inspect", "tokenize", "traceback", "pkgutil", "zipimport", "runpy")
"""Modules that look for source code, and go on without it."""

_DEEP: Final = 12
IMPORT: Final = "import "
_CARRIES: Final = ("cloudpickle.py", f"{os.sep}targets.py")
"""What imports modules for the user's code, besides itself."""


class Mirror(NamedTuple):
    """The folder below which what was sent lies, and which files and folders of home's that are."""

    root: str
    sent: tuple[str, ...] = ()

    def here(self, path: str) -> str:
        """Turn an absolute name of home's into where the file is here; leave all others as they are."""
        if not path.startswith(os.sep) or path.startswith(self.root):
            return path
        plain = os.path.normpath(path)
        if not any(plain == one or plain.startswith(one.rstrip(os.sep) + os.sep) for one in self.sent):
            return path
        there = self.root + plain
        if _exists(there) or (_exists(there.rpartition(os.sep)[0]) and not _exists(path)):
            return there
        return path

    def at_home(self, path: str) -> str:
        """Turn the name that a file has here into the one that it has at home."""
        return (path.removeprefix(self.root) or os.sep) if path.startswith(self.root + os.sep) else path


_lstat: Final = os.lstat


def _exists(path: str) -> bool:
    try:
        _lstat(path)
    except (OSError, ValueError):
        return False
    return True


def install(mirror: Mirror, missed: Callable[[str], None]) -> None:
    """Have this process find what was sent; ``missed`` is told the name of what is looked up in vain.

    Of a module that is, :data:`IMPORT` and its name.
    """
    sys.meta_path.append(_LastFinder(missed))
    opened = _turning(builtins.open, mirror)
    builtins.open = io.open = opened
    for name in _TURNED:
        setattr(os, name, _turning(getattr(os, name), mirror))
    for name in _LOOKED_UP:
        setattr(os, name, _telling(_turning(getattr(os, name), mirror), missed))


def _turning(function: Callable[..., Any], mirror: Mirror) -> Callable[..., Any]:
    @functools.wraps(function)
    def turned(*given: Any, **named: Any) -> Any:  # noqa: ANN401 (whatever it takes)
        if given and isinstance(given[0], str | bytes | os.PathLike):
            path = os.fsdecode(given[0])
            there = mirror.here(path)
            if there != path:
                given = (os.fsencode(there) if isinstance(given[0], bytes) else there, *given[1:])
        return function(*given, **named)

    return turned


def _telling(function: Callable[..., Any], missed: Callable[[str], None]) -> Callable[..., Any]:
    @functools.wraps(function)
    def told(*given: Any, **named: Any) -> Any:  # noqa: ANN401 (likewise)
        try:
            return function(*given, **named)
        except FileNotFoundError:
            if given and isinstance(given[0], str | bytes | os.PathLike) and is_asked_by_the_function():
                missed(os.fsdecode(given[0]))
            raise

    return told


class _LastFinder:
    """Is asked for a module once nobody else has found it, and tells of it where the user's code imports it."""

    def __init__(self, missed: Callable[[str], None]) -> None:
        """Tell ``missed``."""
        self._missed = missed

    def find_spec(self, fullname: str, path: object, target: object = None) -> None:
        """Find nothing."""
        del path, target
        frame: Any = sys._getframe(1)  # noqa: SLF001 (there is no other way to ask who calls)
        while frame is not None and "importlib" in frame.f_code.co_filename:
            frame = frame.f_back
        if frame is None or is_users(frame.f_code.co_filename) or frame.f_code.co_filename.endswith(_CARRIES):
            self._missed(IMPORT + fullname)


def is_asked_by_the_function() -> bool:
    """Tell whether it is not Python itself that looks, for modules or for source code to show."""
    frame = sys._getframe(1)  # noqa: SLF001 (there is no other way to ask who calls)
    for _ in range(_DEEP):
        file = frame.f_code.co_filename
        name = file.rpartition(os.sep)[2].removesuffix(".py")
        if is_users(file):
            return True
        if name in _NOT_ASKED_BY_THE_FUNCTION or "importlib" in file:
            return False
        if frame.f_back is None:
            break
        frame = frame.f_back
    return True
