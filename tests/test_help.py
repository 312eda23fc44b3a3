"""What somebody sees who asks for help: in Python, and on the command line."""

import argparse
import inspect
import pydoc
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import muster as the_module
from conftest import Muster
from muster import cli
from muster._verbs._parser import Parser

VERBS = next(one for one in cli.parser()._actions if isinstance(one, argparse._SubParsersAction)).choices  # noqa: SLF001 (argparse says it nowhere else)
ACTIONS = [(name, action) for name, verb in VERBS.items() for action in verb._actions]  # noqa: SLF001 (likewise)


def test_help_of_muster_is_short_and_shows_what_is_public_alone() -> None:
    shown = pydoc.plain(pydoc.render_doc(the_module))
    assert len(shown.splitlines()) < 70
    assert re.findall(r"^([A-Z].+)$", shown, re.MULTILINE)[1:] == ["NAME", "DESCRIPTION", "VERSION", "FILE"]
    assert [name for name in the_module.__all__ if not re.search(rf"\b{name}\b", shown)] == []
    assert not re.search(r"\b_\w+", shown.replace(the_module.__file__, ""))


def test_help_of_a_part_of_muster_is_that_of_python() -> None:
    assert "on_bad_lines" not in pydoc.render_doc(the_module.run)
    assert "class Result" in pydoc.render_doc(the_module.Result)
    assert "UsageError" in pydoc.render_doc("muster.errors")


def test_dir_of_muster_lists_what_is_public_and_its_modules_are_found_as_ever() -> None:
    assert dir(the_module) == sorted([*the_module.__all__, "__version__"])
    program = "import pydoc, muster; pydoc.render_doc(muster); import muster._cuts; print(len(list(muster.__path__)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "1\n"


def test_each_line_about_a_name_is_how_its_own_help_begins() -> None:
    lines = dict(re.findall(r"^    (\w+)  +([A-Z].*?)\.?$", the_module.__doc__ or "", re.MULTILINE))
    own = {
        name: (inspect.getdoc(getattr(the_module, name)) or "")
        for name in lines
        if not name.endswith(("Error", "Warning"))
    }
    assert len(own) >= 11
    assert {name: doc for name, doc in own.items() if not doc.startswith(lines[name])} == {}


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_the_examples_of_the_module_run(tmp_path: Path) -> None:
    blocks = re.findall(r"::\n\n((?:    .*\n|\n)+)", the_module.__doc__ or "")
    assert len(blocks) == 3
    (tmp_path / "orders.csv").write_text("zip,price,quantity\n01,2.5,2\n02,-,3\n03,1.5,4\n")
    (tmp_path / "program.py").write_text("\n".join(inspect.cleandoc(f"\n{block}") for block in blocks))
    (tmp_path / "orders.csv").write_text("zip,price,quantity\n01,2.5,2\n02,3.5,3\n03,1.5,4\n")
    done = subprocess.run(
        [sys.executable, "program.py"], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "Row-wise" in done.stdout
    assert done.stdout.endswith("3 0 None\n")
    assert (tmp_path / "totals.csv").read_text().splitlines()[0] == "zip,price,quantity,total"


@pytest.mark.parametrize("verb", VERBS)
def test_help_of_a_verb_is_its_help_flag_and_ends_with_examples(muster: Muster, verb: str) -> None:
    asked, flag = muster("help", verb), muster(verb, "--help")
    assert (asked.code, asked.out) == (0, flag.out)
    assert VERBS[verb].examples[0][0] in asked.out


def test_help_alone_lists_the_verbs(muster: Muster) -> None:
    asked = muster("help")
    assert (asked.code, asked.out) == (0, muster("--help").out)
    assert all(f"    {verb}" in asked.out for verb in VERBS)


@pytest.mark.parametrize(("verb", "example"), [(name, one[0]) for name, verb in VERBS.items() for one in verb.examples])
def test_each_example_is_a_command_that_muster_takes(verb: str, example: str) -> None:
    program, *words = shlex.split(example.partition(" > ")[0])
    assert (program, words[0]) == ("muster", verb)
    parsed = cli.parser().parse_args(words)
    assert isinstance(parsed, argparse.Namespace)
    if verb != "help":
        assert parsed.call


def test_every_flag_with_a_value_says_its_default_and_every_verb_has_examples() -> None:
    valued = [
        (name, action)
        for name, action in ACTIONS
        if action.option_strings and action.nargs != 0 and action.help != argparse.SUPPRESS and not action.required
    ]
    assert [f"muster {name} {one.option_strings[0]}" for name, one in valued if "default" not in str(one.help)] == []
    assert [name for name, verb in VERBS.items() if not verb.examples or not isinstance(verb, Parser)] == []
