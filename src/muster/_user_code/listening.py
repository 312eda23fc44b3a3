"""Hear which files the user's code opens, by Python's audit events; code that is compiled opens files unheard."""

import os
import sys
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

from muster._model import LACKED, DataFile

from .data_files import stamped, with_digest
from .lacking import database, lacking, named, of_descriptor
from .loaded import loaded
from .mirror import IMPORT, is_asked_by_the_function
from .origins import is_users

_OF_THE_SYSTEM: Final = ("/proc/", "/sys/", "/dev/", "/etc/", "/run/", "/usr/share/", "/usr/lib/", "/usr/local/lib/")
_CODE: Final = (".pyc", ".so")
_CACHE: Final = f"{os.sep}__pycache__{os.sep}"

_listening: Final[list["Ear"]] = []
_is_hooked = False


class Ear:
    """What was opened while it listened and is not told of yet: for reading, and for writing."""

    def __init__(self) -> None:
        """Begin without listening."""
        self._opened: dict[str, DataFile] = {}
        self._written: set[str] = set()
        self._untold: list[str] = []
        self._told: set[str] = set()
        self._lacked: dict[str, None] = {}
        self._modules = 0
        self.is_far = False
        """Whether not all files of home's are here: it hears which folders are listed, and what is lacking, too."""

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Listen as long as the context lasts, in all threads."""
        _hook()
        _listening.append(self)
        try:
            yield
        finally:
            _listening.remove(self)

    def hear(self, path: str, *, writes: bool) -> None:
        """Take note of a file that is about to be opened, as it is before."""
        path = os.path.abspath(path)  # noqa: PTH100 (in an audit hook, and for many files)
        if path in self._written or (not writes and (path in self._told or path in self._opened)):
            return
        if writes and _CACHE in path:
            return  # Python's own, of code that it has compiled: nothing that the function writes
        if writes:
            self._written.add(path)
            self._untold.append(path)
            self._opened.pop(path, None)
        elif path.endswith(_CODE) or _CACHE in path or path.startswith(_OF_THE_SYSTEM) or not is_users(path):
            self._told.add(path)
        elif (stamp := stamped(path)) is not None:
            self._opened[path] = stamp
            if self.is_far and stamp.size < 0:
                self._lacked[path] = None

    def hear_list(self, path: str) -> None:
        """Take note of a folder that is listed; its name ends in a slash."""
        path = os.path.join(os.path.abspath(path), "")  # noqa: PTH100, PTH118 (likewise)
        if path not in self._told and is_users(path) and not path.startswith(_OF_THE_SYSTEM):
            self._opened.setdefault(path, DataFile(path))

    def lack(self, path: str) -> None:
        """Take note of what is not here and makes a difference; the function may be about to make it."""
        name, path = path, os.path.abspath(path)  # noqa: PTH100 (likewise)
        is_its_own = path in self._written and not name.endswith(os.sep)  # a folder is not written, if opened so
        if not is_its_own and path not in self._told and is_users(path) and not path.startswith(_OF_THE_SYSTEM):
            self._lacked[path] = None

    def miss(self, path: str) -> None:
        """Take note of what was looked up in vain, if anybody listens: a file, or a module."""
        if self in _listening and path.startswith(IMPORT):
            self._opened.setdefault(path, DataFile(path))
        elif self in _listening:
            self.hear(path, writes=False)

    def forget(self, paths: Iterable[str]) -> None:
        """Take files for read by muster: inputs of a run that has ended, some without a row, or those of a task."""
        for path in paths:
            self._opened.pop(path, None)
            self._lacked.pop(path, None)

    def tell(
        self, *, besides: Collection[str], folder: str, modules: Collection[str]
    ) -> tuple[tuple[DataFile, ...], tuple[str, ...]]:
        """Tell once of the files that were opened for reading, and of those for writing.

        Not of ``besides``, the inputs, nor of what lies in ``folder``, where muster itself works. ``modules`` are
        those that were there once the functions were loaded, and are known by what they do; one that a function has
        imported since then counts as a file that was read.
        """
        if not self._opened and not self._lacked and not self._untold and len(sys.modules) == self._modules:
            return (), ()
        self._modules = len(sys.modules)
        files = {path: name for name, path in loaded().items()}
        new = [path for path, name in files.items() if name not in modules and path.endswith(".py") and is_users(path)]
        opened = [file for path, file in self._opened.items() if path not in besides and path not in files]
        opened += [file for path in new if path not in self._told and (file := stamped(path)) is not None]
        self._told.update(new)
        self._told.update(self._opened)
        self._opened.clear()
        written = tuple(path for path in self._untold if not path.startswith(folder + os.sep))
        self._untold.clear()
        # What is another file by now was written meanwhile, most likely by the function itself.
        read = [file for file in opened if not file.path.startswith(folder + os.sep) and _is_as_it_was(file)]
        return (*map(with_digest, read), *self._lacking(read, folder)), written

    def _lacking(self, read: Iterable[DataFile], folder: str) -> Iterator[DataFile]:
        """Name once what was not here, and is not told of as a file that was looked for in vain."""
        told_of = {file.path for file in read}
        for path in [path for path in self._lacked if path not in told_of and not path.startswith(folder + os.sep)]:
            yield DataFile(path, LACKED)
        self._told.update(self._lacked)
        self._lacked.clear()


@contextmanager
def unheard() -> Iterator[None]:
    """Hear nothing as long as the context lasts: it is muster that opens a file."""
    listening, _listening[:] = _listening[:], []
    try:
        yield
    finally:
        _listening[:] = listening


def _is_as_it_was(file: DataFile) -> bool:
    return file.path.endswith(os.sep) or file.path.startswith(IMPORT) or stamped(file.path) == file


def _hook() -> None:
    global _is_hooked  # noqa: PLW0603 (an audit hook stays for as long as the process lives)
    if not _is_hooked:
        _is_hooked = True
        sys.addaudithook(_hear)


def _hear(event: str, arguments: tuple[Any, ...]) -> None:
    if not _listening:
        return
    with suppress(Exception):  # whatever is wrong with it, the file is the user's, who is told when it is opened
        far = [ear for ear in _listening if ear.is_far]
        if far and (lacked := list(lacking(event, arguments))) and is_asked_by_the_function():
            for ear in far:
                for path in lacked:
                    ear.lack(path)
        if event == "open":
            path, _, flags = arguments
            writes = isinstance(flags, int) and flags & os.O_ACCMODE != os.O_RDONLY
            # Python itself opens all places of sys.path when a package, as fsspec does, asks which plugins there are.
            if writes or not far or is_asked_by_the_function():
                _pass_on(path, writes=writes)
        elif event == "os.rename":
            _pass_on(named(arguments[1], arguments[3]), writes=True)
        elif event in {"os.listdir", "os.scandir"}:
            _hear_list(arguments[0], far)
        elif event == "sqlite3.connect" and os.path.exists(path := database(arguments[0])):  # noqa: PTH110 (as text)
            _pass_on(path, writes=False)


def _hear_list(path: object, far: Iterable[Ear]) -> None:
    if far and is_asked_by_the_function():
        place = of_descriptor(path) if isinstance(path, int) else named(os.curdir if path is None else path)
        for ear in far:
            if place is not None:
                ear.hear_list(place)


def _pass_on(path: object, *, writes: bool) -> None:
    if isinstance(path, str | bytes):
        for ear in _listening:
            ear.hear(os.fsdecode(path), writes=writes)
