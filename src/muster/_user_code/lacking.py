"""Name the files that a call is about to look for in vain, by Python's audit events, on a machine that lacks them.

The computer that began the run may have them, and results may depend on that: a function may catch the error, or make
an empty database or a new folder instead. A file that is overwritten or appended to does not matter, and is not named.
"""

import os
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple
from urllib.parse import unquote

_lstat: Final = os.lstat
_readlink: Final = os.readlink
"""The originals: ``mirror`` replaces those of ``os`` on machines that do not share files."""


class _Argument(NamedTuple):
    """Which argument of an event names a file, and which one the open folder that the name is relative to."""

    at: int
    folder: int | None = None
    is_asked_for: bool = True
    """Whether it makes a difference that the file is there."""
    is_made: bool = False
    """Whether the file is made: its folder has to be there."""


_EVENTS: Final[Mapping[str, tuple[_Argument, ...]]] = {
    "os.chdir": (_Argument(0),),
    "os.chmod": (_Argument(0, 2),),
    "os.chown": (_Argument(0, 3),),
    "os.getxattr": (_Argument(0),),
    "os.link": (_Argument(0, 2), _Argument(1, 3, is_made=True)),
    "os.listxattr": (_Argument(0),),
    "os.mkdir": (_Argument(0, 2, is_made=True),),
    "os.remove": (_Argument(0, 1),),
    "os.removexattr": (_Argument(0),),
    "os.rename": (_Argument(0, 2), _Argument(1, 3, is_asked_for=False, is_made=True)),
    "os.rmdir": (_Argument(0, 1),),
    "os.setxattr": (_Argument(0),),
    "os.symlink": (_Argument(1, 2, is_made=True),),
    "os.truncate": (_Argument(0),),
    "os.utime": (_Argument(0, 3),),
}
_PROGRAMS: Final = ("ctypes.dlopen", "os.exec", "os.posix_spawn", "subprocess.Popen")


def lacking(event: str, arguments: tuple[Any, ...]) -> Iterator[str]:
    """Yield the files that an event names and that are not there; a folder to write in ends in a slash."""
    if event == "open":
        yield from _opened(arguments[0], arguments[2])
    elif event in _EVENTS:
        for place in _EVENTS[event]:
            folder = None if place.folder is None else arguments[place.folder]
            if (path := named(arguments[place.at], folder)) is not None:
                yield from _missing(path, is_asked_for=place.is_asked_for, is_made=place.is_made)
    elif event == "sqlite3.connect":
        if path := database(arguments[0]):
            yield from _missing(path, is_asked_for=True, is_made=True)
    elif event in _PROGRAMS:
        folder = named(arguments[2]) if event == "subprocess.Popen" else None
        for path in filter(None, (folder, _program(arguments[0], folder or ""))):
            yield from _missing(path, is_asked_for=True, is_made=False)


def named(path: object, folder: int | None = None) -> str | None:
    """Return a path as text, joined to the open folder that it is relative to; ``None`` for what names no file."""
    if not isinstance(path, str | bytes | os.PathLike):
        return None
    text = os.fsdecode(path)
    if folder is None or folder < 0 or text.startswith(os.sep):
        return text
    return os.path.join(of_descriptor(folder), text)  # noqa: PTH118 (as text)


def of_descriptor(number: int) -> str:
    """Name an open folder. Raises ``OSError`` where the system does not tell."""
    return _readlink(f"/proc/self/fd/{number}")


def database(argument: object) -> str:
    """Name the file of a database of SQLite, by its path or its URI; nothing if it is in memory."""
    path = named(argument) or ""
    if not path.startswith("file:"):
        return "" if path == ":memory:" else path
    path, _, query = path.removeprefix("file:").partition("#")[0].partition("?")
    if path.startswith("//"):
        path = os.sep + path[2:].partition("/")[2]
    return "" if path == ":memory:" or "mode=memory" in query.split("&") else unquote(path)


def is_there(path: str) -> bool:
    """Tell whether a path names anything, without following the last link."""
    try:
        _lstat(path)
    except (OSError, ValueError):
        return False
    return True


def _opened(path: object, flags: int) -> Iterator[str]:
    """Name a file that is opened for writing, unless it is written anew or only appended to."""
    if (text := named(path)) is not None and flags & os.O_ACCMODE != os.O_RDONLY:
        is_made = bool(flags & os.O_CREAT)
        is_fresh = is_made and not flags & os.O_EXCL and (flags & os.O_TRUNC or flags & os.O_ACCMODE == os.O_WRONLY)
        yield from _missing(text, is_asked_for=not is_fresh, is_made=is_made)


def _program(argument: object, folder: str) -> str:
    """Name a program's or library's file; one without a slash in its name is looked for in the system's places."""
    path = named(argument) or ""
    return os.path.join(folder, path) if os.sep in path else ""  # noqa: PTH118 (as text)


def _missing(path: str, *, is_asked_for: bool, is_made: bool) -> Iterator[str]:
    if is_there(path):
        return
    if is_asked_for:
        yield path
    if is_made and not is_there(folder := os.path.dirname(path) or os.curdir):  # noqa: PTH120 (as text)
        yield folder + os.sep
