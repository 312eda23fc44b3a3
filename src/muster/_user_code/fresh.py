"""Import the user's code as it is now, never as Python has compiled it before a last edit in the same second.

A ``.pyc`` counts as that of a source with the same size and the same second of change. A file that is edited twice
within a second is then loaded as it was first, for good.
"""

import importlib.machinery
import os
import sys
import time
import types
from collections.abc import Sequence
from typing import Final

from .origins import is_users

_TELLABLE_AFTER: Final = 2
"""Seconds: a source that was written longer ago than this cannot be written again in the second that its .pyc names."""


class FreshLoader(importlib.machinery.SourceFileLoader):
    """Load a source that was written a moment ago without its ``.pyc``, and leave none of it behind."""

    def get_code(self, fullname: str) -> types.CodeType | None:
        """Compile the source, or take what was compiled when that can only be the same."""
        path = self.get_filename(fullname)
        if time.time() - os.stat(path).st_mtime > _TELLABLE_AFTER:  # noqa: PTH116 (imports work with text)
            return super().get_code(fullname)
        return self.source_to_code(self.get_data(path), path)


class _FreshFinder:
    """Find modules as Python does, and have those of the user loaded fresh."""

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
    """Have the user's modules be loaded fresh from now on."""
    if _FINDER not in sys.meta_path:
        before_files = next((at for at, one in enumerate(sys.meta_path) if one is importlib.machinery.PathFinder), 0)
        sys.meta_path.insert(before_files, _FINDER)


def import_as_ever() -> None:
    """Leave imports to Python alone again."""
    if _FINDER in sys.meta_path:
        sys.meta_path.remove(_FINDER)
