"""What a function finds in ``__main__``, ``sys.argv`` and around it is the caller's, in workers as in one process."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest

import muster
from conftest import Muster

HELPER: Final = """
import argparse
parser = argparse.ArgumentParser()
parser.add_argument("--language", default="en")
options = parser.parse_args()
"""

SCRIPT: Final = """
import concurrent.futures, functools, inspect, json, multiprocessing, os, pickle, subprocess, sys
import options as chosen
import muster

class Model:
    def predict(self, value):
        return value + LIFT

LIFT = 100
calls = 0

@functools.lru_cache(maxsize=None)
def fibonacci(number):
    return number if number < 2 else fibonacci(number - 1) + fibonacci(number - 2)

def double(value):
    return value * 2

def everything(df):
    global calls
    calls += 1
    values = df["a"].tolist()
    with open("model.pickle", "rb") as file:
        df["unpickled"] = pickle.load(file).predict(df["a"])
    df["pickled"] = pickle.loads(pickle.dumps(functools.partial(double, 4)))()
    with multiprocessing.Pool(1) as pool:
        df["pool"] = pool.map(double, values)
    with concurrent.futures.ProcessPoolExecutor(1) as pool:
        df["executor"] = list(pool.map(double, values))
    spawning = multiprocessing.get_context("spawn")
    with spawning.Pool(1) as pool:
        df["spawned"] = pool.map(double, values)
    df["cached"] = [fibonacci(value) for value in values]
    df["hits"] = fibonacci.cache_info().hits > 0
    df["arguments"] = "|".join(sys.argv[1:])
    df["language"] = chosen.options.language
    df["program"] = os.path.basename(sys.argv[0])
    df["file"] = os.path.basename(sys.modules["__main__"].__file__)
    df["source"] = inspect.getsource(double).splitlines()[0]
    df["outside"] = subprocess.run([sys.executable, "-c", "print(7)"], capture_output=True, text=True).stdout.strip()
    df["calls"] = calls
    return df

if __name__ == "__main__":
    with open("model.pickle", "wb") as file:
        pickle.dump(Model(), file)
    for workers in (0, 1):
        muster.run(everything, "rows.csv", f"{workers}.jsonl", workers=workers, strict=True)
    print(calls)
"""


def rows_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def run_script(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "rows.csv").write_text("a\n3\n5\n")
    return tmp_path


def test_a_function_of_a_script_finds_in_a_worker_what_it_finds_in_one_process(folder: Path) -> None:
    (folder / "options.py").write_text(HELPER)
    (folder / "script.py").write_text(SCRIPT)
    ended = run_script(folder, "script.py", "--language", "de")
    assert ended.stdout == "1\n", ended.stderr  # inline it was the script's own function that was called
    numbers = {"unpickled": 103, "pickled": 8, "pool": 6, "executor": 6, "spawned": 6, "cached": 2}
    texts = {"arguments": "--language|de", "language": "de", "program": "script.py", "file": "script.py"}
    rest = {"source": "def double(value):", "outside": "7", "hits": True}
    for workers in (0, 1):
        row = rows_of(folder / f"{workers}.jsonl")[0]
        assert row == {"a": 3, "calls": workers + 1, **numbers, **texts, **rest}


PICKLED_BY_ITS_FILE: Final = """
import argparse, os, pickle, sys
class Model:
    def predict(self, value):
        return value + 1
arguments = argparse.ArgumentParser().parse_args()
def predict(df):
    with open("model.pickle", "rb") as file:
        model = pickle.load(file)
    return df.assign(b=model.predict(df["a"]), same=isinstance(model, Model), argv=os.path.basename(sys.argv[0]))
if __name__ == "__main__":
    with open("model.pickle", "wb") as file:
        pickle.dump(Model(), file)
"""


@pytest.mark.parametrize("workers", ["0", "1"])
def test_what_a_file_pickles_as_a_script_it_can_read_when_muster_runs_a_function_of_it(
    folder: Path, muster: Muster, workers: str
) -> None:
    (folder / "train.py").write_text(PICKLED_BY_ITS_FILE)
    assert run_script(folder, "train.py").returncode == 0
    ended = muster("run", "train.py:predict", "rows.csv", "-o", "out.jsonl", "--workers", workers, "--strict")
    assert ended.code == 0, ended.err
    assert rows_of(folder / "out.jsonl")[0] == {"a": 3, "b": 4, "same": True, "argv": "train.py"}


SPAWNED: Final = """
import multiprocessing, muster
def double(value):
    return value * 2
def everything(df):
    with multiprocessing.Pool(1) as pool:
        return df.assign(b=pool.map(double, df["a"].tolist()))
def begin():
    muster.run(everything, "rows.csv", "out.jsonl", workers=1, strict=True)
if __name__ == "__main__":
    process = multiprocessing.get_context("spawn").Process(target=begin)
    process.start()
    process.join()
