"""Modes of what a run gives the user: while it is worked on it is for this user alone, then as any program's output."""

import contextlib
import os
import stat
from pathlib import Path
from typing import Final

_PERMISSIONS: Final = 0o777
_OF_A_FILE: Final = 0o666
_OF_THIS_USER: Final = 0o700


def hand_over(path: Path, *, instead_of: Path, is_private: bool = False) -> None:
    """Give a file, or a folder and the files in it, the modes of what they replace, or those that the umask leaves.

    What ``is_private`` is for this user alone where it replaces nothing.

    Who can put a file of theirs at an output's place does not decide who may read and write the output: what they
    replace counts only where it is of the same user.
    """
    usual = _OF_THIS_USER if is_private else _usual(path.parent)
    _give(path, usual if path.is_dir() else usual & _OF_A_FILE, instead_of=instead_of)
    if path.is_dir():
        for file in path.iterdir():
            _give(file, usual & _OF_A_FILE, instead_of=instead_of / file.name)


def _give(path: Path, mode: int, *, instead_of: Path) -> None:
    with contextlib.suppress(OSError):
        before, own = instead_of.stat(), path.stat()
        if before.st_uid == own.st_uid:
            mode = stat.S_IMODE(before.st_mode) & _PERMISSIONS
            if before.st_gid != own.st_gid:  # last, as it may not be allowed: or they would be another group's
                os.chown(path, -1, before.st_gid)
    with contextlib.suppress(OSError):  # a file system that has no modes
        path.chmod(stat.S_IMODE(path.stat().st_mode) & ~_PERMISSIONS | mode)


def _usual(folder: Path) -> int:
    """Find out what mode a new folder gets: the umask itself cannot be read without changing it for all threads."""
    probe = folder / f"usual-{os.urandom(4).hex()}"
    probe.mkdir()
    try:
        return stat.S_IMODE(probe.stat().st_mode) & _PERMISSIONS
    finally:
        probe.rmdir()
