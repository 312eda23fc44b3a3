"""The function, inputs and output of a call in Python: checked, and refused with what to write instead."""

import types
from collections.abc import Iterable, Mapping
from os import PathLike, fspath
from typing import Any, Final

from muster.errors import UsageError

_LONGEST: Final = 60
"""Letters of a value that an error shows: more would hide what the error says."""

_FRAMES: Final = frozenset({"DataFrame", "Series", "LazyFrame", "Table", "RecordBatch", "ndarray", "Index"})
_ORDER: Final = "The order is: function, inputs, output."


def inputs_of(value: object) -> tuple[str, ...]:
    """Return a path or several as texts. Raises ``UsageError`` for anything else."""
    if isinstance(value, str | PathLike):
        return (_path("inputs", value),)
    if _is_one_thing(value) or not isinstance(value, Iterable):
        raise _no_input(value)
    return tuple(_path("inputs", item) for item in value)


def _path(name: str, value: object) -> str:
    if isinstance(value, str | PathLike) and isinstance(path := fspath(value), str):
        return path
    raise _no_input(value) if name == "inputs" else _no_output(value)


def _is_one_thing(value: object) -> bool:
    """Tell whether something can be iterated over but is no list of paths."""
    is_frame = type(value).__name__ in _FRAMES or hasattr(value, "columns")
    return is_frame or isinstance(value, bytes | bytearray | memoryview | Mapping | type) or hasattr(value, "read")


def _no_input(value: object) -> UsageError:
    kind = type(value).__name__
    if kind in _FRAMES:
        frame = "df" if kind != "Series" else "series"
        do = "df.to_parquet('in.parquet')" if kind == "DataFrame" else "a file of it"
        return UsageError(
            f"An input is {_shown(value)}, and inputs are files, which workers read in parallel. Write {do} first, and"
            f" pass 'in.parquet'; or call your function yourself: what is in memory already is done by f({frame})."
        )
    if callable(value):
        return UsageError(f"An input is {_shown(value)}, and inputs are files. {_ORDER}")
    return UsageError(
        f"An input is {_shown(value)}, and inputs are files: pass {_instead(value)}, a pattern such as 'in/*.csv', a"
        " folder, a URL, or a list of these."
    )


def output_of(value: object) -> str:
    """Return a path as text. Raises ``UsageError`` for anything else."""
    return _path("output", value)


def check_is_a_file(output: str, *, what: str) -> None:
    """Raise ``UsageError`` for ``-``, by which many programs mean standard output."""
    if output == "-":
        raise UsageError(
            f"The output '-' would mean standard output, and muster writes {what}, which appears once it is complete."
            " Name the file; one that is called '-' is './-'."
        )


def check_no_pattern(output: str, *, instead: Mapping[str, str]) -> None:
    """Raise ``UsageError`` for an output of one run with a place in it that is filled in for one of many runs.

    ``instead`` says of each such place what does so.
    """
    for place, does in instead.items():
        if place in output:
            raise UsageError(
                f"The output {output!r} has {place} in it, which {does} fills in, and a run by itself does not. Use"
                f" {does}; or name the output without {place}."
            )


def _no_output(value: object) -> UsageError:
    why = f" {_ORDER}" if callable(value) else ""
    read = " To get a frame, read the file afterwards: pd.read_csv('out.csv')." if value is None else ""
    return UsageError(
        f"The output is {_shown(value)}, and it has to be a path, as it may be larger than memory: pass"
        f" {_instead(value, 'out.csv')}, or a folder such as 'out/'.{read}{why}"
    )


def check_function(value: object) -> None:
    """Raise ``UsageError`` for what is no function, no class and no text that names one."""
    if isinstance(value, str) or callable(value):
        return
    if isinstance(value, types.ModuleType):
        names = [
            name
            for name, member in vars(value).items()
            if isinstance(member, types.FunctionType)
            and member.__module__ == value.__name__
            and not name.startswith("_")
        ]
        listed = ", ".join(f"{value.__name__}.{name}" for name in names[:5]) or f"{value.__name__}.function"
        raise UsageError(f"The function is the module {value.__name__!r}. Pass a function of it: {listed}.")
    called = " Pass the function itself, f, not what f(df) gives." if type(value).__name__ in _FRAMES else ""
    raise UsageError(
        f"{_shown(value)} is no function.{called} Pass a function, a class, or text such as 'file.py:function'."
    )


def path_of(name: str, value: object) -> str | None:
    """Take the path of an option that may be left out. Raises ``UsageError`` for what is none."""
    if value is None or (isinstance(value, str | PathLike) and isinstance(fspath(value), str)):
        return None if value is None else str(fspath(value))
    raise UsageError(f"{name}={value!r}: it must be a path, such as {name}='{name}.txt'.")


def own_end(value: object, kind: type, *, name: object, what: str) -> str:
    """Name a source or a sink of the user's own. Raises ``UsageError`` for what has not the methods of its kind."""
    if isinstance(value, type):
        raise UsageError(f"{what}({value.__name__}): it is a class. Pass an object of it, {value.__name__}(...).")
    methods = [method for method in vars(kind) if not method.startswith("_")]
    is_meant = any(callable(getattr(value, method, None)) for method in methods)
    shown = f"{type(value).__name__}(...)" if is_meant else _shown(value)
    if lacks := [method for method in methods if not callable(getattr(value, method, None))]:
        raise UsageError(
            f"{what}({shown}): it has no method {' and no '.join(f'{method!r}' for method in lacks)}. A"
            f" muster.{kind.__name__} has {', '.join(methods)}. More: muster help sources-and-sinks"
        )
    if name is None:
        return type(value).__name__
    if not isinstance(name, str) or not name.strip():
        raise UsageError(f"name={name!r}: it is what messages call the other end, such as 'orders'.")
    return name


def _instead(value: Any, otherwise: str = "in.csv") -> str:  # noqa: ANN401 (whatever was given)
    name = getattr(value, "name", None)
    if isinstance(value, bytes):
        name = value.decode(errors="replace")
    is_name = isinstance(name, str) and 0 < len(name) <= _LONGEST and not name.startswith("<")
    return f"its path, {name!r}" if is_name and hasattr(value, "read") else repr(name if is_name else otherwise)


def _shown(value: object) -> str:
    """Show a short value, or say what kind of object it is."""
    if value is None or isinstance(value, bool | int | float | bytes):
        shown = repr(value)
        return shown if len(shown) <= _LONGEST else f"{type(value).__name__} of {len(shown)} characters"
    kind = type(value).__name__
    if callable(value):
        return f"the function {value.__name__!r}" if hasattr(value, "__name__") else f"an object of {kind}"
    return "an open file" if hasattr(value, "read") else f"{'an' if kind[:1] in 'AEIOUaeio' else 'a'} {kind}"
