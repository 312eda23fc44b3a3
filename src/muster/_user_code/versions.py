"""Tell the versions of the libraries that rows depend on."""

import functools
import sys
from typing import Final

from muster._model import Fact
from muster._version import __version__

OWN: Final = "muster"
BASE: Final = ("pandas", "numpy", "pyarrow")
_OTHER_NAMES: Final = {
    "sklearn": "scikit-learn",
    "attr": "attrs",
    "PIL": "pillow",
    "cv2": "opencv-python",
    "yaml": "PyYAML",
    "bs4": "beautifulsoup4",
    "dateutil": "python-dateutil",
    "dotenv": "python-dotenv",
    "Levenshtein": "levenshtein",
}
"""Modules whose package has another name."""


def versions() -> tuple[Fact, ...]:
    """List the versions of what every function's rows depend on; muster is among it, which reads and writes them."""
    python = Fact("Python", ".".join(map(str, sys.version_info[:3])))
    there = [(name, sys.modules[name]) for name in BASE if name in sys.modules]
    libraries = (Fact(f"the package {name}", str(getattr(module, "__version__", ""))) for name, module in there)
    return (Fact(OWN, __version__), python, *libraries)


@functools.cache
def package(top: str) -> Fact:
    """Name a library that user code reaches, with its version, whether it is loaded or not."""
    from importlib import metadata

    name = _OTHER_NAMES.get(top, top)
    try:
        return Fact(f"the package {name}", metadata.version(name))
    except metadata.PackageNotFoundError:
        names = metadata.packages_distributions().get(top, ())  # which takes half a second
        return Fact(f"the package {', '.join(names) or top}", ", ".join(map(metadata.version, names)))
