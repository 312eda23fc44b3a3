"""Folders and files for this user alone, whatever the umask says: made so, found so, or refused in words.

It needs nothing but Python's standard library: hosts run it too.
"""

import contextlib
import os
import stat
from pathlib import Path
from typing import Final

LONGEST_SOCKET: Final = 103
"""How many bytes the path of a socket may have, on Linux and on a Mac."""

_FOLDER: Final = 0o700
_FILE: Final = 0o600
_ALL: Final = 0o777
_OTHERS: Final = 0o077
_WRITING: Final = stat.S_IWGRP | stat.S_IWOTH
_ALL_NUMBERS: Final = ["0", "0", "4294967295"]
"""How Linux tells that a process sees the users of the whole computer."""


class NotPrivateError(OSError):
    """Something lies, or may be put by others, where this user's own was to lie."""


def own_folder(path: Path) -> Path:
    """Make a folder for this user alone (mode 700) in a folder that exists; one of this user's gets that mode.

    Raises ``NotPrivateError`` for what somebody else has put there, and for a link.
    """
    try:
        path.mkdir(mode=_FOLDER)
    except FileExistsError:
        if why := squatted(path):
            raise NotPrivateError(f"{why}. Move it away") from None
    mode = stat.S_IMODE(path.lstat().st_mode)
    if mode & _ALL != _FOLDER:
        path.chmod(mode & ~_ALL | _FOLDER)
    return path


def work_folder(path: Path) -> Path:
    """Make a folder for this user alone; on a file system without modes it is as open as the output beside it."""
    try:
        return own_folder(path)
    except PermissionError:  # as on FAT and on disks of Windows
        if not path.is_dir():
            raise
        return path


def squatted(path: Path) -> str:
    """Say why what lies there cannot be a folder of this user's own; empty where it can, or where nothing lies."""
    try:
        found = path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return ""
    if stat.S_ISLNK(found.st_mode):
        what = "is a link"
    elif not stat.S_ISDIR(found.st_mode):
        what = "is no folder"
    elif found.st_uid != os.geteuid() and found.st_uid != _made_in(path.parent)[0]:
        what = f"belongs to {_name_of(found.st_uid)}"
    else:
        return ""
    return f"{str(path)!r} {what}, and must be a folder of {_name_of(os.geteuid())}'s alone"


def own_bytes(path: Path) -> bytes | None:
    """Read a file that nobody but this user, or root, can have written; ``None`` where there is none.

    Raises ``NotPrivateError`` for any other file, and for a link; ``OSError`` for one that cannot be read.
    """
    try:
        _check_own(path, path.lstat())
        opened = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    try:
        _check_own(path, os.fstat(opened))
    except BaseException:
        os.close(opened)
        raise
    with os.fdopen(opened, "rb") as file:
        return file.read()


def _check_own(path: Path, found: os.stat_result) -> None:
    if stat.S_ISLNK(found.st_mode):
        raise NotPrivateError(f"{str(path)!r} is a link, and must be a file")
    if not stat.S_ISREG(found.st_mode):
        raise NotPrivateError(f"{str(path)!r} is no regular file, and must be one")
    if not _is_trusted(found.st_uid) and found.st_uid != _made_in(path.parent)[0]:
        raise NotPrivateError(
            f"{str(path)!r} belongs to {_name_of(found.st_uid)}, and must be of {_name_of(os.geteuid())}'s own"
        )
    if _others_may_write(found) and not _made_in(path.parent)[1] & _WRITING:  # where files have no modes, all is open
        raise NotPrivateError(f"Others may write {str(path)!r}, and must not")


def _others_may_write(found: os.stat_result) -> bool:
    by_group = found.st_mode & stat.S_IWGRP and not _is_of_this_user_alone(found.st_gid)
    return bool(found.st_mode & stat.S_IWOTH or by_group)


def _made_in(folder: Path) -> tuple[int, int]:
    """Make a private folder on trial; tell its owner and mode. On FAT, say, all files have one owner and one mode."""
    import tempfile

    user, mode = os.geteuid(), _FOLDER
    with contextlib.suppress(OSError):
        made = Path(tempfile.mkdtemp(prefix=".muster-", dir=folder))
        found = made.lstat()
        user, mode = found.st_uid, stat.S_IMODE(found.st_mode)
        made.rmdir()
    return user, mode


