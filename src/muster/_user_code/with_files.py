"""What ``--with`` names: files and folders that the function reads, and that go along to machines."""

import os
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from muster._model import DataFile
from muster._urls.urls import is_remote
from muster.errors import UsageError

from .data_files import names_below, stamped, with_digest


class Named(NamedTuple):
    """A file or a folder as it was named, with its absolute path."""

    given: str
    path: str

    @property
    def is_folder(self) -> bool:
        """Tell a folder from a file."""
        return os.path.isdir(self.path)  # noqa: PTH112 (light)

    def files(self) -> Iterator[str]:
        """List the file, or all files of the folder."""
        if not self.is_folder:
            yield self.path
            return
        for name in names_below(self.path):
            yield os.path.join(self.path, name)  # noqa: PTH118 (likewise)


def named(paths: Sequence[str]) -> tuple[Named, ...]:
    """Find what was named. Raises ``UsageError`` for what is not there, or is neither a file nor a folder."""
    return tuple(_named(os.fspath(path)) for path in paths)


def _named(typed: str) -> Named:
    flag = f"--with {shlex.quote(typed)}"
    if is_remote(typed):
        raise UsageError(
            f"{flag}: it is no file of this computer. The function can read it where it is; leave it out, then type the"
            " command again."
        )
    path = os.path.abspath(typed)  # noqa: PTH100 (a link stays what it is called)
    if not os.path.exists(path):  # noqa: PTH110 (light)
        raise UsageError(f"{flag}: there is no such file or folder. Mend the name, then type the command again.")
    if not Path(path).is_file() and not Path(path).is_dir():
        raise UsageError(f"{flag}: it is neither a file nor a folder, and only these can be sent.")
    if not os.access(path, os.R_OK):
        raise UsageError(f"{flag}: it cannot be read. Mend its permissions, then type the command again.")
    return Named(typed, path)


def stamps(paths: Sequence[str]) -> tuple[DataFile, ...]:
    """Note the files as they are now, and which files a folder has: a resume compares them."""
    noted: list[DataFile] = []
    for entry in named(paths):
        places = [*entry.files(), *([os.path.join(entry.path, "")] if entry.is_folder else [])]  # noqa: PTH118 (its slash)
        noted += [with_digest(file) for place in places if (file := stamped(place)) is not None]
    return tuple(noted)
