"""``make demo``, the first thing that anybody types."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def made(folder: Path, *words: str, seconds: float = 120) -> str:
    """Type ``make`` in a copy of what it needs, in which everything is installed."""
    shutil.copy(ROOT / "Makefile", folder)
    shutil.copy(ROOT / "requirements.lock", folder)
    shutil.copytree(ROOT / "examples", folder / "examples", dirs_exist_ok=True)
    if not (folder / ".venv").exists():
        (folder / ".venv").symlink_to(sys.prefix)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    ended = subprocess.run(
        ["make", "--assume-old=.venv/.installed", *words],  # noqa: S607
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def test_the_demo_shows_rows_and_says_what_to_type_next_and_that_works(tmp_path: Path) -> None:
    said = made(tmp_path, "demo", "DEMO_ROWS=200")
    assert (tmp_path / "demo/classified.csv").read_text().count("\n") == 201
    assert "200" in said
    following = said[said.index("What next:") :].splitlines()
    report = next(line for line in following if "muster report" in line).split()[:4]
    subprocess.run([tmp_path / report[0], *report[1:]], cwd=tmp_path, check=True, capture_output=True, timeout=60)
    assert (tmp_path / "demo/report.html").exists()
    made(tmp_path, "demo", "DEMO_ROWS=100")  # again, with other rows
    assert (tmp_path / "demo/classified.csv").read_text().count("\n") == 101


def test_the_demo_says_first_of_all_what_it_does() -> None:
    command = [
        "make",
        "--no-print-directory",
        "--dry-run",
        "--always-make",
        "demo",
    ]  # the tests, too, may be run by make
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    assert ended.stdout.startswith('echo "make demo: make 5000 rows, label them on all cores')


@pytest.mark.parametrize(("version", "is_taken"), [("(3, 10)", False), ("(3, 14)", False), ("(3, 13)", True)])
def test_a_python_that_muster_is_not_made_for_is_refused_in_words(
    tmp_path: Path, version: str, *, is_taken: bool
) -> None:
    program = f"import sys\nif sys.argv[1] == '-c':\n    sys.version_info = {version}\n    exec(sys.argv[2])\n"
    (tmp_path / "python").write_text(f"#!{sys.executable}\n{program}print('Python of a test')\n")
    (tmp_path / "python").chmod(0o755)
    for name in ("Makefile", "requirements.lock", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    ended = subprocess.run(
        ["make", f"PYTHON={tmp_path / 'python'}", "install"],  # noqa: S607
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode != 0  # no environment can be made with it
    assert ("[1/3]" in ended.stdout) == is_taken
    said = (
        f'muster is made for Python 3.11 to 3.13, and "{tmp_path / "python"}" is Python of a test. Type: make PYTHON='
    )
    assert (said in ended.stderr) != is_taken


def test_installing_says_each_step_before_it_begins() -> None:
    ended = subprocess.run(
        ["make", "--dry-run", "--always-make", ".venv/.installed"],  # noqa: S607
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    lines = ended.stdout.splitlines()
    for command in ("-m venv", "--requirement requirements.lock", "--editable ."):
        at = next(at for at, line in enumerate(lines) if command in line and "echo" not in line)
        assert lines[at - 1].startswith('echo "['), command


def test_make_help_lists_every_target_that_can_be_typed() -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = makefile.split(".PHONY:")[1].splitlines()[0].split()
    ended = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)  # noqa: S607
    assert [target for target in targets if f"  make {target} " not in ended.stdout] == []
