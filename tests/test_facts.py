"""What the rows of a function depend on: everything that matters changes the facts, and nothing else does."""

import os
import subprocess
import sys
import types
from pathlib import Path

import pytest

from muster._model import Fact
from muster._run.history.resume import changed_facts
from muster._user_code.facts import facts_of
from muster._user_code.versions import versions
from muster._version import __version__

BASE = """
import re
LIMIT = 10
WORDS = {"a", "b"}
def twice(value):
    return value * 2
class Keeps:
    factor = 2
    def use(self, value):
        return value * self.factor
def step(df):
    try:
        kept = [twice(value) for value in df if value < LIMIT]
    except ValueError:
        kept = []
    return Keeps().use(value=kept), WORDS
def unused():
    return 1
"""


def facts(text: str) -> dict[str, str]:
    """Run a module's text as a notebook would, and say what its ``step`` depends on."""
    module = sys.modules["cells"] = types.ModuleType("cells")
    exec(compile(text, "<cell>", "exec"), vars(module))  # noqa: S102 (that is how notebooks run what is typed)
    return {fact.what: fact.value for fact in facts_of(module.step)}


def changes(text: str, other: str) -> list[str]:
    return list(changed_facts(facts(text), facts(other)))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("def unused():\n    return 1", "def unused():\n    return 2"),
        ("import re", "import re  # for later\n# and more\n\n"),
        ("    return value * 2", "    '''Double it.'''\n    # as was agreed\n\n    return value * 2"),
        ("class Keeps:", "class Keeps:\n    '''Keeps.'''\n"),
        ('{"a", "b"}', '{"b", "a"}'),
    ],
)
def test_comments_docstrings_order_of_sets_and_what_is_not_reached_change_nothing(old: str, new: str) -> None:
    assert old in BASE
    assert not changes(BASE, BASE.replace(old, new))


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("LIMIT = 10", "LIMIT = 50", "the global LIMIT of cells was 10 and is 50 now"),
        ("value * 2\n", "value * 3\n", "the function 'twice' of cells has changed"),
        ("factor = 2", "factor = 3", "the class 'Keeps' of cells has changed"),
        ("value * self.factor", "value + self.factor", "the function 'Keeps.use' of cells has changed"),
        ("value < LIMIT", "value > LIMIT", "the function 'step' of cells has changed"),
        (
            "except ValueError:\n        kept = []",
            "finally:\n        kept = []",
            "the function 'step' of cells has changed",
        ),
        ('{"a", "b"}', '{"a", "c"}', "the global WORDS of cells has changed"),
    ],
)
def test_what_rows_depend_on_is_named_when_it_has_changed(old: str, new: str, said: str) -> None:
    assert old in BASE
    assert changes(BASE, BASE.replace(old, new)) == [said]


def imported(folder: Path, monkeypatch: pytest.MonkeyPatch, **texts: str) -> types.ModuleType:
    """Write modules, ``package_in_module`` below ``package``, and import that of the name ``first``."""
    for name, text in texts.items():
        path = folder / f"{name.replace('_in_', '/')}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    for name in [name for name in sys.modules if name.partition(".")[0] in {"first", "second", "third", "package"}]:
        del sys.modules[name]
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    return __import__("first")


def of_modules(folder: Path, monkeypatch: pytest.MonkeyPatch, **texts: str) -> dict[str, str]:
    module = imported(folder, monkeypatch, **texts)
    return {fact.what: fact.value for fact in facts_of(module.step)}


FIRST = "import second\ndef step(df):\n    return second.mark(df)\n"
SECOND = "import third\nLIMIT = 1\ndef mark(df):\n    return third.add(df, LIMIT)\ndef other():\n    return 5\n"
THIRD = "def add(df, n):\n    return df + n\n"


def test_modules_are_followed_through_what_is_asked_of_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = of_modules(tmp_path, monkeypatch, first=FIRST, second=SECOND, third=THIRD)
    same = of_modules(tmp_path, monkeypatch, second="# new\n" + SECOND.replace("return 5", "return 6"), scratch="x=1")
    assert before == same
    other = of_modules(tmp_path, monkeypatch, second=SECOND, third=THIRD.replace("+ n", "- n"))
    assert list(changed_facts(before, other)) == ["the function 'add' of third.py has changed"]


