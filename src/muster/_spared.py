"""Failures of a machine's own, which the run can do without: told apart from what must stop it."""

import errno

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
DISK_IS_FULL = "its disk is full"


def has_no_room(error: BaseException) -> bool:
    """Tell whether a disk was full, also where whoever says it gives no number."""
    return isinstance(error, OSError) and (error.errno in _FULL or "No space left on device" in str(error))
