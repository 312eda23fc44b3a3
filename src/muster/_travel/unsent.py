"""Refuse a result whose function did not find on a machine what it finds at home: other bytes, in silence."""

import os
import re
import shlex
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from muster._model import LACKED, DataFile
from muster._user_code.data_files import stamped, with_digest
from muster._user_code.mirror import IMPORT
from muster._user_code.origins import is_users
from muster._user_code.unimported import origin_of
from muster.errors import UserCodeError

from .luggage import Luggage

_LACKS_A_FILE: Final = re.compile(r"FileNotFoundError|[Nn]o such file|[Nn]o files found|does not exist|[Cc]annot open")
_NAMES: Final = re.compile(r"'([^'\n]+)'|\"([^\"\n]+)\"|(?<![\w'\"])([\w./-]*\w\.\w+)")
"""What may be a path in what a library says: what is quoted, or has a suffix."""

_TEMPORARY: Final = ("/tmp/", "/var/tmp/")  # noqa: S108 (where machines have files of their own)


def checked(files: tuple[DataFile, ...], foreign: tuple[DataFile, ...], *, luggage: Luggage) -> tuple[DataFile, ...]:
    """Name what home has of the files that a function read on a machine, or looked for there.

    ``foreign`` are a machine's own. Raises ``UserCodeError`` where one is another than home's, or was not sent.
    """
    for file in foreign:
        _check_foreign(file, luggage)
    return tuple(_of_home(files, luggage))


def _of_home(files: tuple[DataFile, ...], luggage: Luggage) -> Iterator[DataFile]:
    for file in files:
        if file.path.startswith(IMPORT):
            _check_module(file.path.removeprefix(IMPORT), luggage)
        elif file.path.endswith(os.sep):
            _check_listed(file.path.rstrip(os.sep) or os.sep, luggage)
        elif file.size < 0:
            if not _is_the_machines_own(file.path, luggage):
                _check_missed(file.path, luggage)
                if file.size != LACKED:
                    yield file
        elif file.path in luggage.stamps:
            yield luggage.stamp(file.path)


def check_failures(texts: Iterable[str], *, luggage: Luggage) -> None:
    """Raise where compiled code, whose opening of files nobody hears, says that it lacks one which home has."""
    for text in (text.partition("\nTraceback")[0] for text in texts):  # which names the code
        if _LACKS_A_FILE.search(text):
            for name in dict.fromkeys(_NAMES.findall(text)):
                path = Path(os.path.normpath(Path(luggage.folder, *filter(None, name))))
                if str(path) not in luggage.stamps and path.is_file():
                    _check_missed(str(path), luggage)
                parent = str(path.parent)
                if _is_below(parent, luggage.folder) and path.parent.is_dir() and not _has(parent, luggage):
                    _check_missed(parent, luggage)


def _has(folder: str, luggage: Luggage) -> bool:
    """Tell whether machines have a folder, whatever is in it."""
    return any(_is_below(place, folder) for place in (*luggage.sent, *luggage.stamps))


def _check_missed(path: str, luggage: Luggage) -> None:
    """Raise where home has what was looked for there in vain."""
    if not os.path.lexists(path):
        return
    name = _name(path, luggage)
    if path in luggage.stamps or any(_is_below(path, one) for one in luggage.whole):
        raise UserCodeError(
            f"{name!r} was sent, but what opens it goes by its absolute name, and does not find it by that. Open it by"
            f" a name that begins at the working folder: {os.path.relpath(path, luggage.folder)!r}. Then type the same"
            " command again."
        )
    raise _unsent(name, "the function looks for it there, and they do not see this computer's files")


def _check_module(name: str, luggage: Luggage) -> None:
    """Raise where a module that was not found there can be imported here."""
    origin, _ = origin_of(name)
    if not origin or not os.path.lexists(origin):
        return
    if is_users(origin):
        place = origin if name.count(".") else origin.removesuffix(f"{os.sep}__init__.py")
        raise _unsent(_name(place, luggage), f"the function imports {name!r}, which its code does not show")
    package = name.partition(".")[0]
    raise UserCodeError(
        f"The function imports {package!r}, which is installed here and not on the machines: it would not give the same"
        f" rows there. Write packages: [{package}] in the file of hosts, type muster up again, then the same command."
    )


def _check_listed(folder: str, luggage: Luggage) -> None:
    """Raise where a folder was listed of which home has more than was sent."""
    if not Path(folder).is_dir() or _is_the_machines_own(folder, luggage):
        return
    if any(_is_below(folder, one) for one in luggage.whole):
        return
    sent = {place for one in (*luggage.stamps, *luggage.sent) for place in (one, *map(str, Path(one).parents))}
    for path in sorted(Path(folder).iterdir()):
        name = path.name
        if (
            str(path) not in sent
            and not name.startswith(".")
            and not name.endswith(".muster")
            and name != "__pycache__"
        ):
            raise _unsent(
                _name(folder, luggage),
                f"the function lists it there, and {name!r} in it did not go along",
            )


def _check_foreign(file: DataFile, luggage: Luggage) -> None:
    """Raise where a machine's own file was read, unless home has the same, or it is of a kind that each machine has."""
    here = stamped(file.path)
    if here is not None and here.size >= 0:
        here = with_digest(here)
        is_same = here.digest == file.digest if here.digest and file.digest else here == file
        if is_same or _is_the_machines_own(file.path, luggage):
            return
        raise _unsent(_name(file.path, luggage), "the function reads a file of that name there, which is another one")
    if file.path.startswith(_TEMPORARY) or _is_the_machines_own(file.path, luggage):
        return
    raise UserCodeError(
        f"The function reads {file.path!r} on a machine, and there is no such file on this computer: it would not give"
        " the same rows here. Put it here too and type --with, or have the function read what is here; then type the"
        " same command again."
    )


def _unsent(name: str, why: str) -> UserCodeError:
    return UserCodeError(
        f"{name!r} was not sent to the machines: {why}. Type the same command again, and add --with {shlex.quote(name)}"
    )


def _is_the_machines_own(path: str, luggage: Luggage) -> bool:
    """Tell whether a path is hidden in the home folder, as settings and caches of libraries are, or elsewhere."""
    home = str(Path.home())
    within = os.path.relpath(path, home) if _is_below(path, home) else path
    if any(_is_below(path, one) for one in (luggage.folder, *luggage.code) if one != home):
        return False
    return any(part.startswith(".") and part != os.curdir for part in Path(within).parts)


def _is_below(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip(os.sep) + os.sep)


def _name(path: str, luggage: Luggage) -> str:
    """Name a file as its user would type it here."""
    return os.path.relpath(path, luggage.folder) if _is_below(path, luggage.folder) else path
