"""All of muster's own modules, parsed once for the tests that look at how they are written."""

import ast
import functools
from pathlib import Path
from typing import Final, NamedTuple

import muster

PACKAGE: Final = Path(muster.__file__).parent


class Read(NamedTuple):
    """A module, by its path within the package."""

    file: str
    text: str
    tree: ast.Module


@functools.cache
def sources() -> list[Read]:
    texts = [(path, path.read_text(encoding="utf-8")) for path in sorted(PACKAGE.rglob("*.py"))]
    return [Read(path.relative_to(PACKAGE).as_posix(), text, ast.parse(text)) for path, text in texts]
