"""Look through a function's source for what mixes rows: such a result depends on where batches end.

It is judged by names alone, without a call: ``df["x"].mean()`` mixes rows, ``df.mean(axis=1)`` and ``row.mean()`` in a
function that is applied to each row do not. What cannot be followed is not remarked upon.
"""

import ast
import functools
import inspect
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any, Final

from muster._model import Target

from . import mixing

_FRAME: Final = "frame"
_COLUMN: Final = "column"
_ELSEWHERE: Final = {"to_thread": 0, "submit": 0, "run_in_executor": 1}
"""What calls a function in another thread, and where among its arguments that stands."""

_DEFINED: Final = (ast.FunctionDef, ast.AsyncFunctionDef)
_SAYING: Final = frozenset({"print", "debug", "info", "warning", "log"})
_MOST: Final = 3
_EXCERPT: Final = 70

Kinds = Mapping[str, str | None]


def remarks_on(function: Callable[..., Any] | None, target: Target) -> tuple[str, ...]:
    """Say which lines of a function mix rows; nothing where its source cannot be read."""
    try:
        found = _in_object(function) if function is not None else _in_file(target)
    except Exception:  # noqa: BLE001 (whatever odd thing the user made: nothing is remarked upon, and the run goes on)
        return ()
    return tuple(f"line {line}: {text} ({', '.join(names)})" for line, (text, names) in sorted(found.items()))[:_MOST]


def warnings_of(steps: Sequence[Target], remarks: Sequence[str]) -> list[str]:
    """Put the remarks on functions into words, where there are any."""
    name = " | ".join(step.name for step in steps)
    text = (
        f"{name!r} may not treat each row by itself: {'; '.join(remarks)}. It is called with a batch of rows, not with"
        " the whole file, so such a result depends on where batches end. Work out beforehand what takes all rows, and"
        " use it here. To see which columns differ, type muster check. With --batch-rows N the batches are the same in"
        " every run, and this is not said. More: muster help row-wise"
    )
    return [text] if remarks else []


def _in_file(target: Target) -> dict[int, tuple[str, list[str]]]:
    path = Path(target.place) if target.kind == "file" else _file_of(target.place)
    return _Module(path.read_text(encoding="utf-8")).look(target.name)


def _file_of(module: str) -> Path:
    """Find a module's file without importing anything."""
    where, origin = [str(Path.cwd()), *sys.path], ""
    for word in module.split("."):
        spec = PathFinder.find_spec(word, where)
        if spec is None:
            raise ModuleNotFoundError(module)
        where, origin = list(spec.submodule_search_locations or []), spec.origin or ""
    return Path(origin)


def _in_object(function: Any) -> dict[int, tuple[str, list[str]]]:  # noqa: ANN401 (whatever can be called)
    bound = 0
    while isinstance(plain := inspect.unwrap(function), functools.partial):
        function, bound = plain.func, bound + len(plain.args)
    if not inspect.isroutine(plain):
        plain = (plain if isinstance(plain, type) else type(plain)).__call__
    lines, _ = inspect.findsource(plain)
    plain = getattr(plain, "__func__", plain)
    return _Module("".join(lines)).look(plain.__name__, line=plain.__code__.co_firstlineno, bound=bound)