def test_a_global_that_was_set_at_run_time_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = imported(tmp_path, monkeypatch, first=FIRST, second=SECOND, third=THIRD)
    before = {fact.what: fact.value for fact in facts_of(module.step)}
    module.second.LIMIT = 7
    after = {fact.what: fact.value for fact in facts_of(module.step)}
    assert list(changed_facts(before, after)) == ["the global LIMIT of second.py was 1 and is 7 now"]


def test_modules_that_are_imported_in_a_function_are_looked_at_but_not_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = "def step(df):\n    from package.inner import mark\n    return mark(df)\n"
    texts = {"first": first, "package_in___init__": "", "package_in_inner": "from . import deep\nmark = deep.mark\n"}
    before = of_modules(tmp_path, monkeypatch, **texts, package_in_deep="def mark(df): return df\n")
    assert not any(name.startswith("package") for name in sys.modules)
    same = of_modules(tmp_path, monkeypatch, package_in_deep="# said\ndef mark(df): return df\n")
    assert before == same
    other = of_modules(tmp_path, monkeypatch, package_in_deep="def mark(df): return df + 1\n")
    assert list(changed_facts(before, other)) == ["the module package.deep has changed"]


def test_a_module_that_is_handed_on_counts_as_a_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = "import second\ndef step(df):\n    return getattr(second, 'mark')(df)\n"
    before = of_modules(tmp_path, monkeypatch, first=first, second=SECOND, third=THIRD)
    other = of_modules(tmp_path, monkeypatch, second=SECOND.replace("return 5", "return 6"))
    assert list(changed_facts(before, other)) == ["the function 'other' of second.py has changed"]


def test_packages_are_compared_by_version() -> None:
    found = facts("import pydantic\ndef step(df):\n    return pydantic.VERSION")
    assert found["the package pydantic"] == sys.modules["pydantic"].VERSION
    later = found | {"the package pydantic": "9.0"}
    assert list(changed_facts(found, later)) == [
        f"the package pydantic was {sys.modules['pydantic'].VERSION} and is 9.0 now"
    ]


def test_the_version_of_muster_is_compared_and_a_journal_that_does_not_note_it_is_of_the_first() -> None:
    found = {"muster": __version__, "Python": "3.11.7"}
    assert Fact("muster", __version__) in versions()
    assert list(changed_facts(found, found | {"muster": "9.0"})) == [f"muster was {__version__} and is 9.0 now"]
    assert list(changed_facts({"Python": "3.11.7"}, found | {"muster": "9.0"})) == ["muster was 0.1.0 and is 9.0 now"]


def test_what_cannot_be_compared_is_named() -> None:
    text = "import socket\nLINE = socket.socket()\nLINE.close()\ndef step(df):\n    return LINE"
    found = facts(text)
    assert list(changed_facts(found, found)) == [
        "the global LINE of cells holds socket.socket, which cannot be compared with what it was"
    ]


RANKED = """
import os
if True:
    RANK = int(os.environ.get("MUSTER_WORKER", "-1"))
STEP = 2
DEVICE = f"gpu{RANK * STEP}"

def number():
    return os.environ.get("MUSTER_LOCAL_WORKER")

LOCAL = number()

def f(df):
    return df.assign(device=DEVICE, local=LOCAL, rank=RANK)
"""

FACTS = """
import json, sys
sys.path.insert(0, ".")
import ranked
from muster._user_code.facts import facts_of
print(json.dumps([fact.value for fact in facts_of(ranked.f)]))
"""


def test_a_global_that_hangs_on_the_workers_number_is_the_same_in_every_worker_but_its_code_counts(
    tmp_path: Path,
) -> None:
    def facts(worker: str | None, code: str = RANKED) -> str:
        (tmp_path / "ranked.py").write_text(code)
        numbers = {"MUSTER_WORKER": worker, "MUSTER_LOCAL_WORKER": worker} if worker else {}
        command, environment = [sys.executable, "-B", "-c", FACTS], {**os.environ, **numbers}
        done = subprocess.run(command, cwd=tmp_path, env=environment, check=True, capture_output=True, text=True)
        return done.stdout

    assert facts("0") == facts("1") == facts(None)
    assert facts("0") != facts("0", RANKED.replace("STEP = 2", "STEP = 3"))
    assert facts("0") != facts("0", RANKED.replace('"-1"', '"-2"'))
    assert facts("0") != facts("0", RANKED.replace("LOCAL = number()", 'LOCAL = number() or "x"'))


