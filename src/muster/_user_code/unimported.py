"""Look at modules that code imports only when it runs, without importing them before."""

import importlib.machinery
import types
from pathlib import Path

from .bytecode import statements
from .content import Contents


def origin_of(name: str) -> tuple[str, bool]:
    """Find the file of a module without importing anything; tell whether it is a package's."""
    path, spec = None, None
    for at, _ in enumerate(words := name.split(".")):
        try:
            spec = importlib.machinery.PathFinder.find_spec(".".join(words[: at + 1]), path)
        except (ImportError, ValueError):
            spec = None
        if spec is None:
            return "", False
        path = spec.submodule_search_locations
        if path is None and at + 1 < len(words):
            return "", False
    return (spec.origin or "", path is not None) if spec else ("", False)


def digest_of_source(path: Path) -> str:
    """Digest what a file of Python does, without its comments; by its bytes where it is no Python."""
    code = compiled(path)
    contents = Contents(named=_named, parts=statements)
    return "#" + contents.digest(code or (path.read_bytes() if path.is_file() else b"")).hex()


def _named(value: object) -> str | None:
    """Name what constants are made with; code has no name, and is looked into."""
    return None if isinstance(value, types.CodeType) else str(getattr(value, "__qualname__", ""))


def compiled(path: Path) -> types.CodeType | None:
    try:
        return compile(path.read_bytes(), str(path), "exec", dont_inherit=True)
    except (OSError, SyntaxError, ValueError):
        return None
