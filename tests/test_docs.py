"""What the documents say is what the program does."""

import ast
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from muster._files.home import _NAMES
from muster._verbs import VERBS
from muster._verbs._topics import anchors
from sources import sources

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("name", ["cli", "api"])
def test_a_reference_that_is_made_of_the_program_is_that_of_the_program(name: str) -> None:
    made = subprocess.run(
        [sys.executable, ROOT / "docs" / f"make_{name}.py"], capture_output=True, text=True, timeout=60, check=True
    )
    assert made.stdout == (ROOT / "docs" / f"{name}.md").read_text(), (
        f"type: make docs, or python docs/make_{name}.py > docs/{name}.md"
    )


def test_defaults_in_the_reference_of_python_are_what_a_reader_could_type() -> None:
    blocks = re.findall(r"^```py\n(muster\..*?)^```", (ROOT / "docs/api.md").read_text(), re.MULTILINE | re.DOTALL)
    defaults = re.findall(r"\w: [^=\n]+ = (.+?)(?=,\n|, \w+:|\) ->|\)\n)", "".join(blocks))
    typed = [type(ast.literal_eval(default)) for default in defaults]
    assert {str, int, float, type(None), type(...)} <= set(typed)


PAGES = [*(ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md")), *ROOT.glob("*/**/*.md")]
PAGES = [page for page in PAGES if not {".venv", "site", "demo", "output"} & set(page.relative_to(ROOT).parts)]


def anchors_of(page: Path) -> set[str]:
    """Name the anchors of a page's headings, as the site and as those that show Markdown name them."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    titles = [re.sub(r"[^\w\s-]", "", title).strip().lower() for title in re.findall(r"^#+ (.*)$", text, re.MULTILINE)]
    return {re.sub(r"\s", "-", title) for title in titles if not re.search(r"\s\s|--", title)}


def test_every_link_between_pages_leads_to_a_file_and_an_anchor_that_there_are() -> None:
    dead = []
    for page in PAGES:
        text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
        for target in re.findall(r"\]\(([^)\s]+)\)", text):
            file, _, anchor = target.partition("#")
            there = page.parent / file if file else page
            is_web = re.match(r"\w+:", target)
            if not is_web and not (there.exists() and (not anchor or anchor in anchors_of(there))):
                dead.append((str(page.relative_to(ROOT)), target))
    assert dead == []


def texts_of_the_program() -> list[str]:
    """Read the text that stands in the program, with dots for what is put in."""
    found: list[str] = []
    for module in sources():
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
            elif isinstance(node, ast.JoinedStr):
                found.append("".join(str(one.value) if isinstance(one, ast.Constant) else "…" for one in node.values))
    return found


def test_every_page_that_a_message_names_is_there() -> None:
    texts = [text for text in texts_of_the_program() if "muster help" in text]
    named = {match for text in texts for match in re.findall(r"\bmuster help ([a-z][\w-]+)", text)} - {"for"}
    assert {"bad-rows", "clusters", "faq", "functions", "resume", "row-wise", "slow", "stores", "types"} <= named
    assert [name for name in named - VERBS.keys() if not (ROOT / "docs" / f"{name}.md").exists()] == []
    chapters = set(
        re.findall(r'"([a-z]+(?:-[a-z]+)+)",$', (ROOT / "src/muster/_watch/advice.py").read_text(), re.MULTILINE)
    )
    assert "bad-rows" in chapters
    assert chapters <= anchors_of(ROOT / "docs" / "slow.md")


def test_no_message_names_a_file_of_a_clone_that_only_those_have_who_cloned_it() -> None:
    assert [text for text in texts_of_the_program() if re.search(r"\bdocs/[\w-]+\.md", text)] == []


def test_the_chapters_of_pages_are_found_as_links_name_them() -> None:
    for path in (ROOT / "docs").glob("*.md"):
        assert {one for one in anchors(path.read_text()) if "--" not in one} <= anchors_of(path), path


def test_the_errors_that_the_questions_are_about_have_the_words_that_the_program_says() -> None:
    page = (ROOT / "docs/faq.md").read_text()
    errors = re.findall(r"^### (.*)$", page[: page.index("## Questions\n")], flags=re.MULTILINE)
    assert len(errors) > 15
    everything = "\n".join(texts_of_the_program())
    assert [piece for error in errors for piece in error.split("…") if piece.strip() not in everything] == []


def test_each_line_on_security_names_a_test_that_there_is() -> None:
    text = (ROOT / "docs" / "security.md").read_text()
    rows = [line for line in text.splitlines() if line.startswith("| ") and not line.endswith("| test |")]
    bullets = re.findall(r"^- .*(?:\n  .*)*", text, flags=re.MULTILINE)
    _, *chapters = re.split(r"^## .*$", text, flags=re.MULTILINE)  # the first paragraph says how to read the page
    blocks = [block.strip() for chapter in chapters for block in chapter.split("\n\n")]
    paragraphs = [block for block in blocks if block and block[0] not in "|-" and not block.endswith(":")]
    named = {line: re.findall(r"`(test_\w+\.py)::(test_\w+)`", line) for line in [*rows, *bullets, *paragraphs]}
    assert len(rows) > 30
    assert len(paragraphs) > 2
    assert [line for line, tests in named.items() if not tests] == []
    for file, test in {one for tests in named.values() for one in tests}:
        assert re.search(rf"^def {test}\(", (ROOT / "tests" / file).read_text(), flags=re.MULTILINE), (file, test)


def test_the_page_on_security_has_a_line_on_every_folder_of_musters_own() -> None:
    text = (ROOT / "docs" / "security.md").read_text()
    assert [name for name in _NAMES if not re.search(rf"(MUSTER_HOME|~/\.muster)/{name}\b", text)] == []


SAYS_IT_ALL = re.compile(
    r"_?(SECOND|MINUTE|HOUR|DAY|THOUSAND|SSH|HIGHEST_PORT|LAST_PORT|PAIR|NEWLINE|RETURN|BEYOND_64_BITS|PART|NO_SUCH_RANGE"
    r"|DESCRIPTORS|STANDARD|SET_\w+|SIGEV_\w+|PERMISSIONS|OF_A_FILE|OF_THIS_USER|FOLDER|FILE|ALL|OTHERS|ROOT|ROUND"
    r"|CHANNELS|COLONS|LARGE|WORD)"
)
"""Units, modes of files, ports, and what a standard or a system calls so."""


def test_every_number_has_a_why_beside_it_or_a_name_that_says_it_all() -> None:
    bare: list[str] = []
    for file, text, tree in sources():
        lines, body = text.splitlines(), tree.body
        for at, node in enumerate(body):
            if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and is_number(node.value):
                following = body[at + 1 : at + 3]  # a line for two constants stands behind the second
                explained = any(isinstance(one, ast.Expr) for one in following) or "#" in lines[node.lineno - 1]
                if not explained and not SAYS_IT_ALL.fullmatch(node.target.id):
                    bare.append(f"{file}:{node.lineno}: {node.target.id}")
    assert bare == []


def is_number(node: ast.expr | None) -> bool:
    if isinstance(node, ast.BinOp):
        return is_number(node.left) and is_number(node.right)
    return isinstance(node, ast.Constant) and type(node.value) in {int, float}


def test_no_two_classes_have_one_name() -> None:
    named = [node.name for module in sources() for node in ast.walk(module.tree) if isinstance(node, ast.ClassDef)]
    assert sorted(name for name, count in Counter(named).items() if count > 1) == []
