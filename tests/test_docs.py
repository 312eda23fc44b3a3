"""What the documents say is what the program does."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_the_reference_of_the_command_line_is_that_of_the_program() -> None:
    made = subprocess.run(
        [sys.executable, ROOT / "docs" / "make_cli.py"], capture_output=True, text=True, timeout=60, check=True
    )
    assert made.stdout == (ROOT / "docs" / "cli.md").read_text(), "type: make docs"
