"""The blocks of code on a page, and a process that runs them one after the other, as a reader does.

What stands in a comment of HTML before a block, readers do not see:

- ``<!-- exit 4 -->``: the shell block ends with this code;
- ``<!-- raises UsageError -->``: the Python block raises this error;
- ``<!-- not run: hosts -->``: the block needs what tests do not have; REASONS in test_pages.py says why.

A block whose first line is ``# NAME.SUFFIX`` is written to that file instead of being run; CSV and JSON without that
line, as they have no comments. A ``text`` block shows what the block before it prints: each of its lines has to be
there, whatever the figures are, but for a line of dots.
"""

import linecache
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_FENCE: Final = re.compile(
    r"(?P<comments>(?:^[ ]*<!--(?:(?!-->).)*-->\n+)*)"
    r"^(?P<indent> *)```(?P<language>\w*)[^\n]*\n(?P<text>.*?)^(?P=indent)```$",
    re.DOTALL | re.MULTILINE,
)
_NOTE: Final = re.compile(r"<!-- *(not run|exit|raises):? *(.*?) *-->", re.DOTALL)
_FILE: Final = re.compile(r"# ([\w/.-]+\.\w+)(?=[\n:,;])")
_FIGURE: Final = re.compile(r"\d[\d,.]*")
_RUN: Final = ("sh", "python")
_BARE: Final = ("csv", "json")


@dataclass(frozen=True)
class Block:
    """A block of code, and what the page says of it to tests."""

    line: int
    language: str
    text: str
    notes: dict[str, str]

    @property
    def file(self) -> str:
        """Where it is written; empty for what is run, or shown."""
        named = _FILE.match(self.text)
        return named[1] if named and self.language not in {"sh", "text"} else ""


def blocks_of(page: Path) -> list[Block]:
    """Read the blocks of a page, in order."""
    text = page.read_text()
    return [
        Block(
            line=text.count("\n", 0, match.start("indent")) + 1,
            language=match["language"],
            text="".join(line.removeprefix(match["indent"]) for line in match["text"].splitlines(keepends=True)),
            notes=dict(_NOTE.findall(match["comments"])),
        )
        for match in _FENCE.finditer(text)
    ]


def lines_that_lack(shown: str, *, printed: str) -> list[str]:
    """Name the lines of a page that a program has not printed, figures aside."""
    there = {_FIGURE.sub("0", line.strip()) for line in printed.splitlines()}
    lines = [line.strip() for line in shown.splitlines()]
    return [line for line in lines if line.strip(". …") and _FIGURE.sub("0", line) not in there]


# The process that runs them


class Failed(Exception):  # noqa: N818 (a block has)
    """Raised where a block does not do what its page says."""


def run(page: Path) -> None:
    """Run all blocks of a page in this process's folder and ``__main__``; print what each says."""
    printed = ""
    for block in blocks_of(page):
        if "not run" in block.notes:
            printed = ""
        elif block.file:
            Path(block.file).parent.mkdir(parents=True, exist_ok=True)
            Path(block.file).write_text(block.text.partition("\n")[2] if block.language in _BARE else block.text)
        elif block.language in _RUN:
            print(f"{page.name}:{block.line}", flush=True)  # noqa: T201 (for whoever reads why it failed)
            begin = Path("said").stat().st_size
            (_shell if block.language == "sh" else _python)(block, page)
            printed = Path("said").read_text()[begin:]
        elif block.language == "text" and printed and (lacking := lines_that_lack(block.text, printed=printed)):
            raise Failed(f"{page.name}:{block.line}: not printed: {lacking}")


def _shell(block: Block, page: Path) -> None:
    code = subprocess.run(["bash", "-euo", "pipefail", "-c", block.text], check=False).returncode  # noqa: S607
    if code != int(block.notes.get("exit", "0")):
        raise Failed(f"{page.name}:{block.line}: exit code {code}")


def _python(block: Block, page: Path) -> None:
    """Run it as a notebook runs a cell."""
    name = f"<{page.name}:{block.line}>"
    linecache.cache[name] = (len(block.text), None, block.text.splitlines(keepends=True), name)
    raised = ""
    try:
        exec(compile(block.text, name, "exec"), vars(sys.modules["__main__"]))  # noqa: S102 (that is what it is for)
    except Exception as error:
        raised = type(error).__name__
        if raised != block.notes.get("raises"):
            raise Failed(f"{page.name}:{block.line}: {raised}: {error}") from error
    sys.stdout.flush()
    if raised != block.notes.get("raises", ""):
        raise Failed(f"{page.name}:{block.line}: it raised nothing")


if __name__ == "__main__":
    sys.path[0] = ""
    run(Path(sys.argv.pop()))
