"""Files, classes and functions stay small enough to be read in one go. What is listed here is still too large."""

import ast
import functools
from pathlib import Path
from typing import Final

import pytest

import muster

ROOT: Final = Path(muster.__file__).parent

LONGEST_FILE, LONGEST_FUNCTION, MOST_ATTRIBUTES = 500, 60, 15

RECORDS: Final = frozenset(
    {
        ("_csv_options.py", "CsvOptions"),  # a field for each option of read_csv
        ("_job.py", "Options"),  # a field for each option of a run
        ("_job.py", "Result"),  # the fields of --json
        ("_job.py", "Snapshot"),  # what callers are told of a run
        ("_model/briefing.py", "Briefing"),  # these three travel between muster and its workers
        ("_model/tasks.py", "Task"),
        ("_model/outcomes.py", "Outcome"),
    }
)
"""Frozen nouns with as many fields as there are things to say. They have nothing that changes."""

LONG_FUNCTIONS: Final = frozenset({("_pipeline.py", "run")})


@functools.cache
def sources() -> list[tuple[str, str, ast.Module]]:
    texts = [(path, path.read_text(encoding="utf-8")) for path in sorted(ROOT.rglob("*.py"))]
    return [(path.relative_to(ROOT).as_posix(), text, ast.parse(text)) for path, text in texts]


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
    numbers = {
        (file, node.name): len(attributes_of(node))
        for file, _, tree in sources()
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
    }
    large = {where: number for where, number in numbers.items() if number > MOST_ATTRIBUTES}
    assert {where: number for where, number in large.items() if where not in RECORDS} == {}


@pytest.mark.parametrize(("file", "name"), sorted(RECORDS))
def test_a_record_has_nothing_that_changes(file: str, name: str) -> None:
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    node = next(part for part in ast.walk(tree) if isinstance(part, ast.ClassDef) and part.name == name)
    bases, decorators = {ast.unparse(base) for base in node.bases}, map(ast.unparse, node.decorator_list)
    assert bases & {"NamedTuple", "TypedDict"} or any("frozen=True" in decorator for decorator in decorators)
