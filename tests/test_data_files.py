"""A resume compares the files that the function has read: a model that was trained again is not mixed with itself."""

import json
import os
import pickle
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from conftest import Ended, Muster
from muster._user_code.listening import Ear
from muster._user_code.loading import Loaded

READS = """
import json, pickle, sqlite3
with open("rates.json") as file:
    RATES = json.load(file)
class Model:
    def __init__(self):
        self.model = pickle.load(open("model.pkl", "rb"))
        self.lines = sqlite3.connect("lines.db").execute("select max(a) from t").fetchone()[0]
    def __call__(self, df):
        with open("seen.log", "a") as log:
            log.write("x")
        if (df["A"] == 650).any() and open("stop.txt").read() == "yes":
            raise ValueError("stopped here")
        return df.assign(R=RATES["a"] + self.model + self.lines)
"""
COMMAND = ("run", "reads.py:Model", "in.csv", "-o", "out.csv", "--workers", "1", "--batch-rows", "50", "--strict")


def written_again(path: Path) -> None:
    path.write_bytes(path.read_bytes())
    os.utime(path, ns=(1, 1))


@pytest.fixture
def stopped(muster: Muster, tmp_path: Path) -> Path:
    """A run that stopped on its way, and may go on now."""
    (tmp_path / "reads.py").write_text(READS)
    (tmp_path / "in.csv").write_text("A\n" + "".join(f"{at}\n" for at in range(1000)))
    (tmp_path / "rates.json").write_text('{"a": 1}')
    (tmp_path / "model.pkl").write_bytes(pickle.dumps(10))
    (tmp_path / "stop.txt").write_text("yes")
    with sqlite3.connect(tmp_path / "lines.db") as lines:
        lines.execute("create table t (a)")
        lines.execute("insert into t values (100)")
    ended = muster(*COMMAND)
    assert ended.code == 1, ended.err
    return tmp_path


def go_on(muster: Muster, *options: str) -> Ended:
    return muster(*COMMAND, *options)


def test_what_has_changed_is_named_and_what_was_only_touched_is_not(muster: Muster, stopped: Path) -> None:
    written_again(stopped / "model.pkl")
    (stopped / "rates.json").write_text('{"a": 2}')
    (stopped / "stop.txt").unlink()
    with sqlite3.connect(stopped / "lines.db") as lines:
        lines.execute("insert into t values (200)")
    refused = go_on(muster)
    assert refused.code == 2
    assert "lines.db was written again; rates.json was written again; stop.txt is gone" in refused.err
    assert "model.pkl" not in refused.err
    assert "seen.log" not in refused.err


def test_changed_files_may_be_accepted(muster: Muster, stopped: Path) -> None:
    (stopped / "stop.txt").write_text("no")
    ended = go_on(muster, "--accept-changes", "--json")
    assert ended.code == 0, ended.err
    assert ended.json["resumed_parts"]
    assert "stop.txt was written again" in ended.err


def heard(folder: Path, act: Callable[[], object]) -> tuple[list[str], list[str]]:
    ear = Ear()
    with ear.listening():
        act()
    read, written = ear.tell(besides=(), folder=str(folder / "work"), modules=())
    below = f"{folder}{os.sep}"
    return [one.path.removeprefix(below) for one in read if below in one.path], [
        path.removeprefix(below) for path in written if below in path
    ]


def test_only_files_that_were_read_and_stay_as_they_were_are_told_of(tmp_path: Path) -> None:
    for name in ("read.txt", "both.txt", "work/own.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")

    def act() -> None:
        (tmp_path / "read.txt").read_text()
        (tmp_path / "work/own.txt").read_text()
        (tmp_path / "both.txt").read_text()
        (tmp_path / "both.txt").write_text("y")
        (tmp_path / "made.txt").write_text("z")
        (tmp_path / "made.txt").read_text()
        (tmp_path / "moved.tmp").write_text("z")
        (tmp_path / "moved.tmp").rename(tmp_path / "moved.txt")
        (tmp_path / "moved.txt").read_text()
        with pytest.raises(FileNotFoundError):
            (tmp_path / "none.txt").open()
        Path("/proc/self/stat").read_text()
        json.JSONDecoder()

    read, written = heard(tmp_path, act)
    assert read == ["read.txt", "none.txt"]
    assert written == ["both.txt", "made.txt", "moved.tmp", "moved.txt"]


def test_a_worker_that_has_loaded_no_function_tells_of_no_module_that_was_there_before(tmp_path: Path) -> None:
    functions = Loaded()
    try:
        read, _ = Ear().tell(besides=(), folder=str(tmp_path), modules=functions.modules)
    finally:
        functions.end()
    assert read == (), "this one, and all that tests have in common"
