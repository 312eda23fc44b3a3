"""Locks that the kernel lets go of when their process ends, however that ends: nobody has to clear up after a death.

It needs nothing but Python's standard library: hosts run it too.
"""

import fcntl
import os
from pathlib import Path


def lock(opened: int, *, waits: bool = False, shared: bool = False) -> bool:
    """Lock an open file or folder until it is closed; tell whether that could be done, or another process has it.

    Who ``waits`` gets the lock in any case, once the others are done. Several may have a ``shared`` one at a time. The
    lock belongs to what was opened: a child that inherits the descriptor has it too, for as long as it lives. Raises
    ``OSError`` on a file system without locks.
    """
    try:
        fcntl.flock(opened, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if waits else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    return True


def unlock(opened: int) -> None:
    """Let others have it, although a child may still have the descriptor. Raises ``OSError``."""
    fcntl.flock(opened, fcntl.LOCK_UN)


def is_still(path: Path, opened: int) -> bool:
    """Tell whether a path names what was opened.

    Whoever had the lock before may have removed or renamed the file between ``open`` and ``lock``. Then this process
    has locked what nobody else will ever find, and must open the path again.
    """
    try:
        return os.path.samestat(path.stat(), os.fstat(opened))
    except FileNotFoundError:
        return False