def test_a_module_that_a_script_imports_too_has_the_workers_own_number_there(tmp_path: Path) -> None:
    (tmp_path / "ranked.py").write_text(RANKED)
    (tmp_path / "in.csv").write_text("a\n1\n")
    (tmp_path / "script.py").write_text(
        "import muster, ranked\nmuster.run(ranked.f, 'in.csv', 'out.csv', workers=1, progress=False)\n"
    )
    subprocess.run([sys.executable, "script.py"], cwd=tmp_path, check=True)
    assert (tmp_path / "out.csv").read_text() == "a,device,local,rank\n1,gpu0,0,0\n"


ASKED = """
import lib, beside
from muster._user_code.facts import facts_of
from muster._user_code.origins import is_users_module, user_traceback

def uses(df):
    return lib.double(beside.fails(df))

print([fact.value for fact in facts_of(uses) if fact.what == "the package lib"])
print([name for name in ("lib", "lib.inner", "single", "beside", "__main__") if is_users_module(name)])
try:
    lib.double(None)
except TypeError as error:
    print("lib" in user_traceback(error).replace("lib.double", ""))
"""


@pytest.mark.parametrize("is_by_pth", [False, True])
def test_what_pip_has_put_into_any_folder_of_the_search_path_is_a_library(tmp_path: Path, *, is_by_pth: bool) -> None:
    there = tmp_path / "there"
    (there / "lib").mkdir(parents=True)
    (there / "lib" / "__init__.py").write_text("import single\nfrom .inner import double\n")
    (there / "lib" / "inner.py").write_text("def double(value):\n    return value * 2\n")
    (there / "single.py").write_text("")
    (there / "beside.py").write_text("def fails(df):\n    return df\n")
    (there / "lib-1.5.dist-info").mkdir()
    (there / "lib-1.5.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: lib\nVersion: 1.5\n")
    (there / "lib-1.5.dist-info" / "RECORD").write_text(
        "lib/__init__.py,sha256=x,1\nlib/inner.py,,\nsingle.py,,\n../bin/tool,,\n__pycache__/single.pyc,,\n"
        "lib-1.5.dist-info/RECORD,,\n"
    )
    (tmp_path / "asks.py").write_text(ASKED)
    beginning = ""
    if is_by_pth:
        (tmp_path / "more.pth").write_text(f"{there}\n")
        beginning = f"import site; site.addsitedir({str(tmp_path)!r}); "
    done = subprocess.run(
        [sys.executable, "-c", f"{beginning}import runpy; runpy.run_path('asks.py', run_name='__main__')"],
        cwd=tmp_path, env=os.environ | ({} if is_by_pth else {"PYTHONPATH": str(there)}),
        check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert done.stdout.splitlines() == ["['1.5']", "['beside', '__main__']", "False"], done.stderr


def test_a_library_whose_package_could_not_be_loaded_is_still_a_library(tmp_path: Path) -> None:
    (tmp_path / "lib" / "serve" / "generated").mkdir(parents=True)
    (tmp_path / "lib" / "__init__.py").write_text("")
    (tmp_path / "lib" / "serve" / "__init__.py").write_text("from .generated import made\nraise ImportError\n")
    (tmp_path / "lib" / "serve" / "generated" / "made.py").write_text("")
    (tmp_path / "lib-1.5.dist-info").mkdir()
    (tmp_path / "lib-1.5.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: lib\nVersion: 1.5\n")
    (tmp_path / "lib-1.5.dist-info" / "RECORD").write_text("lib/__init__.py,,\n")
    asked = (
        f"import contextlib, sys\nsys.path.append({str(tmp_path)!r})\n"
        "with contextlib.suppress(ImportError):\n    import lib.serve\n"
        "from muster._user_code.origins import is_users_module\n"
        "print([is_users_module(name) for name in sorted(sys.modules) if name.partition('.')[0] == 'lib'])\n"
    )
    ended = subprocess.run([sys.executable, "-c", asked], cwd="/", check=True, capture_output=True, text=True)
    assert ended.stdout == "[False, False, False]\n"
