"""Print the reference of Python, ``docs/api.md``, from signatures and docstrings: ``make docs``."""

import ast
import inspect
import re
import sys
import textwrap
from collections.abc import Iterator
from itertools import chain

import muster
from muster import errors, testing
from muster._api.check import Check
from muster._api.groups import Groups

CHAPTERS = {
    "Run": ("run", "run_each", "run_since_last", "retry", "check", "generate"),
    "Pipelines": (
        "read_csv",
        "read_json",
        "read_parquet",
        "follow_csv",
        "listen_tcp",
        "follow_redis",
        "follow_kafka",
        "read_from",
        "Pipeline",
        "Groups",
        "Aggregation",
    ),
    "Sources and sinks of your own": ("StreamSource", "StreamRows", "StreamSink"),
    "What comes back": ("Result", "Runs", "Snapshot", "Check", "Dialect"),
}
"""What stands where; a public name that is in none of them comes last, errors apart."""

WITHOUT_FIELDS = ("muster.Pipeline", "muster.Groups")
"""What is made and used by functions alone."""

UNNAMED = {"Check": Check, "Groups": Groups}
"""What functions return, which nobody needs to name."""

TESTING = ("FakeEngine", "FakeClock", "FakeCloud")
CHECKS = ("check_source", "check_sink")
INTRODUCTION = """# Python

Made by `make docs` from the program itself. `import muster` loads in a few milliseconds; each name is loaded when it is
first used.

In signatures, `Paths` is a path or a list of paths, each a `str` or a `pathlib.Path`. A `Function` is anything that can
be called. A `Watch` is a function that takes a `Snapshot`. A `Key` is the name of a column, or a function of
the rows. The text says what a default of `...` does.
"""


def page() -> str:
    """Write the page: a chapter for each kind of thing, a section for each name."""
    errors_there = [name for name in muster.__all__ if issubclass_of(name, (errors.MusterError, UserWarning))]
    placed = {name for names in CHAPTERS.values() for name in names} | set(errors_there)
    chapters = {**CHAPTERS, "More": tuple(name for name in muster.__all__ if name not in placed)}
    lines = [INTRODUCTION]
    for title, names in chapters.items():
        if names:
            lines += [f"## {title}\n", *(line for name in names for line in section(name))]
    lines += ["## Errors and warnings\n", *tree()]
    lines += ["## Testing\n", prose(testing.__doc__ or ""), ""]
    lines += [line for name in TESTING for line in of_class(f"muster.testing.{name}", getattr(testing, name))]
    lines += [line for name in CHECKS for line in of_function(f"muster.testing.{name}", getattr(testing, name))]
    return "\n".join(lines).rstrip() + "\n"


def issubclass_of(name: str, kinds: tuple[type, ...]) -> bool:
    """Tell whether a public name is a class of one of some kinds."""
    value = getattr(muster, name)
    return isinstance(value, type) and issubclass(value, kinds)


def section(name: str) -> Iterator[str]:
    """Write a section on a public name."""
    value = UNNAMED.get(name) or getattr(muster, name)
    yield from of_class(f"muster.{name}", value) if isinstance(value, type) else of_function(f"muster.{name}", value)


def of_function(name: str, function: object, *, level: str = "###") -> Iterator[str]:
    """Write how a function is called, and what it says of itself."""
    shown = signature(name.rpartition(".")[2] if level != "###" else name, definition(function))
    yield from (f"{level} {name}\n", f"```py\n{shown}\n```\n")
    yield from (prose(inspect.getdoc(function) or ""), "")


def of_class(name: str, kind: type) -> Iterator[str]:
    """Write what a class is, its fields with what each says, and its methods."""
    parsed = definition(kind)
    yield from (f"### {name}\n", prose(inspect.getdoc(kind) or ""), "")
    made = [one for one in parsed.body if isinstance(one, ast.FunctionDef) and one.name == "__init__"]
    for one in made:
        yield from (f"```py\n{signature(name, one)}\n```\n", prose(ast.get_docstring(one) or ""), "")
    if rows := [] if name in WITHOUT_FIELDS else list(fields(parsed)):
        yield from ("| field | type | what it says |", "|---|---|---|", *rows, "")
    bases = (definition(base) for base in kind.__mro__[1:] if base.__module__.startswith("muster."))
    for member in chain(parsed.body, *(base.body for base in bases)):
        if isinstance(member, ast.FunctionDef) and not member.name.startswith("_"):
            value = inspect.getattr_static(kind, member.name)
            if not isinstance(value, property):
                yield from of_function(f"{name}.{member.name}", value, level="####")


