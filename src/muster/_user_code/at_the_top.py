"""What a file of Python defines at its top. The file is parsed, not run."""

import ast
from pathlib import Path
from typing import Final

from muster._model import Target

PIPELINE: Final = "pipeline"
"""The name of the pipeline that is meant where a file is named and nothing in it."""

_MAKE_PIPELINES: Final = frozenset(
    {
        "map_batches",
        "map_groups",
        "agg",
        "write_csv",
        "write_parquet",
        "write_json",
        "send_tcp",
        "send_redis",
        "send_kafka",
        "write_to",
    }
)
"""The methods that end the definition of a pipeline."""


def functions_in(file: Path) -> list[str]:
    """Name the functions, classes and pipelines of a file, in its order; none where it cannot be parsed."""
    return [name for statement in _top_of(file) for name in _names_of(statement) if not name.startswith("_")]


def pipelines_in(file: Path) -> list[str]:
    """Name the pipelines of a file, in its order; none where it cannot be parsed."""
    return [name for statement in _top_of(file) for name in _pipelines_of(statement) if not name.startswith("_")]


def may_be_pipeline(target: Target) -> bool:
    """Tell whether a target looks like a pipeline: those that are functions are not loaded to find that out."""
    if target.name == PIPELINE:
        return True
    file = Path(target.place) if target.kind == "file" else Path(target.place.replace(".", "/")).with_suffix(".py")
    return any(target.name in _pipelines_of(statement) for statement in _top_of(file))


def _top_of(file: Path) -> list[ast.stmt]:
    try:
        return ast.parse(file.read_bytes()).body
    except (OSError, ValueError, SyntaxError):
        return []


def _names_of(statement: ast.stmt) -> list[str]:
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return [statement.name]
    if isinstance(statement, ast.Assign) and isinstance(statement.value, ast.Lambda):
        return _assigned(statement)
    return _pipelines_of(statement)


def _pipelines_of(statement: ast.stmt) -> list[str]:
    """Name what is assigned a chain of calls, as ``muster.read_csv(...).map_batches(f).write_csv(...)``."""
    names = _assigned(statement)
    value = getattr(statement, "value", None)
    if isinstance(value, ast.Call) and isinstance(value.func, ast.Attribute) and value.func.attr in _MAKE_PIPELINES:
        return names
    return [name for name in names if name == PIPELINE]


def _assigned(statement: ast.stmt) -> list[str]:
    targets = (
        statement.targets
        if isinstance(statement, ast.Assign)
        else [statement.target]
        if isinstance(statement, ast.AnnAssign)
        else []
    )
    return [target.id for target in targets if isinstance(target, ast.Name)]
