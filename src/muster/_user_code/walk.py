"""Walk through a function for what mixes rows, and through the functions that it hands its batch to."""

import ast
from dataclasses import dataclass, field
from typing import Final

from . import mixing
from .forms import COLUMN, FRAME, Forms
from .syntax import Function, SourceModule, is_in, is_static, parameters_of

_ELSEWHERE: Final = {"to_thread": 0, "submit": 0, "run_in_executor": 1}
"""What calls a function in another thread, and where among its arguments that function stands."""
_SAYING: Final = frozenset({"print", "debug", "info", "warning", "log"})
_EXCERPT: Final = 70
"""How many characters of a line a remark shows."""

Remarks = dict[int, tuple[str, list[str]]]
"""By line: its text, and the names in it that mix rows."""


def remarks_in(module: SourceModule, name: str, *, line: int | None = None, bound: int = 0) -> Remarks:
    """List the lines of a function that mix rows.

    Of its arguments, ``bound`` are given already and stand before the batch.
    """
    remarks: Remarks = {}
    for node, owner, before in module.named(name, bound) if line is None else module.at(line, name, bound):
        parameters = parameters_of(node)[before:]
        forms = Forms({parameters[0]: FRAME} if parameters else {}, module.functions)
        _MixingVisitor(module, forms, remarks, owner=owner).take(node)
    return remarks