"""


def test_a_process_that_was_spawned_itself_can_begin_a_run(folder: Path) -> None:
    (folder / "script.py").write_text(SPAWNED)
    ended = run_script(folder, "script.py")
    assert rows_of(folder / "out.jsonl") == [{"a": 3, "b": 6}, {"a": 5, "b": 10}], ended.stderr


def test_code_that_begins_a_run_when_it_is_loaded_is_told_so_once(folder: Path) -> None:
    (folder / "job.py").write_text(
        "import os, muster\nprint('loaded', flush=True)\ndef same(df):\n    return df\n"
        "muster.run(same, 'rows.csv', f'out-{os.getpid()}.csv', workers=1)\n"
    )
    ended = run_script(folder, "-c", "import job")
    assert (ended.stdout, ended.stderr.count("loaded")) == ("loaded\n", 1)
    assert ended.stderr.splitlines()[-1].count("begins a run while a run loads it") == 1
    assert "if __name__ == '__main__':" in ended.stderr.splitlines()[-1]


def test_a_script_without_a_guard_is_run_once_where_workers_need_nothing_else_of_it(folder: Path) -> None:
    (folder / "script.py").write_text(
        "import muster\nprint('run')\ndef double(df):\n    return df * 2\n"
        "muster.run(double, 'rows.csv', 'out.csv', workers=1)\n"
    )
    ended = run_script(folder, "script.py")
    assert (ended.returncode, ended.stdout, (folder / "out.csv").read_text()) == (0, "run\n", "a\n6\n10\n")


def test_a_script_without_a_guard_is_told_so_where_a_worker_would_have_to_run_it(folder: Path) -> None:
    (folder / "script.py").write_text(
        "import pickle, muster\nclass Model:\n    pass\n"
        "with open('model', 'wb') as file:\n    pickle.dump(Model(), file)\n"
        "def read(df):\n    return df.assign(b=type(pickle.load(open('model', 'rb'))).__name__)\n"
        "muster.run(read, 'rows.csv', 'out.csv', workers=1, batch_rows=1)\n"
    )
    ended = run_script(folder, "script.py")
    assert ended.stderr.splitlines()[-1].count("if __name__ == '__main__':") == 1
    assert "begins a run while a run loads it" in ended.stderr
    assert not (folder / "out.csv").exists()


UNGUARDED: Final = """
import dataclasses, inspect, pickle, sys, typing, warnings
import muster
import cfg
from beside import same

@dataclasses.dataclass
class Model:
    rate: "int"
    def predict(self, values):
        return same(values) * self.rate

model = Model(cfg.RATE)

def look_around():
    main = sys.modules["__main__"]
    assert not hasattr(main, "get_ip" + "ython")
    assert inspect.getmodule(look_around) is inspect.getmodule(Model) is main
    inspect.getmodule(sys._getframe()), inspect.stack(), inspect.getsource(Model)
    assert typing.get_type_hints(Model) == {"rate": int}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.warn("old")

def by_model(df):
    look_around()
    for one in (by_model, model, type(model)):
        assert type(pickle.loads(pickle.dumps(one))) is type(one)
    return df.assign(b=model.predict(df["a"]))

class Built:
    def __call__(self, df):
        pickle.dumps(self)
        return df.assign(b=df["a"] * cfg.RATE)

print("run")
functions = {"lambda": lambda df: same(df).assign(b=df["a"] * cfg.RATE), "model": by_model, "class": Built}
for name, function in functions.items():
    muster.run(function, "rows.csv", f"{name}.jsonl", workers=1, strict=True, progress=False)
print(muster.check(by_model, "rows.csv").row_wise)
"""


def test_a_script_without_a_guard_needs_none_whatever_its_functions_use_of_other_files_and_of_itself(
    folder: Path,
) -> None:
    (folder / "cfg.py").write_text("RATE = 2\n")
    (folder / "beside.py").write_text("def same(value):\n    return value\n")
    (folder / "script.py").write_text(UNGUARDED)
    ended = run_script(folder, "script.py")
    assert ended.stdout == "run\nTrue\n", ended.stderr
    for name in ("lambda", "model", "class"):
        assert rows_of(folder / f"{name}.jsonl") == [{"a": 3, "b": 6}, {"a": 5, "b": 10}], name


SEEN: Final[list[int]] = []


class Mark:
    """Is known by its class."""


MARK: Final = Mark()


def test_inline_a_function_is_called_as_it_is_and_no_copy_of_it(folder: Path) -> None:
    def look(df: Any) -> Any:  # noqa: ANN401 (a frame)
        SEEN.append(len(df))
        return df.assign(same=isinstance(MARK, Mark))

    SEEN.clear()
    muster.run(look, folder / "rows.csv", folder / "out.jsonl", workers=0)
    assert SEEN == [2]
    assert [row["same"] for row in rows_of(folder / "out.jsonl")] == [True, True]


@pytest.mark.parametrize("fails", [False, True])
def test_an_inline_run_leaves_folder_and_path_as_they_were(
    folder: Path, monkeypatch: pytest.MonkeyPatch, *, fails: bool
) -> None:
    monkeypatch.chdir(folder)
    (folder / "away").mkdir()
    (folder / "away" / "moving.py").write_text(
        f"import os\ndef move(df):\n    os.chdir('/')\n    if {fails}:\n        raise ValueError\n    return df\n"
    )
    before = list(sys.path)
    if fails:
        with pytest.raises(muster.MusterError):
            muster.run("away/moving.py:move", "rows.csv", "out.csv", workers=0, strict=True)
    else:
        muster.run("away/moving.py:move", "rows.csv", "out.csv", workers=0)
    assert (os.getcwd(), sys.path) == (str(folder), before)  # noqa: PTH109 (as the function went)
