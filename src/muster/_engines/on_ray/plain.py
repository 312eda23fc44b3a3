"""Write what comes home from machines as plain data, and read it as nothing more.

A host may be in the hands of somebody else, so its words must not make this process do anything: reading them builds
plain values, the nouns of a list, whose fields are looked at, and errors of muster's and of Python's own. Pickle, which
goes the other way, from home to machines, would run whatever it is told to.
"""

import builtins
import operator
import struct
import typing
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final

from muster import errors
from muster._engines.frames import GarbledError
from muster._words import text_of

from .nouns import named, noun

_DEEPEST: Final = 100
"""Answers nest five or six deep; deeper ones would come near the end of Python's stack."""

_SIZE: Final = struct.Struct("!Q")
_REAL: Final = struct.Struct("!d")


def encode(value: object) -> bytes:
    """Write plain data, nouns and errors among it. Raises ``TypeError`` for anything else."""
    written: list[bytes] = []
    _write(value, written.append)
    return b"".join(written)


def _write(value: object, add: Callable[[bytes], None]) -> None:
    if (write := _OFTEN.get(type(value))) is not None:
        write(value, add)
    elif isinstance(value, Exception):
        _write_error(value, add)
    elif (fields := named(type(value))) is not None:  # type: ignore[arg-type]  # any type can be hashed
        _write_sized(b"o", fields.name.encode(), add)
        _write([getattr(value, field) for field in fields.hints], add)
    elif isinstance(value, dict):
        _write_pairs(value, add)
    elif isinstance(value, tuple | list | set | frozenset) and not hasattr(value, "_fields"):
        _write_many(value, add)
    else:
        _write_single(value, add)


def _write_pairs(value: dict[Any, Any], add: Callable[[bytes], None]) -> None:
    add(b"d" + _SIZE.pack(len(value)))
    for key, one in value.items():
        _write(key, add)
        _write(one, add)


def _write_many(value: Collection[Any], add: Callable[[bytes], None]) -> None:
    add(next(tag for kind, tag in _KINDS.items() if isinstance(value, kind)) + _SIZE.pack(len(value)))
    for one in value:
        _write(one, add)


def _write_single(value: object, add: Callable[[bytes], None]) -> None:
    match value:
        case str():
            _write_sized(b"s", value.encode("utf-8", "surrogatepass"), add)
        case bytes() | bytearray() | memoryview():
            _write_sized(b"b", bytes(value), add)
        case float():
            add(b"f" + _REAL.pack(value))
        case typing.SupportsIndex():
            _write_sized(b"i", str(operator.index(value)).encode(), add)
        case _:
            raise TypeError(f"a {type(value).__name__} is not what comes home from machines")


def _write_sized(tag: bytes, data: bytes, add: Callable[[bytes], None]) -> None:
    add(tag + _SIZE.pack(len(data)))
    add(data)


_OFTEN: Final[Mapping[type, Callable[[Any, Callable[[bytes], None]], None]]] = {
    type(None): lambda _, add: add(b"N"),
    bool: lambda value, add: add(b"T" if value else b"F"),
    int: lambda value, add: _write_sized(b"i", str(value).encode(), add),
    float: lambda value, add: add(b"f" + _REAL.pack(value)),
    str: lambda value, add: _write_sized(b"s", value.encode("utf-8", "surrogatepass"), add),
    list: _write_many,
    tuple: _write_many,
    dict: _write_pairs,
}
"""How values are written of which there are many, by their very types."""


def _write_error(error: Exception, add: Callable[[bytes], None]) -> None:
    """Write an error as the nearest of its kinds that are known at home, with its arguments and notes."""
    kind = next(kind for kind in type(error).__mro__ if _error_named(kind.__name__) is kind)
    arguments = error.__reduce__()[1] if kind is type(error) else error.args
    notes = [str(note) for note in getattr(error, "__notes__", ())]
    try:
        body = encode([kind.__name__, arguments, notes])
    except (TypeError, RecursionError):
        body = encode([kind.__name__, (str(error),), notes])
    add(b"e" + body)


def _error_named(name: str) -> type[Exception] | None:
    found = getattr(errors, name, None) or getattr(builtins, name, None)
    return found if isinstance(found, type) and issubclass(found, Exception) else None


