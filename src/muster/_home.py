"""muster's own folder, for this user's eyes alone: ``MUSTER_HOME``, or ``~/.muster``."""

import contextlib
import os
import stat
from pathlib import Path
from typing import Final

from muster._private import open_to_others, own_folder, squatted
from muster.errors import EngineError

_CHOSEN: Final = "MUSTER_HOME"
_NAMES: Final = frozenset({"clusters", "done", "environments", "machines", "runs", "unfinished", "work"})


def home() -> Path:
    """Find it; close it to others, who could look into that of an earlier version.

    Raises ``EngineError`` where it is somebody else's.
    """
    path = Path(os.environ.get(_CHOSEN) or Path.home() / ".muster")
    why = ""
    with contextlib.suppress(PermissionError):  # nobody can look into it as this user, and nothing is kept there
        why = _somebody_elses(path)
    if why:
        raise EngineError(
            f"Nothing can be kept in {_CHOSEN}: {why}. Mend that, or set {_CHOSEN} to another folder; then type the"
            " command again."
        )
    with contextlib.suppress(OSError):  # it is not there yet; or nothing can be changed there, and nothing is
        _close(path)
    return path


def make(home: Path, *names: str) -> Path:
    """Make a folder below that one, all for this user alone. Raises ``OSError``.

    A home folder that there is not is left so: it is how a system says that its user has none.
    """
    folder = Path(os.path.realpath(home))
    if not os.environ.get(_CHOSEN) and not folder.parent.is_dir():
        raise FileNotFoundError(
            f"{str(home)!r} cannot be made, as {str(home.parent)!r} does not exist, which HOME names. Set {_CHOSEN} to"
            " a folder of this user's"
        )
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        if not folder.exists():
            own_folder(folder)
    except (FileExistsError, FileNotFoundError, NotADirectoryError, PermissionError) as error:
        raise type(error)(
            f"{str(home)!r} does not exist and cannot be made ({error.strerror}). Set {_CHOSEN} to a folder of this"
            " user's"
        ) from error
    for name in names:
        folder = own_folder(folder / name)
    return home.joinpath(*names)


def _somebody_elses(path: Path) -> str:
    if path.is_symlink() and path.lstat().st_uid not in {0, os.geteuid()}:
        return squatted(path)
    if path.exists() and not path.is_dir():
        return ""  # nothing can be made in it, which a run is told of where it notes what it does, and goes on
    real = Path(os.path.realpath(path))
    return squatted(real) or open_to_others(real.parent if real.exists() else real)


def _close(path: Path) -> None:
    """Close a folder to others; only muster's part of one that holds more, which they may be meant to see."""
    folder = Path(os.path.realpath(path))
    names = set(os.listdir(folder))  # noqa: PTH208 (light)
    is_for_all = folder.stat().st_mode & stat.S_ISVTX  # such as /tmp, where root has nothing else of its own yet
    if not is_for_all and all(name in _NAMES or name.startswith(".") for name in names):
        own_folder(folder)
        return
    for name in names & _NAMES:
        own_folder(folder / name)
