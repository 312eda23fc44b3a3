"""Tell the user's code from everybody else's, and name where it stands."""

import contextlib
import os
import site
import sys
import sysconfig
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from muster._private.secrets import scrubbed

_HERE: Final = str(Path(__file__).resolve().parent.parent)
_LIBRARIES: Final = tuple(
    {
        *(sysconfig.get_path(kind) for kind in ("stdlib", "platstdlib", "purelib", "platlib")),
        *(site.getusersitepackages(), *site.getsitepackages(), "<frozen"),
    }
)


def _installed_elsewhere() -> tuple[str, ...]:
    """List what is installed in other folders of the search path, as a ``.pth`` file or ``PYTHONPATH`` names them.

    What pip puts into a folder it lists beside it. The user's own files may lie between.
    """
    folders = {path for place in sys.path for path in (os.path.abspath(place), os.path.realpath(place))}  # noqa: PTH100 (a link stays what it is called)
    found: set[str] = set()
    for folder in folders:
        if folder.startswith(_LIBRARIES):
            continue
        with contextlib.suppress(OSError, ValueError):  # an archive, a folder that is not there, or cannot be read
            for name in os.listdir(folder):  # noqa: PTH208 (names alone)
                if name.endswith(".dist-info"):
                    with contextlib.suppress(OSError, ValueError):
                        found.update(f"{folder}{os.sep}{top}{os.sep}" for top in _tops(Path(folder, name, "RECORD")))
    return tuple(sorted(found))


def _tops(record: Path) -> set[str]:
    """Read what a distribution has put right into its folder: packages and modules."""
    paths = [line.partition(",")[0].strip('"') for line in record.read_text(encoding="utf-8").splitlines()]
    return {path.partition("/")[0] for path in paths} - {"", "..", "__pycache__"}


_INSTALLED: Final = _installed_elsewhere()
"""Looked up once: later, the reading itself would be taken for the user's."""


def user_traceback(error: BaseException, *, function: object = None) -> str:
    """Format a traceback with the user's own frames only; all but muster's and Python's where there are none.

    Where there is none at all, as the call itself failed, show where the ``function`` stands that was called.
    """
    trace = traceback.extract_tb(error.__traceback__)
    frames = [frame for frame in trace if not frame.filename.startswith((_HERE, "<frozen"))]
    own = [frame for frame in frames if is_users(frame.filename)]
    code = getattr(function, "__code__", None)
    if not frames and code is not None and is_users(code.co_filename):
        own = [traceback.FrameSummary(code.co_filename, code.co_firstlineno, code.co_name)]
    lines = traceback.format_list(own or ([] if isinstance(error, SyntaxError) else frames))  # which names its line
    return scrubbed("".join(["Traceback (your frames):\n", *lines, *traceback.format_exception_only(error)]).rstrip())


def is_users(filename: str) -> bool:
    """Tell whether a file is neither muster's nor a library's."""
    return not filename.startswith((_HERE, *_LIBRARIES)) and not f"{filename}{os.sep}".startswith(_INSTALLED)


def is_users_module(name: str) -> bool:
    """Tell whether a module is neither muster's nor a library's; one that is made without a file is the user's."""
    if name == "__main__":
        return True
    if name.partition(".")[0] in sys.stdlib_module_names:
        module = sys.modules.get(name)
        file = getattr(module, "__file__", None)
        return bool(file) and is_users(str(file))  # it may stand in the way of a library's
    module = sys.modules.get(name)
    specification = getattr(module, "__spec__", None)
    file = getattr(module, "__file__", None) or getattr(specification, "origin", None) or ""
    if not file and specification is not None:  # a package in several folders
        try:
            file = next(iter(getattr(module, "__path__", ())), "")
        except KeyError:  # the package that it is in could not be loaded, and nobody knows its folders any more
            return is_users_module(name.partition(".")[0])
    return is_users(str(file))


def label_of(globals_: Mapping[str, Any]) -> str:
    """Name a module as its user does: by its file, with the folders that its packages are."""
    file = globals_.get("__file__")
    if not isinstance(file, str) or not file:
        return "the session" if globals_.get("__name__") == "__main__" else str(globals_.get("__name__"))
    depth = str(globals_.get("__package__") or "").count(".") + bool(globals_.get("__package__"))
    return "/".join(Path(file).parts[-1 - depth :])