class _Module:
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

    def look(self, name: str, *, line: int | None = None, bound: int = 0) -> dict[int, tuple[str, list[str]]]:
        """List the lines that mix rows: what stands there, and the names that do it.

        So many arguments are ``bound``, and stand before the batch.
        """
        found: dict[int, tuple[str, list[str]]] = {}
        meant = self._named(name, bound) if line is None else self._at(line, name, bound)
        for node, owner, before in meant:
            names = parameters_of(node)[before:]
            _Look(self, {names[0]: _FRAME} if names else {}, found, owner=owner).take(node)
        return found

    def method(self, owner: "ast.ClassDef | None", name: str) -> "tuple[_Function, ast.ClassDef] | None":
        """Find a method of a class, or of one that it inherits from, with the class that it stands in."""
        for node in owner.body if owner is not None else ():
            if isinstance(node, _DEFINED) and node.name == name and owner is not None:
                return node, owner
        bases = [self.classes.get(getattr(base, "id", "")) for base in (owner.bases if owner is not None else ())]
        return next((found for base in bases if base is not owner and (found := self.method(base, name))), None)

    def _named(self, name: str, bound: int) -> "Iterator[tuple[_Function, ast.ClassDef | None, int]]":
        """Find what a target names, with its class, and how many of its parameters stand before the batch."""
        first, *others = name.split(".")
        value = self.values.get(first)
        if first in self.functions and not others:
            yield self.functions[first], None, bound
        elif first in self.classes:
            yield from self._in_class(self.classes[first], others or ["__call__"], bound)
        elif isinstance(value, ast.Lambda):
            yield value, None, bound
        elif isinstance(value, ast.Call) and getattr(value.func, "attr", getattr(value.func, "id", "")) == "partial":
            yield from self._named(getattr(value.args[0], "id", ""), bound + len(value.args) - 1)
        elif isinstance(value, ast.Call):  # an object of a class
            yield from self._named(getattr(value.func, "id", ""), bound) if _is_in(value.func, self.classes) else ()

    def _in_class(
        self, owner: ast.ClassDef, path: list[str], bound: int
    ) -> "Iterator[tuple[_Function, ast.ClassDef | None, int]]":
        name, *others = path
        for inner in owner.body:
            if others and isinstance(inner, ast.ClassDef) and inner.name == name:
                yield from self._in_class(inner, others, bound)
        if not others and (found := self.method(owner, name)):
            node, within = found
            yield node, within, bound + (not _is_static(node))

    def _at(self, line: int, name: str, bound: int) -> "Iterator[tuple[_Function, ast.ClassDef | None, int]]":
        """Find what begins at a line: a function, a method, a lambda."""
        for owner in (None, *(node for node in ast.walk(self.tree) if isinstance(node, ast.ClassDef))):
            for node in ast.walk(self.tree) if owner is None else owner.body:
                is_method = owner is None and any(node in one.body for one in self.classes.values())
                if isinstance(node, ast.Lambda) and owner is None and name == "<lambda>" and node.lineno == line:
                    yield node, None, bound
                elif isinstance(node, _DEFINED) and not is_method and line in _lines(node):
                    yield node, owner, bound + (owner is not None and not _is_static(node))


_Function = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda


def parameters_of(node: _Function) -> list[str]:
    """Name the parameters that can be given by place."""
    return [one.arg for one in (*node.args.posonlyargs, *node.args.args)]


def _lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> set[int]:
    return {node.lineno, *(one.lineno for one in node.decorator_list)}


def _is_static(node: _Function) -> bool:
    return any(getattr(one, "id", "") == "staticmethod" for one in getattr(node, "decorator_list", ()))


def _is_in(node: ast.expr, names: Mapping[str, object]) -> bool:
    return isinstance(node, ast.Name) and node.id in names


