"""Tell the user's code from everybody else's, and know it again when it has changed."""

import hashlib
import site
import sys
import sysconfig
import traceback
import types
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

_HERE: Final = str(Path(__file__).resolve().parent)
_LIBRARIES: Final = tuple(
    {sysconfig.get_path("stdlib"), sysconfig.get_path("purelib"), *site.getsitepackages(), "<frozen"}
)


def files_beside(module: types.ModuleType) -> list[Path]:
    """List the module's file, those in its folder (any may be imported yet), and those loaded from below it."""
    own = Path(module.__file__ or "")
    loaded = [getattr(other, "__file__", None) for other in list(sys.modules.values())]
    below = {Path(f) for f in loaded if f and Path(f).is_relative_to(own.parent) and is_users(f)}
    return sorted({own, *own.parent.glob("*.py"), *below})


def fingerprint_of_files(paths: Iterable[Path], name: str) -> str:
    """Fingerprint what is in these files, for the one of that name in them."""
    digest = hashlib.sha256(name.encode())
    for path in paths:
        digest.update(path.read_bytes() if path.is_file() else b"")
    return digest.hexdigest()


def digests_of_files(paths: Iterable[Path], folder: Path) -> dict[str, str]:
    """Digest each file by itself, under its name from this folder on: so one that has changed can be named."""
    there = (path for path in paths if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()[:16] for path in there}


def fingerprint_of(function: object) -> str:
    """Fingerprint a function or class by its code and the values that it refers to: the same in every process."""
    digest = hashlib.sha256()
    _add(digest, function, seen={})
    return digest.hexdigest()


def _add(digest: Any, value: object, *, seen: dict[int, tuple[int, object]]) -> None:  # noqa: ANN401 (hashlib's own type is private)
    digest.update(f"|{type(value).__name__}".encode())
    if isinstance(value, str | int | float | bytes | bool | None):
        digest.update(repr(value).encode())
        return
    if id(value) in seen:
        digest.update(str(seen[id(value)][0]).encode())
        return
    seen[id(value)] = len(seen), value  # the value, too: as long as it lives, no other has its id
    if isinstance(value, types.ModuleType) or _is_from_a_library(value):
        digest.update(getattr(value, "__name__", type(value).__name__).encode())
        return
    for part in _parts(digest, value):
        _add(digest, part, seen=seen)


def _parts(digest: Any, value: object) -> Iterable[object]:  # noqa: ANN401, C901, PLR0911 (a case for each kind of value)
    """Digest what a value is by itself; list what it is made of."""
    match value:
        case type():
            own = [item for item in sorted(vars(value).items()) if not item[0].startswith("__") or callable(item[1])]
            return [*own, *value.__bases__]
        case types.FunctionType():
            return _parts_of_function(value)
        case types.MethodType():
            return [value.__func__, value.__self__]
        case types.CodeType():
            digest.update(value.co_code + repr(value.co_names).encode())
            return value.co_consts
        case property():
            return [value.fget, value.fset]
        case staticmethod() | classmethod():
            return [value.__func__]
        case set() | frozenset():
            return sorted(map(repr, value))
        case list() | tuple():
            return value
        case dict():
            return value.items()
        case _ if hasattr(value, "__dict__") and not _is_from_a_library(type(value)):
            return [type(value), sorted(vars(value).items())]
        case _:
            digest.update(_bytes_of(value))
            return ()


def _parts_of_function(function: types.FunctionType) -> list[object]:
    """List a function's code, and the values that it finds in its closure, its defaults and its module."""
    cells = [cell.cell_contents for cell in function.__closure__ or () if cell != types.CellType()]
    names = [name for name in sorted(_names(function.__code__)) if name in function.__globals__]
    globals_ = [function.__globals__[name] for name in names]
    return [function.__code__, function.__defaults__, function.__kwdefaults__, *cells, *globals_]


def _names(code: types.CodeType) -> set[str]:
    """Name what code looks up, with the comprehensions and functions inside it."""
    inner = (constant for constant in code.co_consts if isinstance(constant, types.CodeType))
    return set(code.co_names).union(*map(_names, inner))


def _is_from_a_library(value: object) -> bool:
    module = sys.modules.get(getattr(value, "__module__", None) or "")
    return isinstance(value, type | types.FunctionType | types.BuiltinFunctionType) and (
        module is None or not is_users(getattr(module, "__file__", None) or _HERE)
    )


def _bytes_of(value: object) -> bytes:
    import cloudpickle  # noqa: PLC0415 (only for functions that travel by value, which need it anyhow)

    return bytes(cloudpickle.dumps(value))


def user_traceback(error: BaseException) -> str:
    """Format a traceback with the user's own frames only; all but muster's where there are none."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith(_HERE)]
    own = [frame for frame in frames if is_users(frame.filename)]
    lines = traceback.format_list(own or frames)
    return "".join(["Traceback (your frames):\n", *lines, *traceback.format_exception_only(error)]).rstrip()


def is_users(filename: str) -> bool:
    """Tell whether a file is neither muster's nor a library's."""
    return not filename.startswith((_HERE, *_LIBRARIES))
