"""Carry a function by value: with the names that it refers to, which it finds in ``__main__`` again."""

import functools
import io
import pickle
import sys
import types
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import cloudpickle

from muster._model import Carried

from . import main_module
from .shared_objects import LARGE

_Cached: Final = type(functools.lru_cache(lambda: None))


class _Namespace(dict[str, object]):
    """Stands for the globals of ``__main__`` in a pickle."""

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[()]]:
        return main_module.namespace, ()


class _Introduced(NamedTuple):
    """A value in a pickle, with the names that it and its parts have in ``__main__``."""

    value: object
    names: dict[str, object]

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[object, dict[str, object]]]:
        # The names come last: they are known only once the value was pickled.
        return main_module.introduced, (self.value, self.names)


class _Carrier(cloudpickle.Pickler):  # type: ignore[misc]  # it has no types
    def __init__(self, sink: io.BytesIO, **how: Any) -> None:  # noqa: ANN401 (the parameters of a pickler)
        super().__init__(sink, protocol=5, **how)
        self.names: dict[str, object] = {}

    def reducer_override(self, value: Any) -> Any:  # noqa: ANN401 (pickle's own protocol)
        """Give functions of ``__main__`` the one namespace, and rebuild those with a cache, which pickle by name."""
        if isinstance(value, types.CodeType):
            return _code, (value.co_filename, *self.dispatch_table[types.CodeType](value))
        if isinstance(value, type | types.FunctionType | _Cached) and _is_a_name_of_main(value):
            self.names[value.__qualname__] = value
        if isinstance(value, types.FunctionType) and _is_of_main(value):
            self.globals_ref.setdefault(id(value.__globals__), _Namespace(__name__="__main__"))
        if type(value) is _Cached and not _is_importable(value):
            return _cache, tuple(value.cache_parameters().values()), (value.__wrapped__,), None, None, _fill
        return super().reducer_override(value)


def _is_of_main(function: types.FunctionType) -> bool:
    """Tell whether a function's globals are those of the main module; code that is executed elsewhere has its own."""
    if function.__module__ not in main_module.NAMES:
        return False
    spawned = function.__globals__.get("__name__") == "__mp_main__"
    return spawned or function.__globals__ is vars(sys.modules["__main__"])


def _is_a_name_of_main(value: Any) -> bool:  # noqa: ANN401 (a function or a class)
    """Tell whether ``pickle`` finds a function or a class by its name in the main module."""
    is_main = getattr(value, "__module__", None) in main_module.NAMES
    return is_main and vars(sys.modules["__main__"]).get(value.__qualname__) is value


def _is_importable(cached: Any) -> bool:  # noqa: ANN401 (a function with a cache)
    return cached.__module__ not in main_module.NAMES and "<locals>" not in cached.__qualname__


def carried(value: object) -> Carried:
    """Pickle a function by value, large buffers apart. Raises what ``pickle`` raises where something cannot be."""
    large: list[memoryview] = []
    return Carried(_pickled(value, buffer_callback=lambda buffer: _stays(buffer, large)), tuple(large))


def pickled(value: object) -> bytes:
    """Pickle by value, as ``carried`` does, with all that is in it."""
    return _pickled(value)


def _pickled(value: object, *, buffer_callback: Callable[[pickle.PickleBuffer], bool] | None = None) -> bytes:
    spawned = sys.modules.get("__mp_main__")
    if spawned is not None and spawned.__name__ == "__mp_main__":  # nobody else can import that module
        cloudpickle.register_pickle_by_value(spawned)
    sink = io.BytesIO()
    carrier = _Carrier(sink, buffer_callback=buffer_callback)
    carrier.dump(_Introduced(value, carrier.names))
    return sink.getvalue()


def _code(file: str, make: Callable[..., types.CodeType], parts: tuple[Any, ...]) -> types.CodeType:
    """Make code anew with the name of its file, for tracebacks and warnings: cloudpickle from 3.1.3 on drops it."""
    return make(*parts).replace(co_filename=file)


def _stays(buffer: pickle.PickleBuffer, large: list[memoryview]) -> bool:
    """Decide whether a buffer stays in the pickle; else add it to the large ones."""
    raw = buffer.raw()
    if raw.nbytes < LARGE:
        return True
    large.append(raw)
    return False


def _cache(maxsize: int | None, typed: bool) -> Any:  # noqa: ANN401, FBT001 (the parameters of lru_cache, in order)
    """Make a cached function without the function that it calls, which may refer back to it; ``_fill`` adds that."""

    @functools.lru_cache(maxsize, typed)
    def cached(*args: object, **kwargs: object) -> object:
        return cached.__wrapped__(*args, **kwargs)

    return cached


def _fill(cached: Any, state: tuple[Any]) -> None:  # noqa: ANN401 (a function with a cache)
    functools.update_wrapper(cached, state[0])
