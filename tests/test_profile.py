"""``--profile`` says in ten lines which of the user's lines take the time, and writes nothing."""

import json
from pathlib import Path

import pytest

from conftest import Muster
from muster._api.profile import ProfileOfBatch
from muster._worker.profiled import Function, SourceLine

CODE = """
import re, time
import pandas as pd
from collections import Counter

has = []

def score(row):
    return row.n / (row.n + 1)

def by_row(df):
    if not has:
        until = time.process_time() + 0.5
        while time.process_time() < until:
            pass
        has.append(1)
    df["score"] = df.apply(score, axis=1)
    df["twice"] = df["n"] * 2
    return df

def waits(df):
    time.sleep(0.3)
    return df

def in_pandas(df):
    return df.sort_values("text").reset_index(drop=True)

def changes_it(df):
    df.drop(columns="text", inplace=True)
    return df
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "f.py").write_text(CODE)
    rows = "".join(f'{n},"a ""b"",\nc{n}"\n' for n in range(5000))
    (tmp_path / "in.csv").write_text(f"n,text\n{rows}")
    return tmp_path


def test_the_line_that_calls_python_for_each_row_is_named_with_what_follows(folder: Path, muster: Muster) -> None:
    before = sorted(path.name for path in folder.iterdir())
    end = muster("check", "f.py:by_row", "in.csv", "--profile")
    lines = end.out.splitlines()
    assert (end.code, len(lines) <= 10) == (0, True), end.err
    assert lines[0].startswith("by_row on 1,000 rows of the middle, 2,000 to 2,999 of in.csv: ")
    assert "The first call took" in lines[1]
    assert 'f.py:17  df["score"] = df.apply(score, axis=1)' in end.out
    assert "all of score (f.py:8), 1,000 calls" in end.out
    assert lines[-2].endswith('of the time is line 17 of f.py: df["score"] = df.apply(score, axis=1)')
    assert lines[-1].startswith("It calls Python once for each row.")
    assert sorted(path.name for path in folder.iterdir() if path.name != "__pycache__") == before


@pytest.mark.usefixtures("folder")
def test_shares_of_lines_add_up_and_libraries_count_for_the_line_that_called_them(muster: Muster) -> None:
    told = muster("run", "f.py:by_row", "in.csv", "--profile", "--sample", "200", "--json").json
    assert (told["rows"], told["first_row"], told["file"]) == (200, 2400, "in.csv")
    assert sum(line["own"] for line in told["lines"]) == pytest.approx(1)
    assert all(line["own"] <= line["share"] + 1e-9 <= 1 + 1e-6 for line in told["lines"])
    assert told["first_call_seconds"] > told["second_call_seconds"] + 0.3
    assert {one["name"]: one["calls"] for one in told["functions"]}["score"] == 200
    only = muster("check", "f.py:in_pandas", "in.csv", "--profile", "--json").json["lines"][0]
    assert "sort_values" in only["text"]
    assert only["own"] > 0.9


@pytest.mark.usefixtures("folder")
def test_a_function_that_waits_is_told_from_one_that_computes(muster: Muster) -> None:
    end = muster("check", "f.py:waits", "in.csv", "--profile")
    assert "It waits: a call keeps" in end.out
    assert "is line 22 of f.py: time.sleep(0.3)" in end.out
    assert "It waits" not in muster("check", "f.py:by_row", "in.csv", "--profile", "--sample", "2000").out


@pytest.mark.usefixtures("folder")
def test_each_call_gets_rows_of_its_own(muster: Muster) -> None:
    assert muster("check", "f.py:changes_it", "in.csv", "--profile").code == 0


def test_a_function_that_fails_is_told_as_a_check_tells_it(folder: Path, muster: Muster) -> None:
    (folder / "bad.py").write_text("def f(df):\n    return df.N\n")
    end = muster("run", "bad.py:f", "in.csv", "--profile", "--json")
    assert (end.code, end.json["kind"]) == (1, "user_code")
    assert "did you mean 'n'" in end.json["error"]
    assert muster("check", "f.py:waits", "in.csv", "--profile", "--sample", "0").code == 2
    (folder / "empty.csv").write_text("n,text\n")
    assert "The input has no rows" in muster("check", "f.py:waits", "empty.csv", "--profile").err


def told(lines: tuple[SourceLine, ...], *, processor: float = 1.0) -> str:
    functions = (Function("f.py", 1, "f", 1.0, 0.1, 1),)
    return str(ProfileOfBatch("f", "in.csv", 0, 10, 10.0, 0.0, 1.0, 1.0, processor, lines, functions))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("for row in df.itertuples():", "It calls Python once for each row."),
        ("df['a'] = df['b'].apply(clean)", "It calls Python once for each value."),
        ("table = pd.read_csv('codes.csv')", "It reads a file in every call."),
        ("answer = requests.post(url, json=rows)", "It waits for something else."),
        ("return model.predict(df)", "70% of the time is line 7 of f.py: return model.predict(df)"),
    ],
)
def test_what_follows_is_said_of_the_line_that_takes_most(text: str, says: str) -> None:
    lines = (SourceLine("f.py", 7, text, 0.7, 0.7), SourceLine("f.py", 8, "return df", 0.3, 0.3))
    assert told(lines).splitlines()[-1].startswith(says)


def test_where_no_line_stands_out_none_is_blamed() -> None:
    lines = tuple(SourceLine("f.py", at, f"x{at} = df.a + {at}", 0.2, 0.2) for at in range(5))
    assert told(lines).splitlines()[-1].startswith("No line stands out: the first has 20%")
    assert told(()).splitlines()[-1].startswith("None of it is code of yours")
    assert json.dumps(told(lines)).count("x4") == 0
