"""Read what code does and which names it looks up: the same wherever it stands, and whatever its comments say."""

import bisect
import dis
import importlib.util
import types
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

_SAYS_NOTHING: Final = frozenset({"EXTENDED_ARG", "NOP"})
_LOOKS_UP: Final = frozenset({"LOAD_GLOBAL", "LOAD_NAME"})
_ASKS_FOR: Final = frozenset({"LOAD_ATTR", "LOAD_METHOD"})
_JUMPS: Final = frozenset(dis.hasjrel) | frozenset(dis.hasjabs)
_CONSTANTS: Final = frozenset(dis.hasconst)


class Reading(NamedTuple):
    """A name that code looks up outside itself, and the attributes that it asks of it at once: ``a.b.c``."""

    name: str
    attributes: tuple[str, ...] = ()


def statements(code: types.CodeType) -> list[object]:
    """List what code does, without lines, offsets and docstrings; constants are listed as they are."""
    told = list(_instructions(code))
    offsets = [one.offset for one in told]

    def at(offset: int) -> int:
        return bisect.bisect_left(offsets, offset)

    listed: list[object] = [code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags]
    listed.append(code.co_varnames[: code.co_argcount + code.co_kwonlyargcount])
    for before, one in zip([None, *told], told, strict=False):
        if before is not None and _is_docstring(before, one):
            del listed[-2:]
        elif one.opcode in _CONSTANTS:
            listed += one.opname, code.co_consts[one.arg or 0]  # dis itself does not look up all of them
        elif one.opcode in _JUMPS:
            listed += one.opname, at(one.argval)
        else:
            listed += one.opname, one.argrepr or one.arg
    guards = [(at(e.start), at(e.end), at(e.target), e.depth, e.lasti) for e in _guards(code)]
    return [*listed, guards]


def _instructions(code: types.CodeType) -> Iterator[dis.Instruction]:
    return (one for one in dis.get_instructions(code) if one.opname not in _SAYS_NOTHING)


def _is_docstring(before: dis.Instruction, one: dis.Instruction) -> bool:
    return one.opname == "STORE_NAME" and one.argval == "__doc__" and before.opcode in _CONSTANTS


def _guards(code: types.CodeType) -> list[Any]:
    """List which stretches of code are in a ``try``, and where its handler is."""
    return list(getattr(dis.Bytecode(code), "exception_entries", ()))


def readings(code: types.CodeType) -> Iterator[Reading]:
    """List the names that code, and the functions inside it, look up outside themselves."""
    name, attributes = "", []
    for one in _instructions(code):
        if name and one.opname in _ASKS_FOR:
            attributes.append(one.argval)
            continue
        if name:
            yield Reading(name, tuple(attributes))
        name, attributes = (one.argval, []) if one.opname in _LOOKS_UP else ("", [])
    for inner in _inner(code):
        yield from readings(inner)


def imports(code: types.CodeType, *, package: str) -> Iterator[str]:
    """List the modules that code imports when it runs, and what it takes from them, as that may be modules too."""
    told = list(_instructions(code))
    for at, one in enumerate(told):
        if one.opname != "IMPORT_NAME":
            continue
        level, taken = told[at - 2].argval, told[at - 1].argval
        name = "." * level + one.argval if isinstance(level, int) else one.argval
        try:
            module = importlib.util.resolve_name(name, package or None)
        except ImportError:  # beyond the top of its package: that it cannot be imported is said when it runs
            continue
        yield module
        yield from (f"{module}.{part}" for part in taken or () if part != "*")
    for inner in _inner(code):
        yield from imports(inner, package=package)


def _inner(code: types.CodeType) -> Iterator[types.CodeType]:
    return (constant for constant in code.co_consts if isinstance(constant, types.CodeType))
