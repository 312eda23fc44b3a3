"""Import the user's code as it is now, not as an out-of-date ``.pyc`` has it.

Python takes a ``.pyc`` for up to date where the source has the same size and the same second of change. So a file that
is edited twice within a second, to the same size, would be loaded as it was first, ever after.
"""

import contextlib
import importlib.machinery
import os
import sys
import time
import types
from collections.abc import Iterator, Sequence
from typing import Final

from .origins import is_users

_TELLABLE_AFTER: Final = 2
"""Seconds. A source that was written longer ago cannot change any more in the second that its ``.pyc`` notes."""


class FreshLoader(importlib.machinery.SourceFileLoader):
    """Load a source that was written a moment ago without its ``.pyc``, and write none."""

    def get_code(self, fullname: str) -> types.CodeType | None:
        """Compile the source, unless it is old enough for its ``.pyc`` to be trusted."""
        path = self.get_filename(fullname)
        if time.time() - os.stat(path).st_mtime > _TELLABLE_AFTER:  # noqa: PTH116 (imports work with text)
            return super().get_code(fullname)
        return self.source_to_code(self.get_data(path), path)


class _FreshFinder:
    """Finds modules as Python does, and has those of the user loaded fresh."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: types.ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if (
            spec is not None
            and type(spec.loader) is importlib.machinery.SourceFileLoader
            and is_users(spec.loader.path)
        ):
            spec.loader = FreshLoader(spec.loader.name, spec.loader.path)
        return spec


_FINDER: Final = _FreshFinder()


def import_fresh() -> None:
    """Load the user's modules fresh from now on."""
    if _FINDER not in sys.meta_path:
        before_files = next(
            (at for at, finder in enumerate(sys.meta_path) if finder is importlib.machinery.PathFinder), 0
        )
        sys.meta_path.insert(before_files, _FINDER)


def import_as_ever() -> None:
    """Undo ``import_fresh``."""
    if _FINDER in sys.meta_path:
        sys.meta_path.remove(_FINDER)


@contextlib.contextmanager
def fresh_imports() -> Iterator[None]:
    """Have the user's modules loaded fresh in the context, and behind it as before."""
    was_so = _FINDER in sys.meta_path
    import_fresh()
    try:
        yield
    finally:
        if not was_so:
            import_as_ever()
