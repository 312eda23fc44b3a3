"""Files, classes and functions stay small enough to be read in one go. What is listed here is still too large."""

import ast
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import pytest

from sources import sources

LONGEST_FILE, LONGEST_FUNCTION, MOST_ATTRIBUTES = 500, 60, 15

RECORDS: Final = frozenset(
    {
        ("_job/job.py", "Options"),  # a field for each option of a run
        ("_job/result.py", "Result"),  # the fields of --json
        ("_job/snapshot.py", "Snapshot"),  # what callers are told of a run
        ("_model/briefing.py", "Briefing"),  # these four travel between muster and its workers
        ("_model/groups.py", "Exchange"),
        ("_model/tasks.py", "Task"),
        ("_model/outcomes.py", "Outcome"),
    }
)
"""Frozen nouns with as many fields as there are things to say. They have nothing that changes."""

INHERITING: Final = frozenset({("_watch/sums/worker.py", "WorkerSums")})
"""Those that have more with what they inherit: this one has ten sums besides ten attributes of its own."""

MOST_BY_PLACE: Final = 5
"""Values that a reader can count off."""
TABLES: Final = frozenset({"_clouds/aws/remains.py"})
"""Where a line is a row, and the fields stand under each other."""

LONG_FUNCTIONS: Final = frozenset({("_api/pipeline.py", "run")})


def attributes_of(node: ast.ClassDef) -> set[str]:
    fields = {
        part.target.id for part in node.body if isinstance(part, ast.AnnAssign) and isinstance(part.target, ast.Name)
    }
    assigned = {
        part.attr
        for part in ast.walk(node)
        if isinstance(part, ast.Attribute)
        and isinstance(part.ctx, ast.Store)
        and isinstance(part.value, ast.Name)
        and part.value.id == "self"
    }
    return fields | assigned


def test_no_file_is_longer_than_anybody_reads() -> None:
    lengths = {file: text.count("\n") for file, text, _ in sources()}
    assert {file: lines for file, lines in lengths.items() if lines > LONGEST_FILE} == {}


def test_no_function_is_longer_than_a_screen() -> None:
    lengths = {
        (file, node.name): (node.end_lineno or node.lineno) - node.lineno + 1
        for file, _, tree in sources()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    long = {where: lines for where, lines in lengths.items() if lines > LONGEST_FUNCTION}
    assert {where: lines for where, lines in long.items() if where not in LONG_FUNCTIONS} == {}


def test_no_class_has_more_attributes_than_anybody_keeps_in_mind() -> None:
    classes = {
        (file, node.name): node
        for file, _, tree in sources()
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
    }
    named = {name: node for (_, name), node in classes.items()}
    numbers = {
        where: len(all_attributes_of(node, named)) for where, node in classes.items() if not is_dict(node, named)
    }
    large = {where: number for where, number in numbers.items() if number > MOST_ATTRIBUTES}
    assert {where: number for where, number in large.items() if where not in RECORDS | INHERITING} == {}


def all_attributes_of(node: ast.ClassDef, named: Mapping[str, ast.ClassDef]) -> set[str]:
    """Name the attributes of a class, those that it inherits among them."""
    inherited = (all_attributes_of(named[base], named) for base in bases_of(node) if base in named)
    return attributes_of(node).union(*inherited)


def bases_of(node: ast.ClassDef) -> list[str]:
    return [ast.unparse(base).partition("[")[0].rpartition(".")[2] for base in node.bases]


def is_dict(node: ast.ClassDef, named: Mapping[str, ast.ClassDef]) -> bool:
    """Tell whether the attributes are keys: those of options of a call."""
    return any(base == "TypedDict" or (base in named and is_dict(named[base], named)) for base in bases_of(node))


@pytest.mark.parametrize(("file", "name"), sorted(RECORDS))
def test_a_record_has_nothing_that_changes(file: str, name: str) -> None:
    (tree,) = (module.tree for module in sources() if module.file == file)
    node = next(part for part in ast.walk(tree) if isinstance(part, ast.ClassDef) and part.name == name)
    bases, decorators = {ast.unparse(base) for base in node.bases}, map(ast.unparse, node.decorator_list)
    assert bases & {"NamedTuple", "TypedDict"} or any("frozen=True" in decorator for decorator in decorators)


def test_no_room_imports_a_module_that_is_for_another_room_alone() -> None:
    private = []
    for file, _, tree in sources():
        room = Path(file).parts[0]
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and not node.level and (node.module or "").startswith("muster."):
                _, owner, *path = (node.module or "").split(".")
                names = [*path, *(name.name for name in node.names if not name.name.startswith("__"))]
                if owner not in {room, "_verbs"} and any(name.startswith("_") for name in names):
                    private.append((file, node.module))
    assert private == []


def test_a_record_of_many_fields_is_made_by_their_names() -> None:
    classes = {node.name for _, _, tree in sources() for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}
    by_place = [
        (file, node.lineno, node.func.id)
        for file, _, tree in sources()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in classes
        if len(node.args) > MOST_BY_PLACE and file not in TABLES
        if not any(isinstance(value, ast.Starred) for value in node.args)
    ]
    assert by_place == []