@dataclass
class _MixingVisitor(ast.NodeVisitor):
    module: SourceModule
    forms: Forms
    remarks: Remarks
    seen: frozenset[str] = field(default_factory=frozenset)
    """The functions that were walked into on the way here: no circle is followed twice."""
    owner: ast.ClassDef | None = None
    """The class whose method this is."""

    def take(self, node: Function) -> None:
        for statement in [node.body] if isinstance(node, ast.Lambda) else node.body:
            self.visit(statement)

    def visit_Assign(self, node: ast.Assign) -> None:
        is_column = any(
            isinstance(target, ast.Subscript) and self.forms.kind(target.value) == FRAME for target in node.targets
        )
        if not is_column and self.forms.truth_in(node.value):  # mostly the condition of an ``if`` that follows
            return
        if is_column and self.forms.is_length(node.value):
            self._note(node.value, "len")
        self.generic_visit(node)
        for target in node.targets:
            self._learn(target, node.value)

    def visit_If(self, node: ast.If) -> None:
        """Remark on a column that is added only where any row, or all rows, meet a condition: batches then differ."""
        truth = self.forms.truth_in(node.test)
        if truth is None:
            self.visit(node.test)
        elif any(self.forms.adds_column(statement) for statement in node.body):
            self._note(*truth)
        for statement in (*node.body, *node.orelse):
            self.visit(statement)

    def visit_IfExp(self, node: ast.IfExp) -> None:
        """Look at both values, but not at a condition that asks about any row, or all of them."""
        for part in (node.body, node.orelse, *(() if self.forms.truth_in(node.test) else (node.test,))):
            self.visit(part)

    def visit_While(self, node: ast.While) -> None:
        """Look at the body, but not at a condition that asks about any row, or all of them."""
        for part in (*node.body, *(() if self.forms.truth_in(node.test) else (node.test,))):
            self.visit(part)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        self.generic_visit(node)
        if node.value is not None:
            self._learn(node.target, node.value)

    def visit_NamedExpr(self, node: ast.NamedExpr) -> None:
        self.generic_visit(node)
        self._learn(node.target, node.value)

    def _learn(self, target: ast.expr, value: ast.expr) -> None:
        if isinstance(target, ast.Name):
            self.forms.kinds[target.id] = self.forms.kind(value)

    def visit_Call(self, node: ast.Call) -> None:
        name = getattr(node.func, "attr", getattr(node.func, "id", ""))
        if name in _SAYING:
            return
        self._judge(node, name)
        self.generic_visit(node)
        kinds = [self.forms.kind(argument) for argument in node.args]
        if (isinstance(node.func, ast.Name) and FRAME in kinds) or COLUMN in kinds:
            self._follow(name, kinds)
        if FRAME in kinds or COLUMN in kinds:
            self._follow_method(node, name, kinds)
            if name in _ELSEWHERE and is_in(node.args[_ELSEWHERE[name]], self.module.functions):
                at = _ELSEWHERE[name]
                self._follow(getattr(node.args[at], "id", ""), kinds[at + 1 :])
        if name in {"assign", "pipe"} and self.forms.kind_of_owner(node) == FRAME:
            self._follow_arguments(node, is_pipe=name == "pipe")

    def _follow_arguments(self, node: ast.Call, *, is_pipe: bool) -> None:
        """Follow the functions that ``assign`` and ``pipe`` call with the batch."""
        for argument in [*node.args, *(keyword.value for keyword in node.keywords)]:
            if self.forms.is_length(argument):
                self._note(argument, "len")
            if isinstance(argument, ast.Lambda) and argument.args.args:
                self._within({argument.args.args[0].arg: FRAME}).take(argument)
            elif isinstance(argument, ast.Name) and is_pipe:
                self._follow(argument.id, [FRAME])

    def visit_Lambda(self, node: ast.Lambda) -> None:
        """Take a lambda's arguments for rows or values, which they mostly are, even where a batch has the same name."""
        self._within(dict.fromkeys(parameters_of(node))).visit(node.body)

    def _within(self, kinds: dict[str, str | None]) -> "_MixingVisitor":
        forms = Forms({**self.forms.kinds, **kinds}, self.module.functions)
        return _MixingVisitor(self.module, forms, self.remarks, self.seen, self.owner)

    def visit_Assert(self, node: ast.Assert) -> None:
        """Skip assertions: they give no result."""

    def visit_Raise(self, node: ast.Raise) -> None:
        """Skip the words of an error."""

    def visit_Expr(self, node: ast.Expr) -> None:
        """Skip a call whose result nobody takes, such as of a logger, unless it may change a batch or fit a model."""
        call = node.value.value if isinstance(node.value, ast.Await) else node.value
        if isinstance(call, ast.Yield | ast.YieldFrom):
            self.generic_visit(node)
        elif isinstance(call, ast.Call):
            is_followed = getattr(call.func, "id", "") in self.module.functions
            is_fitted = getattr(call.func, "attr", "") in mixing.FITTING
            if is_followed or is_fitted or self.forms.kind_of_owner(call):
                self.generic_visit(node)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        if node.attr in mixing.FACTS and self.forms.kind(node.value):
            self._note(node, node.attr)
        self.generic_visit(node)

    def visit_Subscript(self, node: ast.Subscript) -> None:
        holder = node.value
        if isinstance(holder, ast.Attribute) and holder.attr in {"iloc", "iat"} and self.forms.kind(holder.value):
            if mixing.is_of_some_places(node.slice):
                self._note(node, holder.attr)
        elif mixing.is_number(node.slice) and self.forms.is_array(holder):
            self._note(node, ast.unparse(node)[len(ast.unparse(holder)) :])
        self.generic_visit(node)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        for side in (node.left, node.right):
            other = node.right if side is node.left else node.left
            if self.forms.is_length(side) and self.forms.kind(other):  # not time.sleep(len(df) * 0.1)
                self._note(node, "len")
        self.generic_visit(node)

    def _follow(self, name: str, kinds: list[str | None]) -> None:
        node = self.module.functions.get(name)
        if node is not None and name not in self.seen:
            forms = Forms(dict(zip(parameters_of(node), kinds, strict=False)), self.module.functions)
            _MixingVisitor(self.module, forms, self.remarks, self.seen | {name}).take(node)

    def _follow_method(self, node: ast.Call, name: str, kinds: list[str | None]) -> None:
        """Follow a call of another method of the class, or of one that is named."""
        holder = getattr(getattr(node.func, "value", None), "id", "")
        owner = self.owner if holder in {"self", "cls"} else self.module.classes.get(holder)
        method, within = self.module.method(owner, name) or (None, None)
        if method is None or within is None or f"{within.name}.{name}" in self.seen:
            return
        parameters = parameters_of(method)[not is_static(method) :]
        forms = Forms(dict(zip(parameters, kinds, strict=False)), self.module.functions)
        seen = self.seen | {f"{within.name}.{name}"}
        _MixingVisitor(self.module, forms, self.remarks, seen, owner=self.owner or within).take(method)

    def _judge(self, node: ast.Call, name: str) -> None:
        owner, first = self.forms.kind_of_owner(node), self.forms.kind(node.args[0]) if node.args else None
        if mixing.is_along_the_row(node, is_frame=owner == FRAME or (owner is None and first == FRAME)):
            return
        library = isinstance(node.func, ast.Attribute) and getattr(node.func.value, "id", "") in mixing.LIBRARIES
        if (
            (owner and mixing.METHODS.fullmatch(name))
            or (owner and name == "fillna" and any(keyword.arg == "method" for keyword in node.keywords))
            or (owner == FRAME and first == FRAME and name in {"merge", "join"})
            or (name in mixing.FITTING and first)
            or (isinstance(node.func, ast.Name) and name in mixing.BUILT_IN and len(node.args) == 1 and first == COLUMN)
            or (owner == COLUMN and name == "isin" and first == COLUMN)
            or (library and first and mixing.CALLS.fullmatch(name))
            or (library and first and name == "cut" and mixing.has_counted_bins(node))
            or (name == "get_dummies" and self.forms.is_accessor(node.func))
        ):
            self._note(node, name)

    def _note(self, node: ast.expr, name: str) -> None:
        text = self.module.lines[node.lineno - 1].strip()
        if len(text) > _EXCERPT:
            text = text[: _EXCERPT - 1] + "…"
        names = self.remarks.setdefault(node.lineno, (text, []))[1]
        if name not in names:
            names.append(name)
