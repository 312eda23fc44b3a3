"""What a call in Python is given as function, inputs and output: understood, or refused with what to write instead."""

import types
from collections.abc import Iterable, Mapping
from os import PathLike, fspath
from typing import Any, Final

from muster.errors import UsageError

_LONGEST: Final = 60
_FRAMES: Final = frozenset({"DataFrame", "Series", "LazyFrame", "Table", "RecordBatch", "ndarray", "Index"})
_ORDER: Final = "The order is: function, inputs, output."


def inputs_of(given: object) -> tuple[str, ...]:
    """Take a path or several; raises ``UsageError`` for what is none."""
    if isinstance(given, str | PathLike):
        return (_path("inputs", given),)
    if _is_one_thing(given) or not isinstance(given, Iterable):
        raise _no_input(given)
    return tuple(_path("inputs", one) for one in given)


def _path(name: str, given: object) -> str:
    if isinstance(given, str | PathLike) and isinstance(path := fspath(given), str):
        return path
    raise _no_input(given) if name == "inputs" else _no_output(given)


def _is_one_thing(given: object) -> bool:
    """Tell whether something that may be gone through is no list of paths."""
    is_frame = type(given).__name__ in _FRAMES or hasattr(given, "columns")
    return is_frame or isinstance(given, bytes | bytearray | memoryview | Mapping | type) or hasattr(given, "read")


def _no_input(given: object) -> UsageError:
    kind = type(given).__name__
    if kind in _FRAMES:
        frame = "df" if kind != "Series" else "series"
        do = "df.to_parquet('in.parquet')" if kind == "DataFrame" else "a file of it"
        return UsageError(
            f"An input is {_shown(given)}, and inputs are files, which workers read in parallel. Write {do} first, and"
            f" pass 'in.parquet'; or call your function yourself: what is in memory already is done by f({frame})."
        )
    if callable(given):
        return UsageError(f"An input is {_shown(given)}, and inputs are files. {_ORDER}")
    return UsageError(
        f"An input is {_shown(given)}, and inputs are files: pass {_instead(given)}, a pattern such as 'in/*.csv', a"
        " folder, a URL, or a list of these."
    )


def output_of(given: object) -> str:
    """Take a path; raises ``UsageError`` for what is none."""
    return _path("output", given)


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


def _no_output(given: object) -> UsageError:
    why = f" {_ORDER}" if callable(given) else ""
    read = " To get a frame, read the file afterwards: pd.read_csv('out.csv')." if given is None else ""
    return UsageError(
        f"The output is {_shown(given)}, and it has to be a path, as it may be larger than memory: pass"
        f" {_instead(given, 'out.csv')}, or a folder such as 'out/'.{read}{why}"
    )


def check_function(given: object) -> None:
    """Raise ``UsageError`` for what can neither be called nor names what can."""
    if isinstance(given, str) or callable(given):
        return
    if isinstance(given, types.ModuleType):
        names = [
            name
            for name, one in vars(given).items()
            if isinstance(one, types.FunctionType) and one.__module__ == given.__name__ and not name.startswith("_")
        ]
        listed = ", ".join(f"{given.__name__}.{name}" for name in names[:5]) or f"{given.__name__}.function"
        raise UsageError(f"The function is the module {given.__name__!r}. Pass a function of it: {listed}.")
    called = " Pass the function itself, f, not what f(df) gives." if type(given).__name__ in _FRAMES else ""
    raise UsageError(
        f"{_shown(given)} is no function.{called} Pass a function, a class, or text such as 'file.py:function'."
    )


def _instead(given: Any, otherwise: str = "in.csv") -> str:  # noqa: ANN401 (whatever was given)
    name = getattr(given, "name", None)
    if isinstance(given, bytes):
        name = given.decode(errors="replace")
    is_name = isinstance(name, str) and 0 < len(name) <= _LONGEST and not name.startswith("<")
    return f"its path, {name!r}" if is_name and hasattr(given, "read") else repr(name if is_name else otherwise)


def _shown(given: object) -> str:
    """Show what was given, where that is short; else say what it is."""
    if given is None or isinstance(given, bool | int | float | bytes):
        shown = repr(given)
        return shown if len(shown) <= _LONGEST else f"{type(given).__name__} of {len(shown)} characters"
    kind = type(given).__name__
    if callable(given):
        return f"the function {given.__name__!r}" if hasattr(given, "__name__") else f"an object of {kind}"
    return "an open file" if hasattr(given, "read") else f"{'an' if kind[:1] in 'AEIOUaeio' else 'a'} {kind}"
