"""Names that are too long for the file system: the user's slip, and no ill of the disk."""

import contextlib
import errno
import os
from collections.abc import Iterator

from muster.errors import UsageError


@contextlib.contextmanager
def refusing_too_long() -> Iterator[None]:
    """Raise ``UsageError`` for a name that is too long; for what is done before anything is written."""
    try:
        yield
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        raise UsageError(
            f"The name {os.fsdecode(error.filename or '')!r} is too long for this disk. Choose a shorter one; that of"
            " an output needs room for 14 letters more, as bad rows go to a file named after it."
        ) from error
