"""Which kind of frame a function takes."""

import functools
import inspect
import typing
from collections.abc import Callable
from typing import Any


def wants(function: Callable[[Any], object]) -> str:
    """Tell which frame the first parameter is annotated with: ``pandas``, ``pyarrow`` or ``polars``."""
    while isinstance(function, functools.partial):
        if function.args:  # the batch takes the place behind those
            return "pandas"
        function = function.func
    plain = function if inspect.isroutine(function) else type(function).__call__
    names = [name for name in inspect.signature(plain).parameters if name != "self"]
    annotation = getattr(plain, "__annotations__", {}).get(names[0]) if names else None
    try:
        annotation = typing.get_type_hints(plain).get(names[0]) if names else None
    except Exception:  # noqa: BLE001 (an annotation that cannot be resolved is read as text)
        annotation = str(annotation)
    text = (
        annotation
        if isinstance(annotation, str)
        else f"{getattr(annotation, '__module__', '')}.{getattr(annotation, '__name__', '')}"
    )
    if text.endswith("Table") and text.startswith(("pyarrow", "pa.")):
        return "pyarrow"
    return "polars" if text.endswith("DataFrame") and text.startswith(("polars", "pl.")) else "pandas"
