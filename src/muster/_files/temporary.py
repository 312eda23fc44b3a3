"""Temporary folders that end with their process: where it was killed, whoever comes later removes them.

A process holds a lock on its folder for as long as it lives, and the kernel lets go of it: no note of who owns what can
be wrong. It needs nothing but Python's standard library: hosts run it too.
"""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from muster._private.files import NotPrivateError, open_to_others, remove_all

from .locks import lock

_NEW: Final = "muster-new-"
_OWNED: Final = "muster-run-"


class Temporary:
    """A folder for files that need not outlive this process. It is removed with it, or by whoever comes later."""

    def __init__(self, within: Path | None = None) -> None:
        """Make it where temporary files lie, and remove those beside it whose processes are gone.

        Raises ``NotPrivateError`` where others could put another one in its place.
        """
        place = Path(tempfile.gettempdir()) if within is None else within
        if why := open_to_others(place):
            raise NotPrivateError(f"{why}. Or set TMPDIR to a folder of your own")
        sweep(place)
        made = Path(tempfile.mkdtemp(prefix=_NEW, dir=place))
        self._lock: int | None = os.open(made, os.O_RDONLY | os.O_DIRECTORY)
        with contextlib.suppress(OSError):  # a file system without locks: there only ``remove`` removes
            lock(self._lock)
        self.path = made.rename(made.with_name(_OWNED + made.name.removeprefix(_NEW)))  # locked as soon as it is seen

    def remove(self) -> None:
        """Remove it with all that is in it."""
        remove_all(self.path)
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


@contextlib.contextmanager
def temporary() -> Iterator[Path]:
    """Make a ``Temporary`` folder for as long as the context lasts."""
    made = Temporary()
    try:
        yield made.path
    finally:
        made.remove()


def sweep_temporary() -> None:
    """Remove what processes that are gone have left where temporary files lie: one look at the names there."""
    sweep(Path(tempfile.gettempdir()))


def sweep(place: Path) -> None:
    """Remove the folders in a place whose processes are gone."""
    with contextlib.suppress(OSError):
        for name in os.listdir(place):  # noqa: PTH208 (light, as there may be many others)
            if name.startswith(_OWNED):
                _remove_unless_owned(place / name)


def _remove_unless_owned(folder: Path) -> None:
    with contextlib.suppress(OSError):  # somebody else's, or a file system where nobody can tell
        opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            if lock(opened) and os.fstat(opened).st_uid == os.geteuid():
                remove_all(folder)
        finally:
            os.close(opened)
