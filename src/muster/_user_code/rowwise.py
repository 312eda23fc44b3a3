"""Look through a function's source for what mixes rows: such a result depends on where batches end.

It is judged by names alone, without a call: ``df["x"].mean()`` mixes rows, ``df.mean(axis=1)`` and ``row.mean()`` in a
function that is applied to each row do not. What cannot be followed is not remarked upon.
"""

import ast
import inspect
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any, Final

from muster._model import Target

_FRAME: Final = "frame"
_COLUMN: Final = "column"
_MIXING: Final = re.compile(
    "mean|std|var|sem|median|mode|sum|prod|product|min|max|quantile|skew|kurt|describe|corr|cov|rank|groupby|"
    "shift|diff|pct_change|cumsum|cumprod|cummax|cummin|rolling|expanding|ewm|resample|sort_values|nlargest|"
    "nsmallest|drop_duplicates|duplicated|value_counts|nunique|unique|factorize|interpolate|ffill|bfill|pad|"
    "backfill|sample|head|tail|pivot|pivot_table|melt|unstack|agg|aggregate|idxmin|idxmax|argmin|argmax|argsort|"
    "sort|get_dummies|ptp|cut"
)
_MIXING_CALLS: Final = re.compile(
    "get_dummies|qcut|factorize|pivot_table|crosstab|melt|mean|average|std|var|median|nanmean|nanstd|nanmedian|"
    "percentile|nanpercentile|quantile|cumsum|cumprod|diff|sort|argsort|unique|amax|amin|zscore|rankdata"
)
_STILL_ROWS: Final = re.compile("sort_values|drop_duplicates|ffill|bfill|shift|diff")
_LIBRARIES: Final = frozenset({"pd", "pandas", "np", "numpy", "stats", "scipy"})
_FITTING: Final = frozenset({"fit", "fit_transform", "fit_predict"})
_ACCESSORS: Final = frozenset({"str", "dt", "cat"})
_NO_COLUMNS: Final = re.compile("loc|iloc|at|iat|T|shape|columns|dtypes|index|attrs|empty|size|ndim|iterrows")
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


def warning_of(name: str, remarks: tuple[str, ...]) -> str:
    """Put the remarks on a function into words."""
    return (
        f"{name!r} may not treat each row by itself: {'; '.join(remarks)}. It is called with a batch of rows, not with"
        " the whole file, so such a result depends on where batches end. Work out beforehand what takes all rows, and"
        " use it here. To see which columns differ, type muster check. With --batch-rows N the batches are the same in"
        " every run, and this is not said. More: docs/row-wise.md"
    )


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
    plain = inspect.unwrap(function)
    if not inspect.isroutine(plain):
        plain = (plain if isinstance(plain, type) else type(plain)).__call__
    lines, _ = inspect.findsource(plain)
    return _Module("".join(lines)).look(plain.__name__, line=plain.__code__.co_firstlineno)


class _Module:
    """The source that a function stands in, with the functions beside it that it may call."""

    def __init__(self, source: str) -> None:
        self.lines = source.splitlines()
        self.tree = ast.parse(source)
        self.functions = {node.name: node for node in self.tree.body if isinstance(node, ast.FunctionDef)}

    def look(self, name: str, *, line: int | None = None) -> dict[int, tuple[str, list[str]]]:
        """List the lines that mix rows: what stands there, and the names that do it."""
        found: dict[int, tuple[str, list[str]]] = {}
        for node in self._meant(name, line):
            names = [one.arg for one in node.args.args if one.arg not in {"self", "cls"}]
            _Look(self, {names[0]: _FRAME} if names else {}, found).take(node)
        return found

    def _meant(self, name: str, line: int | None) -> Iterator[ast.FunctionDef | ast.Lambda]:
        for node in ast.walk(self.tree):
            match node:
                case ast.FunctionDef() if line is None and node.name == name and node in self.tree.body:
                    yield node
                case ast.ClassDef() if line is None and node.name == name:
                    yield from (one for one in node.body if isinstance(one, ast.FunctionDef) and one.name == "__call__")
                case ast.FunctionDef() if line in {node.lineno, *(one.lineno for one in node.decorator_list)}:
                    yield node
                case ast.Lambda() if name == "<lambda>" and node.lineno == line:
                    yield node