@dataclass
class _Look(ast.NodeVisitor):
    """A look through one function; ``kinds`` says which of its variables are a batch, or a column of one."""

    module: _Module
    kinds: dict[str, str | None]
    found: dict[int, tuple[str, list[str]]]
    seen: frozenset[str] = field(default_factory=frozenset)
    owner: ast.ClassDef | None = None
    """The class whose method is looked through."""

    def take(self, node: _Function) -> None:
        for statement in [node.body] if isinstance(node, ast.Lambda) else node.body:
            self.visit(statement)

    def visit_Assign(self, node: ast.Assign) -> None:
        is_column = any(isinstance(one, ast.Subscript) and self._kind(one.value) == _FRAME for one in node.targets)
        if not is_column and self._truth_in(node.value):  # to decide by, mostly
            return
        if is_column and self._is_length(node.value):
            self._note(node.value, "len")
        self.generic_visit(node)
        for target in node.targets:
            self._learn(target, node.value)

    def visit_If(self, node: ast.If) -> None:
        """Judge what is decided by whether any row, or all of them, are so: whether a column is there, say."""
        truth = self._truth_in(node.test)
        if truth is None:
            self.visit(node.test)
        elif any(self._adds_column(one) for one in node.body):
            self._note(*truth)
        for one in (*node.body, *node.orelse):
            self.visit(one)

    def visit_IfExp(self, node: ast.IfExp) -> None:
        """Judge a choice between two values, but not what it hangs on."""
        for one in (node.body, node.orelse, *(() if self._truth_in(node.test) else (node.test,))):
            self.visit(one)

    def visit_While(self, node: ast.While) -> None:
        """Pass over what a loop goes on for."""
        for one in (*node.body, *(() if self._truth_in(node.test) else (node.test,))):
            self.visit(one)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        self.generic_visit(node)
        if node.value is not None:
            self._learn(node.target, node.value)

    def visit_NamedExpr(self, node: ast.NamedExpr) -> None:
        self.generic_visit(node)
        self._learn(node.target, node.value)

    def _learn(self, target: ast.expr, value: ast.expr) -> None:
        if isinstance(target, ast.Name):
            self.kinds[target.id] = self._kind(value)

    def visit_Call(self, node: ast.Call) -> None:
        name = getattr(node.func, "attr", getattr(node.func, "id", ""))
        if name in _SAYING:
            return
        self._judge(node, name)
        self.generic_visit(node)
        given = [self._kind(one) for one in node.args]
        if (isinstance(node.func, ast.Name) and _FRAME in given) or _COLUMN in given:
            self._follow(name, given)
        if _FRAME in given or _COLUMN in given:
            self._follow_method(node, name, given)
            if name in _ELSEWHERE and _is_in(node.args[_ELSEWHERE[name]], self.module.functions):
                at = _ELSEWHERE[name]
                self._follow(getattr(node.args[at], "id", ""), given[at + 1 :])
        if name in {"assign", "pipe"} and self._kind_of_owner(node) == _FRAME:
            for one in [*node.args, *(keyword.value for keyword in node.keywords)]:
                if self._is_length(one):
                    self._note(one, "len")
                if isinstance(one, ast.Lambda) and one.args.args:
                    self._within({**self.kinds, one.args.args[0].arg: _FRAME}).take(one)
                elif isinstance(one, ast.Name) and name == "pipe":
                    self._follow(one.id, [_FRAME])

    def visit_Lambda(self, node: ast.Lambda) -> None:
        """Skip a lambda's body: its argument is mostly a row or a value, no batch."""
        names = {one.arg: None for one in node.args.args}
        self._within({**self.kinds, **names}).visit(node.body)

    def _within(self, kinds: dict[str, str | None]) -> "_Look":
        return _Look(self.module, kinds, self.found, self.seen, self.owner)

    def visit_Assert(self, node: ast.Assert) -> None:
        """Skip assertions."""

    def visit_Raise(self, node: ast.Raise) -> None:
        """Pass over what is merely said."""

    def visit_Expr(self, node: ast.Expr) -> None:
        """Pass over what is printed, logged or waited for, but not what changes or fits something."""
        call = node.value.value if isinstance(node.value, ast.Await) else node.value
        if isinstance(call, ast.Yield | ast.YieldFrom):
            self.generic_visit(node)
        elif isinstance(call, ast.Call):
            is_followed = getattr(call.func, "id", "") in self.module.functions
            is_fitted = getattr(call.func, "attr", "") in mixing.FITTING
            if is_followed or is_fitted or self._kind_of_owner(call):
                self.generic_visit(node)

    def _truth_in(self, node: ast.expr) -> tuple[ast.expr, str] | None:
        """Find a question whether any, or all, of a column are so, which stands alone or in ``not`` and ``and``."""
        match node:
            case ast.UnaryOp(op=ast.Not(), operand=inner) | ast.Call(func=ast.Name(id="bool"), args=[inner]):
                return self._truth_in(inner)
            case ast.BoolOp(values=values):
                return next((found for one in values if (found := self._truth_in(one))), None)
            case (
                ast.Call(func=ast.Attribute(value=column, attr=name)) | ast.Call(func=ast.Name(id=name), args=[column])
            ) if name in mixing.TRUTHS and self._kind(column):
                return node, name
            case ast.Attribute(attr=name, value=column) if name in mixing.FACTS and self._kind(column):
                return node, name
            case _:
                return None

    def _adds_column(self, node: ast.stmt) -> bool:
        """Tell whether a statement makes a column out of something other than a column: of one value, say."""
        return isinstance(node, ast.Assign) and any(
            isinstance(one, ast.Subscript)
            and isinstance(one.slice, ast.Constant)
            and self._kind(one.value) == _FRAME
            and isinstance(node.value, ast.Constant)
            for one in node.targets
        )

    def _is_length(self, node: ast.expr) -> bool:
        """Tell whether something is how many rows there are, or counts them."""
        match node:
            case ast.Call(func=ast.Name(id="len"), args=[one]):
                return self._kind(one) is not None
            case ast.Call(func=ast.Name(id="range") | ast.Attribute(attr="arange"), args=[*_, last]):
                return self._is_length(last)
            case ast.BinOp(left=side, right=ast.Constant()) | ast.BinOp(left=ast.Constant(), right=side):
                return self._is_length(side)
            case _:
                return False

    def visit_Attribute(self, node: ast.Attribute) -> None:
        if node.attr in mixing.FACTS and self._kind(node.value):
            self._note(node, node.attr)
        self.generic_visit(node)

    def visit_Subscript(self, node: ast.Subscript) -> None:
        holder = node.value
        if isinstance(holder, ast.Attribute) and holder.attr in {"iloc", "iat"} and self._kind(holder.value):
            if mixing.is_of_some_places(node.slice):
                self._note(node, holder.attr)
        elif mixing.is_number(node.slice) and self._is_array(holder):
            self._note(node, ast.unparse(node)[len(ast.unparse(holder)) :])
        self.generic_visit(node)

    def _is_array(self, node: ast.expr) -> bool:
        """Tell whether an expression is a batch or a column as an array or a list."""
        match node:
            case ast.Attribute(attr="values" | "array", value=value):
                return self._kind(value) is not None
            case ast.Call(func=ast.Attribute(attr="to_numpy" | "tolist" | "to_list", value=value)):
                return self._kind(value) is not None
            case ast.Call(func=ast.Name(id="list"), args=[one]):
                return self._kind(one) == _COLUMN
            case _:
                return False

    def visit_BinOp(self, node: ast.BinOp) -> None:
        for side in (node.left, node.right):
            other = node.right if side is node.left else node.left
            if self._is_length(side) and self._kind(other):  # not time.sleep(len(df) * 0.1)
                self._note(node, "len")
        self.generic_visit(node)

    def _follow(self, name: str, given: list[str | None]) -> None:
        node = self.module.functions.get(name)
        if node is not None and name not in self.seen:
            kinds = dict(zip(parameters_of(node), given, strict=False))
            _Look(self.module, kinds, self.found, self.seen | {name}).take(node)

    def _follow_method(self, node: ast.Call, name: str, given: list[str | None]) -> None:
        """Follow a call of another method of the class, or of one that is named."""
        holder = getattr(getattr(node.func, "value", None), "id", "")
        owner = self.owner if holder in {"self", "cls"} else self.module.classes.get(holder)
        found = self.module.method(owner, name)
        if found is not None and f"{found[1].name}.{name}" not in self.seen:
            method, within = found
            kinds = dict(zip(parameters_of(method)[not _is_static(method) :], given, strict=False))
            seen = self.seen | {f"{within.name}.{name}"}
            _Look(self.module, kinds, self.found, seen, owner=self.owner or within).take(method)

    def _judge(self, node: ast.Call, name: str) -> None:
        owner, first = self._kind_of_owner(node), self._kind(node.args[0]) if node.args else None
        if mixing.is_along_the_row(node, is_frame=owner == _FRAME or (owner is None and first == _FRAME)):
            return
        library = isinstance(node.func, ast.Attribute) and getattr(node.func.value, "id", "") in mixing.LIBRARIES
        if (
            (owner and mixing.METHODS.fullmatch(name))
            or (owner and name == "fillna" and any(keyword.arg == "method" for keyword in node.keywords))
            or (owner == _FRAME and first == _FRAME and name in {"merge", "join"})
            or (name in mixing.FITTING and first)
            or (
                isinstance(node.func, ast.Name) and name in mixing.BUILT_IN and len(node.args) == 1 and first == _COLUMN
            )
            or (owner == _COLUMN and name == "isin" and first == _COLUMN)
            or (library and first and mixing.CALLS.fullmatch(name))
            or (library and first and name == "cut" and mixing.has_counted_bins(node))
            or (name == "get_dummies" and self._is_accessor(node.func))
        ):
            self._note(node, name)

    def _is_accessor(self, function: ast.expr) -> bool:
        owner = getattr(function, "value", None)
        return (
            isinstance(owner, ast.Attribute) and owner.attr in mixing.ACCESSORS and self._kind(owner.value) is not None
        )

    def _kind_of_owner(self, node: ast.Call) -> str | None:
        return self._kind(node.func.value) if isinstance(node.func, ast.Attribute) else None

    def _kind(self, node: ast.expr) -> str | None:  # noqa: C901, PLR0911, PLR0912 (a case for each form of expression)
        """Tell whether an expression is a batch, or a column of one, as far as its form says."""
        match node:
            case ast.Name(id=name):
                return self.kinds.get(name)
            case ast.Subscript(value=ast.Attribute(attr="loc"), slice=slice_):
                return (
                    _COLUMN if isinstance(slice_, ast.Tuple) and isinstance(slice_.elts[-1], ast.Constant) else _FRAME
                )
            case ast.Subscript(value=value, slice=slice_):
                kind = self._kind(value)
                return _COLUMN if kind == _FRAME and isinstance(slice_, ast.Constant) else kind
            case ast.Attribute(value=value, attr="values"):
                return self._kind(value)
            case ast.Attribute(value=value, attr=attribute):
                is_column = self._kind(value) == _FRAME and not mixing.NO_COLUMNS.fullmatch(attribute)
                return _COLUMN if is_column else None
            case ast.BinOp(left=left, right=right):
                return self._kind(left) or self._kind(right)
            case ast.Compare(left=left):
                return self._kind(left)
            case ast.UnaryOp(operand=operand):
                return self._kind(operand)
            case ast.Await(value=value) | ast.NamedExpr(value=value):
                return self._kind(value)
            case ast.Call(func=ast.Attribute(value=ast.Attribute(value=value, attr=accessor))) if (
                accessor in mixing.ACCESSORS
            ):
                return self._kind(value)
            case ast.Call(func=ast.Attribute(value=value, attr=name)) if self._kind(value):
                is_other = mixing.METHODS.fullmatch(name) and not mixing.STILL_ROWS.fullmatch(name)
                return None if is_other or mixing.NO_COLUMNS.fullmatch(name) else self._kind(value)
            case ast.Call(func=ast.Attribute(value=ast.Name(id=library)), args=[first, *_]) if (
                library in mixing.LIBRARIES
            ):
                return self._kind(first)
            case ast.Call(func=ast.Name(), args=[first, *_]) if self._kind(first) == _FRAME:
                return _FRAME if node.func.id in self.module.functions else None  # type: ignore[attr-defined]
            case _:
                return None

    def _note(self, node: ast.expr, name: str) -> None:
        text = self.module.lines[node.lineno - 1].strip()
        if len(text) > _EXCERPT:
            text = text[: _EXCERPT - 1] + "…"
        names = self.found.setdefault(node.lineno, (text, []))[1]
        if name not in names:
            names.append(name)
