"""What somebody sees who asks for help: in Python, and on the command line."""

import argparse
import contextlib
import inspect
import os
import pydoc
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import muster as the_module
from conftest import MUSTER, Muster
from muster import cli
from muster._verbs._parser import Parser
from muster._verbs._topics import as_text

ROOT = Path(__file__).parents[1]

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
    program = (
        "import pydoc, muster; pydoc.render_doc(muster); import muster._progress.cuts; print(len([*muster.__path__]))"
    )
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


def test_help_alone_lists_the_verbs_and_the_topics(muster: Muster) -> None:
    asked = muster("help")
    assert (asked.code, asked.out) == (0, muster("--help").out)
    assert all(f"    {verb}" in asked.out for verb in VERBS)
    assert "\n  types               How values are read and written\n" in asked.out
    assert all(f"\n  {path.stem}" in asked.out for path in (ROOT / "docs").glob("*.md"))


@pytest.mark.parametrize("page", sorted((ROOT / "docs").glob("*.md")), ids=lambda page: page.stem)
def test_every_page_is_text_that_a_terminal_shows_whole(page: Path) -> None:
    text = as_text(page.read_text(), width=100)
    assert max(map(len, text.splitlines())) <= 100
    outside = "\n".join(line for line in text.splitlines() if not line.startswith(" "))
    assert not re.search(r"(?<!\*)\*\*[A-Z]|\]\(|^#|<!--|^\|", outside, re.MULTILINE)
    words = [word for word in re.findall(r"\b[a-z]{5,}\b", page.read_text()) if word in text]
    assert len(words) > 40


def test_help_on_a_topic_prints_its_page_or_a_chapter_of_it(muster: Muster) -> None:
    whole = muster("help", "bad-rows")
    assert (whole.code, whole.err, whole.out.splitlines()[:2]) == (0, "", ["Bad rows", "========"])
    assert "\n muster retry taxes.csv\n" in whole.out
    assert "\x1b" not in whole.out
    for words in (("bad-rows.md",), ("docs/bad-rows.md",)):
        assert muster("help", *words).out == whole.out
    chapter = muster("help", "slow", "first-batches")
    assert chapter.out.startswith("First batches\n-------------\n")
    assert "The last task" not in chapter.out
    assert muster("help", "slow", "First", "batches").out == chapter.out == muster("help", "slow#first-batches").out
    assert muster("help", "watch.md").out.startswith("Watch a run\n")  # the verb has the name of the page
    assert "`" not in whole.out.partition("An example")[0]
    assert "muster help resume" in muster("help", "cron").out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("typs",), "'typs' (did you mean types?) is neither a verb nor a topic. Type muster help for what there is."),
        (("rum",), "did you mean run?"),
        (("slow", "first-batch"), "'slow' has no chapter 'first-batch' (did you mean first-batches?). It has: "),
    ],
)
def test_a_topic_that_there_is_not_is_refused_with_what_was_meant(
    muster: Muster, words: tuple[str, ...], said: str
) -> None:
    asked = muster("help", *words)
    assert (asked.code, asked.out) == (2, "")
    assert said in asked.err


def test_a_long_page_goes_through_a_pager_on_a_terminal(tmp_path: Path) -> None:
    (tmp_path / "pager").write_text("#!/bin/sh\necho paged\nexec cat\n")
    (tmp_path / "pager").chmod(0o755)
    keyboard, terminal = os.openpty()
    environ = {**os.environ, "PAGER": str(tmp_path / "pager"), "TERM": "xterm", "MANPAGER": ""}
    with subprocess.Popen([*MUSTER, "help", "types"], stdin=terminal, stdout=terminal, env=environ) as process:
        os.close(terminal)
        shown = b""
        with contextlib.suppress(OSError):  # so the end of a terminal is told
            while more := os.read(keyboard, 1 << 16):
                shown += more
    os.close(keyboard)
    assert process.returncode == 0
    assert shown.startswith(b"paged\r\nHow values are read and written\r\n")


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
