"""What a shell offers where somebody presses Tab: asked in bash, zsh and fish as they ask themselves."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import pytest

import muster
from conftest import MUSTER, Muster
from muster._verbs.completion import SHELLS

Ask = Callable[[str], list[str]]

IN_BASH: Final = """
source ./script
COMP_LINE=$1 COMP_POINT=${#1} COMP_TYPE=9 COMPREPLY=()
_python_argcomplete muster
printf '%s\\n' "${COMPREPLY[@]}"
"""
IN_ZSH: Final = """
compdef() { }
_describe() { print -rl -- "${completions[@]}" }
words=(muster) BUFFER=$1 CURSOR=${#1}
source ./script
_python_argcomplete
"""
IN_FISH: Final = "source ./script; complete --do-complete $argv[1]"
ASKED: Final = {
    "bash": ("bash", "-c", IN_BASH, "-"),
    "zsh": ("zsh", "-fc", IN_ZSH, "-"),
    "fish": ("fish", "-Nc", IN_FISH),
}

FILE: Final = """
import no_such_module
def process(df): ...
async def prepare(df): ...
class Score: ...
shorten = lambda df: df
LIMIT = 3
sums = rows.group_by("a").agg(n="count").write_csv("out.csv")
def _own(df): ...
raise SystemExit("nobody runs this to complete")
"""


def require(program: str) -> None:
    """Skip a test where there is no such shell; but CI has to have them."""
    lacks = "" if shutil.which(program) else f"there is no {program}: apt-get install {program}"
    lacks = lacks or ("" if importlib.util.find_spec("argcomplete") else "argcomplete is not there: make install")
    if lacks:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(lacks)


@pytest.fixture(params=SHELLS)
def ask(request: pytest.FixtureRequest, tmp_path: Path) -> Ask:
    shell: str = request.param
    require(shell)
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "muster").write_text(f'#!/bin/sh\nexec {sys.executable} -m muster "$@"\n')
    (programs / "muster").chmod(0o755)
    there = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}", "HOME": str(tmp_path)}

    def call(command: Sequence[str]) -> str:
        done = subprocess.run(command, cwd=tmp_path, env=there, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    (tmp_path / "script").write_text(call([*MUSTER, "completion", shell]))
    (tmp_path / "score.py").write_text(FILE)
    (tmp_path / "in.csv").write_text("a\n1\n")
    (tmp_path / "folder").mkdir()

    def asked(typed: str) -> list[str]:
        lines = call([*ASKED[shell], typed]).splitlines()
        offered = [line.partition("\t")[0].strip() for line in lines]
        if shell == "zsh":  # what stands behind a colon describes, unless that is escaped
            offered = [re.split(r"(?<!\\):", word)[0].replace("\\:", ":") for word in offered]
        if shell == "bash" and ":" in typed.rsplit(" ", maxsplit=1)[-1]:  # bash takes a colon for the end of a word
            offered = [typed.rsplit(" ", maxsplit=1)[-1].rpartition(":")[0] + ":" + word for word in offered]
        return [word for word in offered if word]

    return asked


def test_verbs_flags_and_choices_are_completed(ask: Ask) -> None:
    assert sorted(ask("muster ru")) == ["run", "runs"]
    assert ask("muster check score.py:process in.csv --sam") == ["--sample"]
    assert sorted(ask("muster run score.py:process in.csv --format ")) == ["csv", "jsonl", "parquet"]
    assert ask("muster run score.py:process in.csv --workers ") == []


def test_topics_and_their_chapters_are_completed(ask: Ask) -> None:
    assert sorted(ask("muster help ru")) == ["run", "runs"]
    assert ask("muster help ty") == ["types"]
    assert ask("muster help slow first") == ["first-batches"]


def test_functions_of_a_file_are_completed_and_the_file_is_not_run(ask: Ask) -> None:
    every = ["score.py:Score", "score.py:prepare", "score.py:process", "score.py:shorten", "score.py:sums"]
    assert sorted(ask("muster run sc")) == every
    assert sorted(ask("muster run score.py:pr")) == every[1:3]
    assert ask("muster run score:sh") == ["score:shorten"]


def test_files_clusters_and_runs_are_completed(ask: Ask, tmp_path: Path, home: Path) -> None:
    muster.run(lambda df: df, tmp_path / "in.csv", tmp_path / "out.csv", workers=0)
    (home / "clusters" / "biggest").mkdir(parents=True)
    (home / "clusters" / "biggest" / "cluster.json").write_text("{}")
    assert ask("muster run score.py:process in") == ["in.csv"]
    assert ask("muster run score.py:process fo") == ["folder/"]
    assert ask("muster run score.py:process in.csv --on lo") == ["local"]
    assert ask("muster down b") == ["biggest"]
    assert [run[:2] for run in ask("muster report 2")] == ["20"]


def test_a_shell_that_there_is_not_is_refused(muster: Muster) -> None:
    ended = muster("completion", "bsh")
    assert ended.code == 2
    assert "'bsh' (did you mean bash?)" in ended.err


def test_nobody_but_a_shell_loads_what_completes() -> None:
    program = "import sys; from muster import cli; cli.parser(); print('argcomplete' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "False\n"