@dataclass
class _Look(ast.NodeVisitor):
    """A look through one function; ``kinds`` says which of its variables are a batch, or a column of one."""

    module: _Module
    kinds: dict[str, str | None]
    found: dict[int, tuple[str, list[str]]]
    seen: frozenset[str] = field(default_factory=frozenset)

    def take(self, node: ast.FunctionDef | ast.Lambda) -> None:
        for statement in node.body if isinstance(node, ast.FunctionDef) else [node.body]:
            self.visit(statement)

    def visit_Assign(self, node: ast.Assign) -> None:
        self.generic_visit(node)
        for target in node.targets:
            if isinstance(target, ast.Name):
                self.kinds[target.id] = self._kind(node.value)

    def visit_Call(self, node: ast.Call) -> None:
        name = getattr(node.func, "attr", getattr(node.func, "id", ""))
        if name in _SAYING:
            return
        self._judge(node, name)
        self.generic_visit(node)
        given = [self._kind(one) for one in node.args]
        if (isinstance(node.func, ast.Name) and _FRAME in given) or _COLUMN in given:
            self._follow(name, given)
        if name in {"assign", "pipe"} and self._kind_of_owner(node) == _FRAME:
            for one in [*node.args, *(keyword.value for keyword in node.keywords)]:
                if isinstance(one, ast.Lambda) and one.args.args:
                    _Look(self.module, {**self.kinds, one.args.args[0].arg: _FRAME}, self.found, self.seen).take(one)
                elif isinstance(one, ast.Name) and name == "pipe":
                    self._follow(one.id, [_FRAME])

    def visit_Lambda(self, node: ast.Lambda) -> None:
        """Skip a lambda's body: its argument is mostly a row or a value, no batch."""
        names = {one.arg: None for one in node.args.args}
        _Look(self.module, {**self.kinds, **names}, self.found, self.seen).visit(node.body)

    def visit_Assert(self, node: ast.Assert) -> None:
        """Skip assertions."""

    def visit_Raise(self, node: ast.Raise) -> None:
        """Pass over what is merely said."""

    def visit_Expr(self, node: ast.Expr) -> None:
        """Pass over what is printed, logged or waited for, but not what changes or fits something."""
        call = node.value
        if isinstance(call, ast.Call):
            is_followed = getattr(call.func, "id", "") in self.module.functions
            is_fitted = getattr(call.func, "attr", "") in _FITTING
            if is_followed or is_fitted or self._kind_of_owner(call):
                self.generic_visit(node)

    def visit_Subscript(self, node: ast.Subscript) -> None:
        if isinstance(node.value, ast.Attribute) and node.value.attr == "iloc" and self._kind(node.value.value):
            first = node.slice.elts[0] if isinstance(node.slice, ast.Tuple) and node.slice.elts else node.slice
            if isinstance(first, ast.Constant | ast.UnaryOp) or (
                isinstance(first, ast.Slice) and (first.lower or first.upper or first.step) and not _is_empty(first)
            ):
                self._note(node, "iloc")
        self.generic_visit(node)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        for side in (node.left, node.right):
            if isinstance(side, ast.Call) and getattr(side.func, "id", "") == "len" and self._kind(side.args[0]):
                self._note(node, "len")
        self.generic_visit(node)

    def _follow(self, name: str, given: list[str | None]) -> None:
        node = self.module.functions.get(name)
        if node is not None and name not in self.seen:
            names = [one.arg for one in node.args.args]
            kinds = dict(zip(names, given, strict=False))
            _Look(self.module, kinds, self.found, self.seen | {name}).take(node)

    def _judge(self, node: ast.Call, name: str) -> None:
        owner, first = self._kind_of_owner(node), self._kind(node.args[0]) if node.args else None
        if _is_along_the_row(node, is_frame=owner == _FRAME or (owner is None and first == _FRAME)):
            return
        library = isinstance(node.func, ast.Attribute) and getattr(node.func.value, "id", "") in _LIBRARIES
        if (
            (owner and _MIXING.fullmatch(name))
            or (owner and name == "fillna" and any(keyword.arg == "method" for keyword in node.keywords))
            or (owner == _FRAME and first == _FRAME and name in {"merge", "join"})
            or (name in _FITTING and first)
            or (library and first and _MIXING_CALLS.fullmatch(name))
            or (library and first and name == "cut" and _has_counted_bins(node))
            or (name == "get_dummies" and self._is_accessor(node.func))
        ):
            self._note(node, name)

    def _is_accessor(self, function: ast.expr) -> bool:
        owner = getattr(function, "value", None)
        return isinstance(owner, ast.Attribute) and owner.attr in _ACCESSORS and self._kind(owner.value) is not None

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
                is_column = self._kind(value) == _FRAME and not _NO_COLUMNS.fullmatch(attribute)
                return _COLUMN if is_column else None
            case ast.BinOp(left=left, right=right):
                return self._kind(left) or self._kind(right)
            case ast.Compare(left=left):
                return self._kind(left)
            case ast.UnaryOp(operand=operand):
                return self._kind(operand)
            case ast.Call(func=ast.Attribute(value=ast.Attribute(value=value, attr=accessor))) if (
                accessor in _ACCESSORS
            ):
                return self._kind(value)
            case ast.Call(func=ast.Attribute(value=value, attr=name)) if self._kind(value):
                is_other = _MIXING.fullmatch(name) and not _STILL_ROWS.fullmatch(name)
                return None if is_other or _NO_COLUMNS.fullmatch(name) else self._kind(value)
            case ast.Call(func=ast.Attribute(value=ast.Name(id=library)), args=[first, *_]) if library in _LIBRARIES:
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


def _is_along_the_row(node: ast.Call, *, is_frame: bool) -> bool:
    """Tell whether a call is told to go along each row: ``axis=1``."""
    if not is_frame:
        return False
    axes = [keyword.value for keyword in node.keywords if keyword.arg == "axis"]
    if (
        not axes
        and isinstance(node.func, ast.Attribute)
        and node.func.attr not in {"head", "tail", "shift", "diff", "sample"}
    ):
        axes = node.args[:1]
    return any(isinstance(axis, ast.Constant) and axis.value in {1, "columns"} for axis in axes)


def _is_empty(part: ast.Slice) -> bool:
    """Tell whether a slice is ``[:0]``, which no row is in."""
    return isinstance(part.upper, ast.Constant) and part.upper.value == 0


def _has_counted_bins(node: ast.Call) -> bool:
    """Tell whether ``pd.cut`` is given how many bins to make, not their borders."""
    bins = [*node.args[1:2], *(keyword.value for keyword in node.keywords if keyword.arg == "bins")]
    return any(isinstance(one, ast.Constant) and isinstance(one.value, int) for one in bins)
