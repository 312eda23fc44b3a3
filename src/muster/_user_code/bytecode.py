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


class GlobalRead(NamedTuple):
    """A global name that code looks up, and the attributes that it gets from it at once: ``a.b.c``."""

    name: str
    attributes: tuple[str, ...] = ()


def statements(code: types.CodeType) -> list[object]:
    """List what code does, without lines, offsets and docstrings; constants are listed as they are."""
    instructions = list(_instructions(code))
    offsets = [instruction.offset for instruction in instructions]

    def at(offset: int) -> int:
        return bisect.bisect_left(offsets, offset)

    listed: list[object] = [code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags]
    listed.append(code.co_varnames[: code.co_argcount + code.co_kwonlyargcount])
    for before, instruction in zip([None, *instructions], instructions, strict=False):
        if before is not None and _is_docstring(before, instruction):
            del listed[-2:]
        elif instruction.opcode in _CONSTANTS:
            # dis itself does not look up all of them.
            listed += instruction.opname, code.co_consts[instruction.arg or 0]
        elif instruction.opcode in _JUMPS:
            listed += instruction.opname, at(instruction.argval)
        else:
            listed += instruction.opname, instruction.argrepr or instruction.arg
    guards = [(at(e.start), at(e.end), at(e.target), e.depth, e.lasti) for e in _guards(code)]
    return [*listed, guards]


def _instructions(code: types.CodeType) -> Iterator[dis.Instruction]:
    return (instruction for instruction in dis.get_instructions(code) if instruction.opname not in _SAYS_NOTHING)


def _is_docstring(before: dis.Instruction, instruction: dis.Instruction) -> bool:
    return instruction.opname == "STORE_NAME" and instruction.argval == "__doc__" and before.opcode in _CONSTANTS


def _guards(code: types.CodeType) -> list[Any]:
    """List which stretches of code are in a ``try``, and where its handler is."""
    return list(getattr(dis.Bytecode(code), "exception_entries", ()))


def readings(code: types.CodeType) -> Iterator[GlobalRead]:
    """List the names that code, and the functions inside it, look up outside themselves."""
    name, attributes = "", []
    for instruction in _instructions(code):
        if name and instruction.opname in _ASKS_FOR:
            attributes.append(instruction.argval)
            continue
        if name:
            yield GlobalRead(name, tuple(attributes))
        name, attributes = (instruction.argval, []) if instruction.opname in _LOOKS_UP else ("", [])
    for inner in _inner(code):
        yield from readings(inner)


def imports(code: types.CodeType, *, package: str) -> Iterator[str]:
    """List the modules that code imports when it runs, and what it takes from them, as that may be modules too."""
    instructions = list(_instructions(code))
    for at, instruction in enumerate(instructions):
        if instruction.opname != "IMPORT_NAME":
            continue
        level, taken = instructions[at - 2].argval, instructions[at - 1].argval
        name = "." * level + instruction.argval if isinstance(level, int) else instruction.argval
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
