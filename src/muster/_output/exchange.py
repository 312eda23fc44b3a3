"""Two folders that take each other's names at once, where the kernel and the file system can do that."""

import ctypes
import errno
import os
from pathlib import Path
from typing import Final

_HERE: Final = -100
"""``AT_FDCWD``: a relative path counts from the working folder."""
_EXCHANGE: Final = 2
"""``RENAME_EXCHANGE`` of Linux."""
_REFUSALS: Final = frozenset({errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP, errno.EPERM})
"""A kernel, a file system or a filter of system calls does not know it; some say so in one way, some in another."""


def exchanged(one: Path, other: Path) -> bool:
    """Let two paths take each other's names, so that neither name is ever missing; tell whether that could be done.

    Raises ``OSError`` where it fails for another reason.
    """
    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError):  # a C library without it, or another system
        return False
    if rename(_HERE, os.fsencode(one), _HERE, os.fsencode(other), _EXCHANGE) == 0:
        return True
    number = ctypes.get_errno()
    if number in _REFUSALS:
        return False
    raise OSError(number, os.strerror(number), str(one), None, str(other))
