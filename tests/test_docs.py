"""What the documents say is what the program does."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_the_reference_of_the_command_line_is_that_of_the_program() -> None:
    made = subprocess.run(
        [sys.executable, ROOT / "docs" / "make_cli.py"], capture_output=True, text=True, timeout=60, check=True
    )
    assert made.stdout == (ROOT / "docs" / "cli.md").read_text(), "type: make docs"


def test_each_line_on_security_names_a_test_that_there_is() -> None:
    text = (ROOT / "docs" / "security.md").read_text()
    rows = [line for line in text.splitlines() if line.startswith("| ") and not line.endswith("| test |")]
    bullets = re.findall(r"^- .*(?:\n  .*)*", text, flags=re.MULTILINE)
    named = {line: re.findall(r"`(test_\w+\.py)::(test_\w+)`", line) for line in [*rows, *bullets, text]}
    assert len(rows) > 20
    assert [line for line, tests in named.items() if not tests] == []
    for file, test in {one for tests in named.values() for one in tests}:
        assert re.search(rf"^def {test}\(", (ROOT / "tests" / file).read_text(), flags=re.MULTILINE), (file, test)
