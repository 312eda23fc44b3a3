"""Write what comes home from machines as plain data, and read it as nothing more.

A host may be in the hands of somebody else, so its words must not make this process do anything: reading them builds
plain values, the nouns of a list, whose fields are looked at, and errors of muster's and of Python's own. Pickle, which
goes the other way, from home to machines, would run whatever it is told to.
"""

import builtins
import operator
import struct
import typing
from collections.abc import Callable, Iterator
from typing import Any, Final

from muster import errors

from .nouns import GarbledError, named, noun

_DEEPEST: Final = 100
_SIZE: Final = struct.Struct("!Q")
_REAL: Final = struct.Struct("!d")


def encode(value: object) -> bytes:
    """Write plain data, nouns and errors among it. Raises ``TypeError`` for anything else."""
    return b"".join(_written(value))


def _written(value: object) -> Iterator[bytes]:
    if isinstance(value, Exception):
        yield from _written_error(value)
    elif (fields := named(type(value))) is not None:  # type: ignore[arg-type]  # any type can be hashed
        yield from _sized(b"o", fields.name.encode())
        yield from _written([getattr(value, field) for field in fields.hints])
    elif isinstance(value, dict):
        yield b"d" + _SIZE.pack(len(value))
        for key, one in value.items():
            yield from _written(key)
            yield from _written(one)
    elif isinstance(value, tuple | list | set | frozenset) and not hasattr(value, "_fields"):
        yield next(tag for kind, tag in _KINDS.items() if isinstance(value, kind)) + _SIZE.pack(len(value))
        for one in value:
            yield from _written(one)
    else:
        yield from _written_single(value)


def _written_single(value: object) -> Iterator[bytes]:
    match value:
        case None:
            yield b"N"
        case bool():
            yield b"T" if value else b"F"
        case str():
            yield from _sized(b"s", value.encode("utf-8", "surrogatepass"))
        case bytes() | bytearray() | memoryview():
            yield from _sized(b"b", bytes(value))
        case float():
            yield b"f" + _REAL.pack(value)
        case typing.SupportsIndex():
            yield from _sized(b"i", str(operator.index(value)).encode())
        case _:
            raise TypeError(f"a {type(value).__name__} is not what comes home from machines")


def _sized(tag: bytes, data: bytes) -> Iterator[bytes]:
    yield tag + _SIZE.pack(len(data))
    yield data


def _written_error(error: Exception) -> Iterator[bytes]:
    """Write an error as the nearest of its kinds that are known at home, with its arguments and notes."""
    kind = next(kind for kind in type(error).__mro__ if _error_named(kind.__name__) is kind)
    arguments = error.__reduce__()[1] if kind is type(error) else error.args
    notes = [str(note) for note in getattr(error, "__notes__", ())]
    try:
        body = encode([kind.__name__, arguments, notes])
    except (TypeError, RecursionError):
        body = encode([kind.__name__, (str(error),), notes])
    yield b"e" + body


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
        raise GarbledError(f"it cannot be read: {error}") from error
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

    def _pass(self, size: int) -> int:
        """Go on by so many bytes, which are there; tell where they begin."""
        if size > self.left:
            raise GarbledError(f"it ends after {self.left} of {size} bytes")
        begin = self._at
        self._at += size
        return begin

    def _size(self) -> int:
        """Read how many bytes or values follow; each takes up one at least."""
        (size,) = _SIZE.unpack_from(self._data, self._pass(_SIZE.size))
        if size > self.left:
            raise GarbledError(f"it speaks of {size}, and has {self.left} bytes")
        return int(size)

    def value(self, depth: int) -> Any:  # noqa: ANN401 (whatever was written)
        if depth > _DEEPEST:
            raise GarbledError("it is nested too deep")
        tag = self._data[self._pass(1)]
        read = _READ.get(tag)
        if read is None:
            raise GarbledError(f"nothing is written {chr(tag)!r}")
        return read(self, depth + 1)

    def _sized(self) -> memoryview:
        size = self._size()
        begin = self._pass(size)
        return self._view[begin : begin + size]

    def _text(self) -> str:
        return str(self._sized(), "utf-8", "surrogatepass")

    def _real(self) -> float:
        return float(_REAL.unpack_from(self._data, self._pass(_REAL.size))[0])

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

    def _integer(self) -> int:
        return int(self._text())


_READ: Final[dict[int, Callable[[_Reading, int], Any]]] = {
    ord("N"): lambda _, __: None,
    ord("T"): lambda _, __: True,
    ord("F"): lambda _, __: False,
    ord("s"): lambda reading, _: reading._text(),  # noqa: SLF001 (of this file)
    ord("b"): lambda reading, _: bytes(reading._sized()),  # noqa: SLF001 (likewise)
    ord("i"): lambda reading, _: reading._integer(),  # noqa: SLF001 (likewise)
    ord("f"): lambda reading, _: reading._real(),  # noqa: SLF001 (likewise)
    ord("d"): lambda reading, depth: reading._pairs(depth),  # noqa: SLF001 (likewise)
    ord("o"): lambda reading, depth: reading._noun(depth),  # noqa: SLF001 (likewise)
    ord("e"): lambda reading, depth: reading._error(depth),  # noqa: SLF001 (likewise)
    **{ord(tag): lambda reading, depth, make=make: make(reading._many(depth)) for tag, make in _MAKERS.items()},  # type: ignore[misc]  # noqa: SLF001 (likewise)
}
