"""docs/cron.md: every block on the page is run, or checked by whoever would read it."""

import ast
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from muster.cli import parser

PAGE = (Path(__file__).parents[1] / "docs" / "cron.md").read_text()
BARE = {"PATH": "/usr/bin:/bin"}
"""What cron gives a command, beside HOME."""


def blocks(kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL)


@pytest.fixture
def project(tmp_path: Path, home: Path) -> Path:
    """A user's home with a project, as the page has it; muster is in its .venv."""
    folder = tmp_path / "project"
    (folder / "in").mkdir(parents=True)
    (folder / "out").mkdir()
    (folder / ".venv" / "bin").mkdir(parents=True)
    program = folder / ".venv" / "bin" / "muster"
    program.write_text(f'#!/bin/sh\nMUSTER_HOME={home} exec {sys.executable} -m muster "$@" --workers 0\n')
    program.chmod(0o755)
    (folder / "score.py").write_text("def score(df):\n    df['b'] = df['a'].map(int) * 2\n    return df\n")
    (folder / "in" / "a.csv").write_text("a\n1\n")
    return folder


def as_cron(command: str, project: Path) -> "subprocess.CompletedProcess[str]":
    environment = {**BARE, "HOME": str(project.parent)}
    if path := os.environ.get("PYTHONPATH"):
        environment["PYTHONPATH"] = path
    return subprocess.run(
        ["/bin/sh", "-c", command], env=environment, cwd="/", capture_output=True, text=True, timeout=100, check=False
    )


def test_the_line_for_cron_runs_where_cron_would_run_it(project: Path) -> None:
    (text,) = blocks("text")
    (line,) = [line for line in text.splitlines() if line.startswith("0 *")]
    command = line.split(None, 5)[5]
    assert "%" not in command
    done = as_cron(command, project)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")  # so that cron sends no mail
    assert (project / "out" / "a.csv").read_text() == "a,b\n1,2\n"
    (project / "in" / "a.csv").write_text("a\n1\nx\n")
    bad = as_cron(command, project)
    assert bad.returncode == 4
    assert "1 bad row" in bad.stderr


def test_the_script_goes_on_after_rejects_and_stops_at_all_else(project: Path) -> None:
    script = next(text for text in blocks("sh") if text.startswith("#!/bin/sh"))
    (project / "in" / "a.csv").write_text("a\n1\nx\n")
    assert as_cron(script, project).stdout == "1 files are scored\n"
    (project / "score.py").write_text("def score(df):\n    raise ValueError\n")
    failed = as_cron(script, project)
    assert (failed.returncode, failed.stdout) == (1, "")


def commands() -> list[str]:
    """Find every command of muster on the page that can be typed."""
    shells = [text.replace("\\\n", " ") for text in blocks("sh")]
    lines = [line for text in shells for line in text.splitlines()]
    lines += [line.split(None, 5)[5] for text in blocks("text") for line in text.splitlines() if line[0] == "0"]
    lines += [line.removeprefix("ExecStart=") for text in blocks("ini") for line in text.splitlines()]
    lines += re.findall(r'bash_command="(.*)"', PAGE)
    lines += [step["run"] for step in workflow()["jobs"]["score"]["steps"] if "run" in step]
    return [line for line in lines if re.search(r"(^|/|\s)muster run ", line)]


def workflow() -> Any:  # noqa: ANN401 (YAML)
    (text,) = blocks("yaml")
    return yaml.safe_load(text)


@pytest.mark.parametrize("command", commands())
def test_every_command_on_the_page_is_one_that_muster_understands(command: str) -> None:
    words = shlex.split(command)
    start = next(at for at, word in enumerate(words) if word.rpartition("/")[2] == "muster")
    own = words[start + 1 :]
    if "||" in own:
        own = own[: own.index("||")]
    parsed = parser(own).parse_args(own)
    assert parsed.target == "score.py:score"
    assert parsed.each != parsed.since_last


def test_the_page_has_its_commands() -> None:
    assert len(commands()) >= 8


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="there is no systemd-analyze here")
def test_systemd_understands_the_units(tmp_path: Path) -> None:
    service, timer = blocks("ini")
    (tmp_path / "scoring.service").write_text(service.replace("%h/project/.venv/bin/muster", sys.executable))
    (tmp_path / "scoring.timer").write_text(timer)
    (tmp_path / "tell@.service").write_text("[Service]\nType=oneshot\nExecStart=/bin/true\n")
    units = [tmp_path / name for name in ("scoring.service", "scoring.timer")]
    done = subprocess.run(
        [str(shutil.which("systemd-analyze")), "verify", *units],
        env={**os.environ, "SYSTEMD_UNIT_PATH": f"{tmp_path}:"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    said = [line for line in done.stderr.splitlines() if "scoring" in line]
    assert (done.returncode, said) == (0, []), done.stderr


def test_the_blocks_of_python_are_python_and_what_they_call_is_there(project: Path) -> None:
    dag, score = blocks("python")
    tree = ast.parse(dag)
    assert {
        node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    } == {
        "BashOperator",
        "DAG",
        "datetime",
    }
    names: dict[str, Any] = {}
    exec(score.replace("/srv/project", str(project)), names)  # noqa: S102 (that is what the page shows)
    assert names["score"]() == 0
    assert (project / "out.csv").read_text() == "a,b\n1,2\n"


def test_the_workflow_has_what_github_asks_for() -> None:
    said = workflow()
    assert said[True] == {"schedule": [{"cron": "0 * * * *"}]}  # YAML 1.1 takes "on" for true
    assert said["jobs"]["score"]["runs-on"]
    assert all({"uses", "run"} & step.keys() for step in said["jobs"]["score"]["steps"])
