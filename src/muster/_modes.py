"""Modes of what a run gives the user: while it is worked on it is for this user alone, then as any program's output."""

import contextlib
import os
import stat
from pathlib import Path
from typing import Final

_PERMISSIONS: Final = 0o777
_OF_A_FILE: Final = 0o666


def hand_over(path: Path, *, instead_of: Path) -> None:
    """Give a file, or a folder and the files in it, the modes of what they replace, or those that the umask leaves."""
    usual = _usual(path.parent)
    _give(path, _mode_of(instead_of) or (usual if path.is_dir() else usual & _OF_A_FILE))
    if path.is_dir():
        for file in path.iterdir():
            _give(file, _mode_of(instead_of / file.name) or usual & _OF_A_FILE)


def _mode_of(path: Path) -> int:
    """Tell the mode of what is there; 0 where nothing is."""
    try:
        return stat.S_IMODE(path.stat().st_mode) & _PERMISSIONS
    except OSError:
        return 0


def _give(path: Path, mode: int) -> None:
    with contextlib.suppress(OSError):  # a file system that has no modes
        path.chmod(stat.S_IMODE(path.stat().st_mode) & ~_PERMISSIONS | mode)


def _usual(folder: Path) -> int:
    """Find out what mode a new folder gets: the umask itself cannot be read without changing it for all threads."""
    probe = folder / f"usual-{os.urandom(4).hex()}"
    probe.mkdir()
    try:
        return _mode_of(probe)
    finally:
        probe.rmdir()
