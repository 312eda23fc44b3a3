"""muster's own folder, for this user's eyes alone: ``MUSTER_HOME``, or ``~/.muster``."""

import contextlib
import os
import stat
from pathlib import Path
from typing import Final

from muster._private.files import open_to_others, own_folder, squatted
from muster._words import text_of
from muster.errors import EngineError

_CHOSEN: Final = "MUSTER_HOME"
_NAMES: Final = frozenset({"clusters", "done", "environments", "machines", "runs", "unfinished", "work"})


def home() -> Path:
    """Tell where muster's own folder is, or would be made; an earlier version left it open to others, and it is closed.

    Raises ``EngineError`` where it belongs to somebody else, or others could replace it.
    """
    path = Path(os.environ.get(_CHOSEN) or Path.home() / ".muster")
    try:
        why = _somebody_elses(path)
    except PermissionError:  # nobody can look into it as this user, and nothing is kept there
        why = ""
    except OSError as error:  # as where a name is too long
        raise HomeError(
            f"{str(path)!r} cannot be looked at: {error.strerror}. Set {_CHOSEN} to another folder."
        ) from error
    if why:
        raise EngineError(
            f"Nothing can be kept in {_CHOSEN}: {why}. Mend that, or set {_CHOSEN} to another folder; then type the"
            " command again."
        )
    with contextlib.suppress(OSError):  # it is not there yet; or nothing can be changed there, and nothing is
        _close(path)
    return path


class HomeError(EngineError, OSError):
    """Say that nothing can be kept in muster's own folder.

    It is an ``OSError`` for who can do without: a run goes on that cannot be listed.
    """


def make(home: Path, *names: str) -> Path:
    """Make a folder below muster's own, each for this user alone. Raises ``HomeError``.

    Where the folder that HOME names does not exist, it is not made: so a system says that its user has no home.
    """
    folder = Path(os.path.realpath(home))
    if not os.environ.get(_CHOSEN) and not folder.parent.is_dir():
        raise HomeError(
            f"{str(home)!r} cannot be made, as {str(home.parent)!r} does not exist, which HOME names. Set {_CHOSEN} to"
            " a folder of this user's."
        )
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        if not folder.exists():
            own_folder(folder)
    except OSError as error:
        raise HomeError(
            f"{str(home)!r} does not exist and cannot be made ({_reason(error)}). Set {_CHOSEN} to a folder of this"
            " user's."
        ) from error
    for name in names:
        try:
            folder = own_folder(folder / name)
        except OSError as error:
            raise HomeError(
                f"Nothing can be kept in {str(folder / name)!r}, where muster keeps what it knows of runs and clusters:"
                f" {_reason(error)}. Mend that, or set {_CHOSEN} to another folder."
            ) from error
    return home.joinpath(*names)


def _reason(error: OSError) -> str:
    return error.strerror or text_of(error)  # a refusal of ours has no number


def _somebody_elses(path: Path) -> str:
    if path.is_symlink() and path.lstat().st_uid not in {0, os.geteuid()}:
        return squatted(path)
    if path.exists() and not path.is_dir():
        return ""  # nothing can be made in it, which a run is told of where it notes what it does, and goes on
    real = Path(os.path.realpath(path))
    return squatted(real) or open_to_others(real.parent if real.exists() else real)


def _close(path: Path) -> None:
    """Close muster's own folder to others. Of a folder that holds other things too, only muster's part is closed."""
    folder = Path(os.path.realpath(path))
    names = set(os.listdir(folder))  # noqa: PTH208 (light)
    is_for_all = folder.stat().st_mode & stat.S_ISVTX  # such as /tmp, where root has nothing else of its own yet
    if not is_for_all and all(name in _NAMES or name.startswith(".") for name in names):
        own_folder(folder)
        return
    for name in names & _NAMES:
        own_folder(folder / name)
