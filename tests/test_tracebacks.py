"""Errors begin at the user's own line: in a script, with nothing of muster's, and with arguments for flags."""

import json
import os
import re
import signal
import subprocess
import sys
import traceback
from pathlib import Path

import pandas as pd
import pytest

import muster
from conftest import Muster
from waiting import until

CALLS = """
import sys
import muster
import pandas as pd

def good(df):
    return df

def bad(df):
    return df["nope"]

class Unbuildable:
    def __init__(self):
        raise RuntimeError("no model")

    def __call__(self, df):
        return df

if __name__ == "__main__":
    out = "out.csv"
    {}
"""

WRONG = {
    "muster.run(good, 'rows.csv', out, batch_rows=-1)": "UsageError: batch_rows=-1",
    "muster.run(good, 'rows.csv', out, worker=2)": "did you mean workers",
    "muster.run(good, 'none.csv', out)": "UsageError: No input at 'none.csv'",
    "muster.run(7, 'rows.csv', out)": "7 is no function",
    "muster.run(bad, 'rows.csv', out, workers=0)": "UserCodeError: 'bad' fails",
    "muster.run(bad, 'rows.csv', out, workers=2)": "UserCodeError: 'bad' fails",
    "muster.run(Unbuildable, 'rows.csv', out, workers=0)": "RuntimeError: no model",
    "muster.run(Unbuildable, 'rows.csv', out, workers=1)": "RuntimeError: no model",
    "muster.read_csv('rows.csv', sep='toolong', quotechar='ab').map_batches(good).write_csv(out).run()": "quotechar",
    "muster.read_csv('rows.csv').map_batches(good).run()": "has no output",
    "muster.check(bad, 'rows.csv')": "UserCodeError: 'bad' fails",
    "muster.run(good, 'rows.csv', out, dtype={'b': 'nonsense'})": "dtype={'b': 'nonsense'}",
    "muster.run(good, 'rows.csv', out, with_files=['gone.pkl'])": "with_files=['gone.pkl']",
    "muster.run(good, 'rows.csv', out, env=['NOT_SET_HERE'])": "env=['NOT_SET_HERE']",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    pd.DataFrame({"a": range(20)}).to_csv(tmp_path / "rows.csv", index=False)
    return tmp_path


@pytest.mark.parametrize("call", WRONG)
def test_a_script_is_shown_its_own_lines_alone(folder: Path, python: Muster, call: str) -> None:
    (folder / "script.py").write_text(CALLS.format(call))
    ended = python("script.py")
    assert ended.code == 1, ended.err
    text = ended.err
    assert WRONG[call] in text
    files = re.findall(r'^ *File "([^"]+)"', text, flags=re.MULTILINE)
    assert files
    assert {Path(file).name for file in files} == {"script.py"}, text
    assert f"    {call}\n" in text
    assert not re.search(r"(?<![\w-])--[a-z]", text)
    assert text.count("Traceback (most recent call last)") == (2 if "workers=0" in call and "Un" in call else 1), text


NESTED = """
import functools, muster, warnings

class Model:
    def predict(self, value):
        inner = lambda: [one for one in (int(value),)][0]
        return inner()

@functools.lru_cache
def labelled(value):
    warnings.warn("slow path")
    return Model().predict(value)

muster.run(
    lambda df: df.assign(b=[labelled(value) for value in df["a"]]), "rows.csv", "out.csv", workers=1, dtype="str"
)
"""


def test_code_that_travels_keeps_the_name_of_its_file_for_tracebacks_and_warnings(folder: Path) -> None:
    (folder / "rows.csv").write_text("a\n" + "1\n" * 20 + "x\n")
    (folder / "script.py").write_text(NESTED)
    command = [sys.executable, "script.py"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    warned = r'script\.py:11: UserWarning: slow path\n\s+warnings.warn\("slow path"\)'
    assert re.search(warned, done.stderr), done.stderr
    trace = json.loads((folder / "out.csv.rejects.jsonl").read_text())["traceback"]
    shown = re.findall(r'File "([^"]+)", line \d+, in (\S+)\n    (\S[^\n]+)', trace)
    assert {file for file, _, _ in shown} == {str(folder / "script.py")}, trace
    assert [(name, line) for _, name, line in shown if name in {"<lambda>", "labelled", "predict"}][1:] == [
        ("labelled", "return Model().predict(value)"),
        ("predict", "return inner()"),
        ("<lambda>", "inner = lambda: [one for one in (int(value),)][0]"),
    ]


def test_an_interruption_shows_the_call_alone(folder: Path) -> None:
    call = (
        "muster.run(good, 'rows.csv', out, watch=lambda _: open('began', 'w').close() or Event().wait(100), workers=1)"
    )
    (folder / "script.py").write_text("from threading import Event\n" + CALLS.format(call))
    command = [sys.executable, "script.py"]
    with subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, text=True) as process:
        until((folder / "began").exists)
        os.kill(process.pid, signal.SIGINT)
        _, text = process.communicate(timeout=60)
    assert set(re.findall(r'File "([^"]+)"', text)) == {str(folder / "script.py")}
    assert "KeyboardInterrupt" in text
    assert text.endswith("what was done is kept. Make the same call again to go on; fresh=True starts over.\n")


def test_an_interruption_is_told_where_progress_is_shown_and_the_caller_catches_it(folder: Path) -> None:
    call = (
        "try:\n        muster.run(good, 'rows.csv', out, progress=True, workers=0,"
        " watch=lambda _: os.kill(os.getpid(), 2))\n    except KeyboardInterrupt as stop:\n"
        "        print(stop.__notes__)"
    )
    (folder / "script.py").write_text("import os\n" + CALLS.format(call))
    command = [sys.executable, "script.py"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    assert "what was done is kept" in done.stdout
    assert "muster: The run was interrupted; what was done is kept. Make the same call again" in done.stderr


def test_a_cause_of_the_users_own_is_kept_with_their_frames_and_any_other_is_not_shown(folder: Path) -> None:
    class Broken:
        def __init__(self) -> None:
            raise ZeroDivisionError

        def __call__(self, df: pd.DataFrame) -> pd.DataFrame:
            return df

    with pytest.raises(muster.UserCodeError) as caught:
        muster.run(Broken, folder / "rows.csv", folder / "out.csv", workers=0)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    names = {frame.filename for frame in traceback.extract_tb(caught.value.__cause__.__traceback__)}
    assert names == {__file__}
    with pytest.raises(muster.UsageError) as wrong:
        muster.run(Broken, folder / "rows.csv", folder / "out.csv", workers=0, max_bad_rows="many")
    assert wrong.value.__cause__ is None
    assert "ValueError" not in "".join(traceback.format_exception(wrong.value))