def open_to_others(folder: Path) -> str:
    """Say why others could replace what lies in a folder, or the folder, or what it is in; empty where they cannot.

    A folder that is not there yet counts as what it will be made in. What lies below a folder that is closed to others
    is out of their reach, whatever its own mode.
    """
    real = Path(os.path.realpath(folder))
    for place in (*reversed(real.parents), real):
        try:
            found = place.stat()
        except FileNotFoundError:
            return ""
        if not _is_trusted(found.st_uid):
            return (
                f"{str(place)!r} belongs to {_name_of(found.st_uid)}, who could replace what muster keeps below it. Use"
                " a folder of your own, or of root's"
            )
        is_roots = place != real and found.st_gid == 0  # as system folders may be
        if not found.st_mode & stat.S_ISVTX and (
            found.st_mode & stat.S_IWOTH
            or (found.st_mode & stat.S_IWGRP and not is_roots and not _is_of_this_user_alone(found.st_gid))
        ):
            return (
                f"others may write {str(place)!r}, so they could replace what muster keeps below it. Type there: chmod"
                f" go-w {place}, or chmod +t {place} where they must write"
            )
        if not found.st_mode & (stat.S_IXGRP | stat.S_IXOTH):
            return ""
    return ""


def is_planted(path: Path) -> bool:
    """Tell whether somebody else put a symbolic link into a folder where everybody may write, such as ``/tmp``.

    Whoever writes through it writes where that user wants. Linux itself follows no such link where it is set up so: see
    ``protected_symlinks`` in the kernel's documentation of ``/proc/sys/fs``.
    """
    try:
        link, folder = path.lstat(), path.absolute().parent.stat()
    except OSError:
        return False
    is_for_all = folder.st_mode & stat.S_ISVTX and folder.st_mode & stat.S_IWOTH
    return bool(stat.S_ISLNK(link.st_mode) and is_for_all and link.st_uid not in {os.geteuid(), folder.st_uid})


def owner_of(path: Path) -> str:
    """Name the owner of a file or folder; of a link, the owner of the link itself."""
    return _name_of(path.lstat().st_uid)


def _is_trusted(user: int) -> bool:
    """Tell whether a user can do anyway what this one can: root, and this user.

    In a user namespace all users from outside show as one, the overflow user. Root is among them, so that one counts.
    """
    if user in {0, os.geteuid()}:
        return True
    with contextlib.suppress(OSError):
        numbers = Path("/proc/self/uid_map").read_text().split()
        return numbers != _ALL_NUMBERS and user == int(Path("/proc/sys/kernel/overflowuid").read_text())
    return False


def _is_of_this_user_alone(group: int) -> bool:
    """Tell whether a group is the one that many systems make for each user, named alike, and holds nobody else."""
    import grp

    name = _name_of(os.geteuid())
    try:
        found = grp.getgrgid(group)
    except KeyError:
        return False
    return found.gr_name == name and group == os.getegid() and set(found.gr_mem) <= {name}


def new_folder(below: int) -> Path:
    """Make a folder with a random name, short enough that a path ``below`` bytes longer can name a socket.

    Raises ``NotPrivateError`` where others could replace it.
    """
    import tempfile

    prefix, drawn = "muster-", 8
    is_short = len(os.fsencode(tempfile.gettempdir())) + len(prefix) + drawn + 2 + below <= LONGEST_SOCKET
    place = Path(tempfile.gettempdir() if is_short else "/tmp")  # noqa: S108 (a name of chance, and nobody else's)
    if why := open_to_others(place):
        raise NotPrivateError(why)
    return own_folder(Path(tempfile.mkdtemp(prefix=prefix, dir=place)))


def private(path: str | Path, flags: int) -> int:
    """Open a file for this user alone (mode 600), as ``opener`` of ``open`` or by itself; never through a link.

    A file that had a wider mode gets that one. Returns a descriptor, raises ``OSError``.
    """
    opened = os.open(path, flags | os.O_NOFOLLOW, _FILE)
    if stat.S_IMODE(os.fstat(opened).st_mode) & _OTHERS:
        with contextlib.suppress(OSError):  # a file system that has no modes
            os.fchmod(opened, _FILE)
    return opened


def keep(path: str | Path, data: bytes) -> None:
    """Write a file for this user alone."""
    with open(path, "wb", opener=private) as file:
        file.write(data)


def remove_all(folder: Path) -> None:
    """Remove a folder, if it is there, with all that is in it: also folders that their owner may not write."""
    import shutil

    shutil.rmtree(folder, ignore_errors=True)
    if folder.is_dir():
        with contextlib.suppress(OSError):
            folder.chmod(_FOLDER)
        for where, names, _ in os.walk(folder):  # which looks into those that are named only after this
            for below in (Path(where, name) for name in names):
                if not below.is_symlink():
                    with contextlib.suppress(OSError):
                        below.chmod(_FOLDER)
        shutil.rmtree(folder, ignore_errors=True)


def _name_of(user: int) -> str:
    import pwd

    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return f"user {user}"
