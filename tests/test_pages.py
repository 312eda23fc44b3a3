"""What readers of README and docs may type does what the page says: each block of code is run, in the page's order."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pages import blocks_of
from shells import muster_on_path
from warm import Warm

ROOT = Path(__file__).parents[1]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").rglob("*.md")),
    ROOT / "examples/README.md",
]
PAGES = [page for page in PAGES if page.exists()]
LANGUAGES = {"sh", "python", "py", "text", "yaml", "ini", "csv", "json"}
"""Those that are shown and not run are ``py``, a signature, and what files and programs say."""


REASONS = {
    "below": "is typed again further down on its page, and run there",
    "fresh": "installs into an environment of its own: test_wheel.py does that, and CI types make test",
    "hosts": "needs hosts with SSH: test_ssh_cluster.py makes some",
    "cluster": "starts Ray nodes: test_cluster.py does the same",
    "aws": "needs an account of AWS: test_aws_setup.py has a pretended region",
    "server": "serves until Ctrl-C: test_watch_server.py does the same",
    "kafka": "needs a broker of Kafka: test_kafka.py starts one",
    "redis": "needs a server of Redis: test_redis.py starts one",
    "bucket": "needs a store: test_stores.py has one",
    "service": "needs systemd, cron or another program that runs jobs",
    "parsed": "shows what can be typed: test_help.py has the parser take each",
    "terminal": "needs a terminal, or somebody who types",
    "long": "takes many minutes: test_bench.py measures a few rows",
}
"""Why a block is not run here, in the words of the page's comment, and where else it is tried."""


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_block_does_what_its_page_says(page: Path, tmp_path: Path, warm: Warm) -> None:
    if not any(block.language in {"sh", "python"} and "not run" not in block.notes for block in blocks_of(page)):
        return
    folder = tmp_path / "reader"
    folder.mkdir()
    lay_out(folder)
    with muster_on_path(warm, tmp_path / "bin") as program:
        ended = read_through(page, folder, program, warm)
    assert ended == 0, (
        f"{name_of(page)} says what is not so. Mend the block, or mark it as the docstring of tests/pages.py says:\n"
        + (folder / "said").read_text()[-6000:]
    )


def read_through(page: Path, folder: Path, program: Path, warm: Warm) -> int:
    """Run the blocks of a page; return the exit code."""
    path = (program, Path(sys.executable).parent, os.environ["PATH"])
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment["PATH"] = os.pathsep.join(map(str, path))
    words = [str(ROOT / "tests/pages.py"), str(page)]
    with (folder / "said").open("w") as said:
        given: dict[str, Any] = {
            "cwd": folder,
            "env": environment,
            "stdin": subprocess.DEVNULL,
            "stdout": said,
            "stderr": subprocess.STDOUT,
        }
        process = warm.begin(words, **given)
        try:
            return process.wait(300)
        except BaseException:
            process.kill()
            raise


def lay_out(folder: Path) -> None:
    """Lay out what pages speak of: a function, files for it, and the examples."""
    for path in (ROOT / "examples/orders").iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    (folder / "examples").mkdir()
    for path in (ROOT / "examples").glob("*.py"):
        (folder / "examples" / path.name).write_bytes(path.read_bytes())
    header, *rows = (folder / "orders.csv").read_text().splitlines(keepends=True)
    (folder / "in").mkdir()
    for number, half in enumerate((rows[: len(rows) // 2], rows[len(rows) // 2 :])):
        (folder / f"in/{number}.csv").write_text(header + "".join(half))


def test_every_block_names_its_language_and_a_reason_that_there_is_for_not_being_run() -> None:
    blocks = [(f"{name_of(page)}:{block.line}", block) for page in PAGES for block in blocks_of(page)]
    assert len(blocks) > 20
    assert [place for place, block in blocks if block.language not in LANGUAGES] == []
    assert [place for place, block in blocks if block.notes.get("not run", "fresh") not in REASONS] == []
    left_out = [place for place, block in blocks if "not run" in block.notes]
    assert len(left_out) < len(blocks) / 2, left_out


def commands_on(page: Path) -> list[list[str]]:
    """Find the commands of muster on a page, in sentences and in blocks, word by word."""
    text = page.read_text()
    typed = [block.text for block in blocks_of(page) if block.language == "sh"]
    lines = [line for block in typed for line in re.sub(r"\\\n", "", block).splitlines()]
    found = re.findall(r"(?<!`)`(muster [^`]+)`(?!`)", text)
    found += [match[0] for line in lines for match in re.finditer(r"(?:^|(?<=[|;&(] ))muster [^|;&>#)]*", line)]
    return [[word.rstrip(".,:)") for word in command.split()] for command in found]


def flags_by_verb() -> dict[str, set[str]]:
    """Read the verbs that there are, and their flags, from the reference, which is made from the program."""
    chapters = (ROOT / "docs/cli.md").read_text().split("\n## muster ")[1:]
    return {chapter.split()[0]: set(re.findall(r"(?<![\w-])--?[a-z][a-z-]*", chapter)) for chapter in chapters}


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CHANGELOG.md"], ids=name_of)
def test_every_command_in_a_sentence_has_a_verb_and_flags_that_there_are(page: Path) -> None:
    there = flags_by_verb() | {"plan": set()}  # which pages say is not there
    for _, verb, *words in commands_on(page):
        assert verb in there or verb.startswith("-"), verb
        flags = {word.partition("=")[0] for word in words if re.match(r"--[a-z]", word)}
        assert not flags - there.get(verb, flags), (verb, words)
