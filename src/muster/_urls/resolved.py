"""Where many files lie: the links of a folder are followed once, however many files lie in it."""

import os

from .identity import Identity, identity, local, of_resolved, upwards
from .urls import is_remote


class Resolved:
    """Remembers folders, for a time in which nobody moves them."""

    def __init__(self) -> None:
        """Begin with none."""
        self._folders: dict[str, str] = {}
        self._above: dict[str, set[Identity]] = {}

    def path(self, path: str) -> str:
        """Follow all links of a local path."""
        folder, _, name = path.rpartition("/")
        if name in {"", ".", ".."} or os.path.islink(path):  # noqa: PTH114 (as text)
            return os.path.realpath(path)
        folder = folder or ("/" if path.startswith("/") else ".")
        if folder not in self._folders:
            self._folders[folder] = os.path.realpath(folder)
        return os.path.join(self._folders[folder], name)  # noqa: PTH118 (as text)

    def around(self, path: str) -> set[Identity]:
        """Tell what a file is, and all that it lies in."""
        path = local(path).rstrip("/")
        place = path if is_remote(path) else self.path(path)
        folder = place.rpartition("/")[0] or "/"
        folder = place if folder.endswith(":/") else folder  # a URL of one name
        if folder not in self._above:
            self._above[folder] = set(upwards(folder))
        return {identity(place) if is_remote(place) else of_resolved(place), *self._above[folder]}