def definition(value: object) -> ast.FunctionDef | ast.ClassDef:
    """Parse the source of a function or a class, with defaults by their values where they are constants."""
    value = inspect.unwrap(getattr(value, "__func__", value))  # type: ignore[arg-type]
    parsed = ast.parse(textwrap.dedent(inspect.getsource(value))).body[0]  # type: ignore[arg-type]
    assert isinstance(parsed, ast.FunctionDef | ast.ClassDef)  # noqa: S101 (what else is there)
    names = vars(sys.modules[value.__module__])
    for one in [parsed] if isinstance(parsed, ast.FunctionDef) else parsed.body:
        if isinstance(one, ast.FunctionDef):
            one.args.defaults = [by_value(default, names) for default in one.args.defaults]
            one.args.kw_defaults = [default and by_value(default, names) for default in one.args.kw_defaults]
    return parsed


def by_value(default: ast.expr, names: dict[str, object]) -> ast.expr:
    """Replace the name of a constant by what it is, and that of anything else, which nobody can type, by dots."""
    if not isinstance(default, ast.Name):
        return default
    value = names.get(default.id)
    return ast.Constant(value if isinstance(value, int | float | str) else ...)


def signature(name: str, function: ast.FunctionDef | ast.ClassDef) -> str:
    """Write a signature, one parameter a line where there are many."""
    assert isinstance(function, ast.FunctionDef)  # noqa: S101 (of a class there are fields)
    function.args.args = [one for one in function.args.args if one.arg not in {"self", "cls"}]
    if function.args.vararg and function.args.vararg.arg.startswith("_"):  # what is only taken to be refused
        function.args.vararg = None
    parts = split(ast.unparse(function.args))
    is_made = function.name == "__init__"
    returns = f" -> {plain(ast.unparse(function.returns))}" if function.returns and not is_made else ""
    one_line = f"{name}({', '.join(parts)}){returns}"
    if len(one_line) <= 100:  # noqa: PLR2004 (what fits a page)
        return one_line
    return f"{name}(\n" + "".join(f"    {part},\n" for part in parts) + f"){returns}"


def split(arguments: str) -> list[str]:
    """Split parameters at the commas that are in no bracket."""
    found, depth = [""], 0
    for character in arguments:
        depth += (character in "([{") - (character in ")]}")
        if character == "," and not depth:
            found.append("")
        else:
            found[-1] += character
    return [parameter(part.strip()) for part in found if part.strip()]


def parameter(text: str) -> str:
    """Write a parameter; a default keeps its quotes."""
    name, is_left_out, default = text.partition("=")
    equals = " = " if ":" in name else "="
    return f"{plain(name)}{equals}{default}" if is_left_out else plain(name)


def fields(kind: ast.FunctionDef | ast.ClassDef) -> Iterator[str]:
    """Write a row for each field of a frozen noun; the text that follows it says what it is."""
    members = kind.body
    for at, member in enumerate(members):
        if not isinstance(member, ast.AnnAssign) or not isinstance(member.target, ast.Name):
            continue
        if member.target.id.startswith("_"):
            continue
        after = members[at + 1] if at + 1 < len(members) else None
        said = ""
        if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
            said = " ".join(str(after.value.value).split())
        kind_of = plain(ast.unparse(member.annotation)).replace("|", "\\|")
        yield f"| `{member.target.id}` | `{kind_of}` | {prose(said)} |"


def plain(annotation: str) -> str:
    """Write a type without quotes around it, and nothing of options that the text lists."""
    return (
        re.sub(r"(\*\*\w+): .*", r"\1", annotation)
        if annotation.startswith("**")
        else re.sub(r"'([\w |]+)'(?=$|[,\]| ])", r"\1", annotation)
    )


def tree() -> Iterator[str]:
    """Write the tree of errors as it stands in its module, then a row for each that is public."""
    said = inspect.getdoc(errors) or ""
    drawn = re.search(r"(?:^(?: {4}.*)?\n)+", said[said.index("\n") :], flags=re.MULTILINE)
    yield f"```text\n{textwrap.dedent(drawn[0] if drawn else '').strip()}\n```\n"
    yield "The numbers are exit codes of the command line. A message says what happened, why, and what to do next.\n"
    yield from ("| name | when |", "|---|---|")
    for name, value in vars(errors).items():
        if isinstance(value, type) and value.__module__ == errors.__name__:
            where = "muster" if name in muster.__all__ else "muster.errors"
            yield f"| `{where}.{name}` | {prose(' '.join((inspect.getdoc(value) or '').split()))} |"
    yield ""


def prose(docstring: str) -> str:
    """Turn a docstring's marks into those of a page."""
    text = re.sub(r":(?:class|func|meth):`~?(?:muster\.)?([\w.]+)`", r"`\1`", docstring)
    text = re.sub(r"``([^`]+)``", r"`\1`", text)
    return re.sub(r"\bdocs/([\w-]+\.md)", r"[\1](\1)", text)


if __name__ == "__main__":
    print(page(), end="")
