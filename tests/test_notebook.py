"""A notebook that a real kernel runs: what its cells show of runs, results, prints and errors."""

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pages import blocks_of

ROOT = Path(__file__).parents[1]
ORDERS = ROOT / "examples/orders/orders.csv"

RUN = """
import json, sys
import nbformat
from nbclient import NotebookClient

cells = [nbformat.v4.new_code_cell(text) for text in json.load(sys.stdin)]
notebook = nbformat.v4.new_notebook(cells=cells)
NotebookClient(notebook, timeout=300, kernel_name="python3", allow_errors=True).execute()
json.dump([[dict(output) for output in cell.outputs] for cell in notebook.cells], open("outputs.json", "w"))
"""

Outputs = list[dict[str, Any]]


def shown(folder: Path, *cells: str) -> list[Outputs]:
    """Run cells in a kernel, and list what each shows."""
    if not all(importlib.util.find_spec(name) for name in ("ipykernel", "nbclient")):
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(
            "ipykernel and nbclient are not installed here"
        )
    (folder / "orders.csv").write_bytes(ORDERS.read_bytes())
    environment = os.environ | {"IPYTHONDIR": str(folder / "ipython"), "JUPYTER_PLATFORM_DIRS": "1"}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    done = subprocess.run(
        [sys.executable, "-c", RUN],
        input=json.dumps(cells),
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: list[Outputs] = json.loads((folder / "outputs.json").read_text())
    return found


def printed(outputs: Outputs, name: str) -> str:
    return "".join(one["text"] for one in outputs if one["output_type"] == "stream" and one["name"] == name)


def traceback_of(outputs: Outputs) -> str:
    (error,) = (one for one in outputs if one["output_type"] == "error")
    return re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(error["traceback"]))


def displays(outputs: Outputs) -> Outputs:
    return [one["data"] for one in outputs if one["output_type"] == "display_data"]


def test_the_page_on_notebooks_works_in_a_notebook(tmp_path: Path) -> None:
    blocks = [block for block in blocks_of(ROOT / "docs/notebook.md") if block.language == "python"]
    run = [block for block in blocks if "not run" not in block.notes]
    for block, outputs in zip(run, shown(tmp_path, *(block.text for block in run)), strict=True):
        assert any(one["output_type"] == "error" for one in outputs) == ("raises" in block.notes), outputs


def test_a_cell_shows_one_line_of_a_run_what_workers_print_and_a_table_of_the_result(tmp_path: Path) -> None:
    function = (
        "import muster\n"
        "def some(df):\n"
        "    print('a batch of', len(df))\n"
        "    if (df['order'] == 5).any():\n"
        "        raise ValueError('no five')\n"
        "    return df\n"
    )
    run = "muster.run(some, 'orders.csv', 'out.csv', workers=2, batch_rows=60{})"
    _, whole, silent = shown(tmp_path, function, run.format(""), run.format(", progress=False, fresh=True"))
    (display,) = displays(whole)
    assert re.fullmatch(r"out\.csv: \d+ rows of \d+ in .* \(.* rows/s, 2 workers\)", display["text/plain"])
    assert display["text/plain"].partition(" (")[0] in display["text/html"]
    assert re.search(r"^worker [12]: a batch of 60$", printed(whole, "stdout"), flags=re.MULTILINE)
    assert not re.search(r"worker \d:", printed(whole, "stderr"))
    (result,) = (one["data"] for one in whole if one["output_type"] == "execute_result")
    assert "ValueError: no five" in result["text/html"]
    assert displays(silent) == []
    assert "a batch of" in printed(silent, "stdout")


def test_an_error_in_a_cell_shows_the_call_and_the_function_and_nothing_of_musters(tmp_path: Path) -> None:
    function = "import muster\ndef broken(df):\n    wrong = 'amnt'\n    return df[wrong]  # here\n"
    call = "muster.run(broken, 'orders.csv', 'out.csv', workers={})"
    _, *failed, wrong = shown(
        tmp_path, function, call.format(2), call.format(0), "muster.run(broken, 'orders.csv', 'o.csv', batch_rows=0)"
    )
    for outputs in failed:
        text = traceback_of(outputs)
        assert "return df[wrong]  # here" in text
        assert "muster.run(broken" in text
        assert "Cell In[1], line 4, in broken" in text
        assert "site-packages/muster" not in text
        assert "src/muster" not in text
        assert [one["text/plain"][:7] for one in displays(outputs)] == ["stopped"]
    assert "batch_rows=0: it must be" in traceback_of(wrong)
    assert displays(wrong) == []
