"""A file that the user names and no run makes, such as a report: it appears complete, as an output does."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from muster._files.whole import put
from muster._private.files import is_planted, owner_of, private
from muster.errors import UsageError

from .modes import hand_over


def check_no_planted_link(output: str) -> None:
    """Raise ``UsageError`` for a link that somebody else has put there, where everybody may."""
    plain = Path(output.rstrip("/"))
    if is_planted(plain):
        raise UsageError(
            f"{output!r} is a link that {owner_of(plain)} has put there, where everybody may, and it leads to"
            f" {os.path.realpath(plain)!r}. Nothing was written. Remove the link, or choose another output."
        )


@contextmanager
def appearing(output: str, *, is_private: bool = False) -> Iterator[IO[str]]:
    """Open a file to write as text, which takes its place when all is written, and is gone where that fails.

    Until then it lies beside, where this user alone can come to. It keeps the mode of a file of this user's that it
    replaces; a new one has that which the umask leaves, or is for this user alone where it ``is_private``. Raises
    ``UsageError`` for a link of somebody else's and for what is no regular file, ``OSError`` where it cannot be
    written.
    """
    check_no_planted_link(output)
    path = Path(os.path.realpath(output))  # through a link, as every other program would write
    if path.exists() and not path.is_file():
        raise UsageError(f"{output!r} is not a regular file, and would be replaced by one. Choose another name.")
    beside = Path(tempfile.mkdtemp(prefix="muster-unfinished-", dir=path.parent))
    try:
        complete = beside / "complete"
        with open(complete, "w", encoding="utf-8", newline="", opener=private) as file:
            yield file
        hand_over(complete, instead_of=path, is_private=is_private)
        put(complete, path)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
