"""What an expression is, as far as its form says: a batch, a column of one, how many rows there are."""

import ast
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from . import mixing

FRAME: Final = "frame"
COLUMN: Final = "column"


@dataclass(frozen=True, slots=True)
class Forms:
    """The expressions of one function."""

    kinds: dict[str, str | None]
    """Which of its variables are a batch, or a column of one; learned on the way."""
    functions: Collection[str]
    """Functions of the same module; they give a batch where they are given one."""

    def kind(self, node: ast.expr) -> str | None:  # noqa: C901, PLR0911, PLR0912 (a case for each form of expression)
        """Tell whether an expression is a batch, or a column of one, as far as its form says."""
        match node:
            case ast.Name(id=name):
                return self.kinds.get(name)
            case ast.Subscript(value=ast.Attribute(attr="loc"), slice=slice_):
                return COLUMN if isinstance(slice_, ast.Tuple) and isinstance(slice_.elts[-1], ast.Constant) else FRAME
            case ast.Subscript(value=value, slice=slice_):
                kind = self.kind(value)
                return COLUMN if kind == FRAME and isinstance(slice_, ast.Constant) else kind
            case ast.Attribute(value=value, attr="values"):
                return self.kind(value)
            case ast.Attribute(value=value, attr=attribute):
                is_column = self.kind(value) == FRAME and not mixing.NO_COLUMNS.fullmatch(attribute)
                return COLUMN if is_column else None
            case ast.BinOp(left=left, right=right):
                return self.kind(left) or self.kind(right)
            case ast.Compare(left=left):
                return self.kind(left)
            case ast.UnaryOp(operand=operand):
                return self.kind(operand)
            case ast.Await(value=value) | ast.NamedExpr(value=value):
                return self.kind(value)
            case ast.Call(func=ast.Attribute(value=ast.Attribute(value=value, attr=accessor))) if (
                accessor in mixing.ACCESSORS
            ):
                return self.kind(value)
            case ast.Call(func=ast.Attribute(value=value, attr=name)) if self.kind(value):
                is_other = mixing.METHODS.fullmatch(name) and not mixing.STILL_ROWS.fullmatch(name)
                return None if is_other or mixing.NO_COLUMNS.fullmatch(name) else self.kind(value)
            case ast.Call(func=ast.Attribute(value=ast.Name(id=library)), args=[first, *_]) if (
                library in mixing.LIBRARIES
            ):
                return self.kind(first)
            case ast.Call(func=ast.Name(), args=[first, *_]) if self.kind(first) == FRAME:
                return FRAME if node.func.id in self.functions else None  # type: ignore[attr-defined]
            case _:
                return None

    def kind_of_owner(self, node: ast.Call) -> str | None:
        return self.kind(node.func.value) if isinstance(node.func, ast.Attribute) else None

    def is_accessor(self, function: ast.expr) -> bool:
        owner = getattr(function, "value", None)
        return (
            isinstance(owner, ast.Attribute) and owner.attr in mixing.ACCESSORS and self.kind(owner.value) is not None
        )

    def is_array(self, node: ast.expr) -> bool:
        """Tell whether an expression is a batch or a column as an array or a list."""
        match node:
            case ast.Attribute(attr="values" | "array", value=value):
                return self.kind(value) is not None
            case ast.Call(func=ast.Attribute(attr="to_numpy" | "tolist" | "to_list", value=value)):
                return self.kind(value) is not None
            case ast.Call(func=ast.Name(id="list"), args=[value]):
                return self.kind(value) == COLUMN
            case _:
                return False

    def is_length(self, node: ast.expr) -> bool:
        """Tell whether an expression is how many rows there are, or numbers them."""
        match node:
            case ast.Call(func=ast.Name(id="len"), args=[value]):
                return self.kind(value) is not None
            case ast.Call(func=ast.Name(id="range") | ast.Attribute(attr="arange"), args=[*_, last]):
                return self.is_length(last)
            case ast.BinOp(left=side, right=ast.Constant()) | ast.BinOp(left=ast.Constant(), right=side):
                return self.is_length(side)
            case _:
                return False

    def truth_in(self, node: ast.expr) -> tuple[ast.expr, str] | None:
        """Find ``any()``, ``all()`` or the like of a column, also within ``not``, ``and`` and ``or``; with its name."""
        match node:
            case ast.UnaryOp(op=ast.Not(), operand=inner) | ast.Call(func=ast.Name(id="bool"), args=[inner]):
                return self.truth_in(inner)
            case ast.BoolOp(values=values):
                return next((truth for value in values if (truth := self.truth_in(value))), None)
            case (
                ast.Call(func=ast.Attribute(value=column, attr=name)) | ast.Call(func=ast.Name(id=name), args=[column])
            ) if name in mixing.TRUTHS and self.kind(column):
                return node, name
            case ast.Attribute(attr=name, value=column) if name in mixing.FACTS and self.kind(column):
                return node, name
            case _:
                return None

    def adds_column(self, node: ast.stmt) -> bool:
        """Tell whether a statement gives all rows the same constant."""
        return isinstance(node, ast.Assign) and any(
            isinstance(target, ast.Subscript)
            and isinstance(target.slice, ast.Constant)
            and self.kind(target.value) == FRAME
            and isinstance(node.value, ast.Constant)
            for target in node.targets
        )