_KINDS: Final[dict[type, bytes]] = {tuple: b"t", list: b"l", frozenset: b"z", set: b"Z"}
_MAKERS: Final[dict[bytes, Callable[[list[Any]], object]]] = {tag: kind for kind, tag in _KINDS.items()}


def decode(data: bytes | bytearray) -> Any:  # noqa: ANN401 (whatever was written)
    """Read what ``encode`` has written. Raises ``GarbledError`` for anything else, and has done nothing then."""
    reading = _Reading(data)
    try:
        value = reading.value(0)
    except (ValueError, TypeError, AttributeError, OverflowError, MemoryError, RecursionError) as error:
        raise GarbledError(f"it cannot be read: {text_of(error)}") from error
    if reading.left:
        raise GarbledError(f"{reading.left} bytes follow what was said")
    return value


class _Reading:
    """What is read, and how far."""

    def __init__(self, data: bytes | bytearray) -> None:
        self._data = data
        self._view = memoryview(data)
        self._at = 0

    @property
    def left(self) -> int:
        return len(self._data) - self._at

    def _size(self) -> int:
        """Read how many bytes or values follow; each takes up one at least."""
        at = self._at
        if at + _SIZE.size > len(self._data):
            raise GarbledError(f"it ends after {self.left} of {_SIZE.size} bytes")
        (size,) = _SIZE.unpack_from(self._data, at)
        self._at = at = at + _SIZE.size
        if size > len(self._data) - at:
            raise GarbledError(f"it speaks of {size}, and has {self.left} bytes")
        return int(size)

    def value(self, depth: int) -> Any:  # noqa: ANN401 (whatever was written)
        if depth > _DEEPEST:
            raise GarbledError("it is nested too deep")
        if self._at >= len(self._data):
            raise GarbledError("it ends where something is to follow")
        tag = self._data[self._at]
        self._at += 1
        read = _READ.get(tag)
        if read is None:
            raise GarbledError(f"nothing is written {chr(tag)!r}")
        return read(self, depth + 1)

    def _sized(self, _: int = 0) -> bytes:
        size = self._size()
        begin = self._at
        self._at = begin + size
        return bytes(self._view[begin : begin + size])

    def _text(self, _: int = 0) -> str:
        return self._sized().decode("utf-8", "surrogatepass")

    def _real(self, _: int) -> float:
        if _REAL.size > self.left:
            raise GarbledError(f"it ends after {self.left} of {_REAL.size} bytes")
        (value,) = _REAL.unpack_from(self._data, self._at)
        self._at += _REAL.size
        return float(value)

    def _many(self, depth: int) -> list[Any]:
        return [self.value(depth) for _ in range(self._size())]

    def _pairs(self, depth: int) -> dict[Any, Any]:
        return {self.value(depth): self.value(depth) for _ in range(self._size())}

    def _noun(self, depth: int) -> object:
        return noun(self._text(), self.value(depth))

    def _error(self, depth: int) -> Exception:
        name, arguments, notes = self.value(depth)
        kind = _error_named(name)
        if kind is None:
            raise GarbledError(f"{name!r} is no error that is known here")
        error = kind(*arguments)
        for note in notes:
            error.add_note(note)
        return error

    def _integer(self, _: int) -> int:
        return int(self._sized())


_READ: Final[dict[int, Callable[[_Reading, int], Any]]] = {
    ord("N"): lambda _, __: None,
    ord("T"): lambda _, __: True,
    ord("F"): lambda _, __: False,
    ord("s"): _Reading._text,  # noqa: SLF001 (of this file)
    ord("b"): _Reading._sized,  # noqa: SLF001 (likewise)
    ord("i"): _Reading._integer,  # noqa: SLF001 (likewise)
    ord("f"): _Reading._real,  # noqa: SLF001 (likewise)
    ord("d"): _Reading._pairs,  # noqa: SLF001 (likewise)
    ord("o"): _Reading._noun,  # noqa: SLF001 (likewise)
    ord("e"): _Reading._error,  # noqa: SLF001 (likewise)
    **{ord(tag): lambda reading, depth, make=make: make(reading._many(depth)) for tag, make in _MAKERS.items()},  # type: ignore[misc]  # noqa: SLF001 (likewise)
}
