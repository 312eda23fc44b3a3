"""The source that a function stands in, as a tree: its functions and classes by name."""

import ast
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

_DEFINED: Final = (ast.FunctionDef, ast.AsyncFunctionDef)

Function = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda


class CalledFunction(NamedTuple):
    """A function that is called with a batch."""

    node: Function
    owner: ast.ClassDef | None
    """The class that it is a method of."""
    before: int
    """How many of its parameters stand before the batch."""


class SourceModule:
    """The source that a function stands in, with the functions beside it that it may call."""

    def __init__(self, source: str) -> None:
        self.lines = source.splitlines()
        self.tree = ast.parse(source)
        self.classes = {node.name: node for node in self.tree.body if isinstance(node, ast.ClassDef)}
        self.functions = {node.name: node for node in self.tree.body if isinstance(node, _DEFINED)}
        self.values = {
            target.id: node.value
            for node in self.tree.body
            if isinstance(node, ast.Assign)
            for target in node.targets
            if isinstance(target, ast.Name)
        }

    def method(self, owner: ast.ClassDef | None, name: str) -> tuple[Function, ast.ClassDef] | None:
        """Find a method of a class, or of one that it inherits from, with the class that it stands in."""
        for node in owner.body if owner is not None else ():
            if isinstance(node, _DEFINED) and node.name == name and owner is not None:
                return node, owner
        bases = [self.classes.get(getattr(base, "id", "")) for base in (owner.bases if owner is not None else ())]
        inherited = (self.method(base, name) for base in bases if base is not owner)
        return next((method for method in inherited if method), None)

    def named(self, name: str, bound: int) -> Iterator[CalledFunction]:
        """Find what ``name`` stands for; ``bound`` of its arguments are given by ``functools.partial``."""
        first, *others = name.split(".")
        value = self.values.get(first)
        if first in self.functions and not others:
            yield CalledFunction(self.functions[first], None, bound)
        elif first in self.classes:
            yield from self._in_class(self.classes[first], others or ["__call__"], bound)
        elif isinstance(value, ast.Lambda):
            yield CalledFunction(value, None, bound)
        elif isinstance(value, ast.Call) and getattr(value.func, "attr", getattr(value.func, "id", "")) == "partial":
            yield from self.named(getattr(value.args[0], "id", ""), bound + len(value.args) - 1)
        elif isinstance(value, ast.Call):  # an object of a class
            yield from self.named(getattr(value.func, "id", ""), bound) if is_in(value.func, self.classes) else ()

    def _in_class(self, owner: ast.ClassDef, path: list[str], bound: int) -> Iterator[CalledFunction]:
        name, *others = path
        for inner in owner.body:
            if others and isinstance(inner, ast.ClassDef) and inner.name == name:
                yield from self._in_class(inner, others, bound)
        if not others and (method := self.method(owner, name)):
            node, within = method
            yield CalledFunction(node, within, bound + (not is_static(node)))

    def at(self, line: int, name: str, bound: int) -> Iterator[CalledFunction]:
        """Find the functions, methods and lambdas that begin at a line."""
        for owner in (None, *(node for node in ast.walk(self.tree) if isinstance(node, ast.ClassDef))):
            for node in ast.walk(self.tree) if owner is None else owner.body:
                is_method = owner is None and any(node in kind.body for kind in self.classes.values())
                if isinstance(node, ast.Lambda) and owner is None and name == "<lambda>" and node.lineno == line:
                    yield CalledFunction(node, None, bound)
                elif isinstance(node, _DEFINED) and not is_method and line in _lines(node):
                    yield CalledFunction(node, owner, bound + (owner is not None and not is_static(node)))


def parameters_of(node: Function) -> list[str]:
    """Name the parameters that can be given by place."""
    return [parameter.arg for parameter in (*node.args.posonlyargs, *node.args.args)]


def _lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> set[int]:
    return {node.lineno, *(decorator.lineno for decorator in node.decorator_list)}


def is_static(node: Function) -> bool:
    return any(getattr(decorator, "id", "") == "staticmethod" for decorator in getattr(node, "decorator_list", ()))


def is_in(node: ast.expr, names: Mapping[str, object]) -> bool:
    return isinstance(node, ast.Name) and node.id in names
