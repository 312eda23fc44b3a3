"""Tell the user's code from everybody else's, and know it again when it has changed."""

import hashlib
import inspect
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
    """List the module's file and those of all loaded modules in its folder or below."""
    own = Path(module.__file__ or "")
    loaded = [getattr(other, "__file__", None) for other in list(sys.modules.values())]
    return sorted({Path(f) for f in loaded if f and Path(f).is_relative_to(own.parent) and is_users(f)} | {own})


def fingerprint_of_files(paths: Iterable[Path], name: str) -> str:
    """Fingerprint what is in these files, for the one of that name in them."""
    digest = hashlib.sha256(name.encode())
    for path in paths:
        digest.update(path.read_bytes() if path.is_file() else b"")
    return digest.hexdigest()


def fingerprint_of(function: object) -> str:
    """Fingerprint a function or class by its code and the values that it refers to: the same in every process."""
    digest = hashlib.sha256()
    _add(digest, function, seen=set())
    return digest.hexdigest()


def _add(digest: Any, value: object, *, seen: set[int]) -> None:  # noqa: ANN401 (hashlib's own type is private)
    if id(value) in seen:
        return
    if isinstance(value, types.ModuleType) or _is_from_a_library(value):
        digest.update(getattr(value, "__name__", type(value).__name__).encode())
        return
    if isinstance(value, type):
        seen.add(id(value))
        parts: Iterable[object] = (part for _, part in sorted(vars(value).items()) if inspect.isroutine(part))
    elif isinstance(value, types.FunctionType):
        seen.add(id(value))
        parts = _parts_of_function(value)
    elif isinstance(value, types.CodeType):
        digest.update(value.co_code + repr(value.co_names).encode())
        parts = value.co_consts
    elif isinstance(value, set | frozenset):
        parts = sorted(map(repr, value))
    else:
        digest.update(_bytes_of(value))
        parts = ()
    for part in parts:
        _add(digest, part, seen=seen)


def _parts_of_function(function: types.FunctionType) -> list[object]:
    """List a function's code, and the values that it finds in its closure, its defaults and its module."""
    cells = [cell.cell_contents for cell in function.__closure__ or ()]
    names = [name for name in function.__code__.co_names if name in function.__globals__]
    return [function.__code__, function.__defaults__, *cells, *(function.__globals__[name] for name in names)]


def _is_from_a_library(value: object) -> bool:
    module = sys.modules.get(getattr(value, "__module__", None) or "")
    return isinstance(value, type | types.FunctionType | types.BuiltinFunctionType) and (
        module is None or not is_users(getattr(module, "__file__", None) or _HERE)
    )


def _bytes_of(value: object) -> bytes:
    import cloudpickle  # noqa: PLC0415 (only for functions that travel by value, which need it anyhow)

    if isinstance(value, str | int | float | bytes | bool | None):
        return repr(value).encode()
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
