"""Find the globals of a module that depend on the worker's number: the same code gives each worker another value."""

import ast
import functools
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, NamedTuple

from muster._process.environment import LOCAL_WORKER, WORKER

_DEFINED: Final = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_NUMBERS: Final = frozenset({WORKER, LOCAL_WORKER})


class GlobalMaking(NamedTuple):
    """How a global is made: the text of the statements that make it, and the other names that these read."""

    text: str
    reads: frozenset[str]


def made_by_worker(module: str) -> Mapping[str, GlobalMaking]:
    """Say how each global is made that depends on the worker's number: the same for every worker."""
    path = getattr(sys.modules.get(module), "__file__", None)
    if not path or not path.endswith(".py"):
        return {}
    try:
        return _made(path, Path(path).stat().st_mtime_ns)
    except (OSError, ValueError, SyntaxError):  # it may be gone, or be something else by now
        return {}


@functools.lru_cache(maxsize=256)
def _made(path: str, _written: int) -> Mapping[str, GlobalMaking]:
    source = Path(path).read_text(encoding="utf-8")
    if not any(number in source for number in _NUMBERS):
        return {}
    made: dict[str, GlobalMaking] = {}
    for statement in _statements(ast.parse(source).body):
        reads = {node.id for node in ast.walk(statement) if isinstance(node, ast.Name)}
        texts = {node.value for node in ast.walk(statement) if isinstance(node, ast.Constant)}
        own = reads & made.keys()
        if own or not _NUMBERS.isdisjoint(texts):
            text = "\n".join((*(made[name].text for name in sorted(own)), ast.unparse(statement)))
            others = frozenset(reads - own).union(*(made[name].reads for name in own))
            made |= dict.fromkeys(_names_of(statement), GlobalMaking(text, others))
    return made


def _statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """List what is done when a module is imported, one by one, also within ``if``, ``try`` and ``with``."""
    for statement in body:
        inner = [getattr(statement, part, []) for part in ("body", "orelse", "finalbody")]
        inner += [handler.body for handler in getattr(statement, "handlers", [])]
        if isinstance(statement, ast.If | ast.Try | ast.With):
            for part in inner:
                yield from _statements(part)
        else:
            yield statement


def _names_of(statement: ast.stmt) -> Iterator[str]:
    """Name what a statement assigns or defines; not what functions assign when they are called."""
    if isinstance(statement, _DEFINED):
        yield statement.name
    for node in ast.walk(statement) if not isinstance(statement, _DEFINED) else ():
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
