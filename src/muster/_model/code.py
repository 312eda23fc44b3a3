"""The user's code: what it is made of, what its rows depend on, which files it reads."""

from typing import NamedTuple


class Fact(NamedTuple):
    """Something that rows depend on: its name for people, and a value that changes when it does.

    The value can be read where it is a number; text is not shown, as it may be a secret. A ``module`` and a ``name``
    are those of a global that a worker may find otherwise, as it imports the module anew.
    """

    what: str
    value: str
    module: str = ""
    name: str = ""


class Module(NamedTuple):
    """What has to be there for a module to be imported: a file or a package's folder, and where it is looked for."""

    place: str
    root: str


class Global(NamedTuple):
    """A global of a module of the user's, as it is in the caller's process."""

    module: str
    name: str
    pickle: bytes


LACKED = -2
"""In the place of a size, which no file has."""


class DataFile(NamedTuple):
    """A file that the user's code read: its size, when it was written, in nanoseconds, and a digest unless it is large.

    One that was looked for in vain has the size -1. One that was not there, and may have been made since then, has the
    size :data:`LACKED`: home says whether it has it, and no run depends on it further.
    """

    path: str
    size: int = -1
    modified: int = 0
    digest: str = ""


class Code(NamedTuple):
    """The user's code as it was when a run began: its files, and each fact of what it does, with its value."""

    files: tuple[DataFile, ...] = ()
    facts: frozenset[tuple[str, str]] = frozenset()
