"""A warning of the user's function is shown once in a run, however many workers and batches meet it."""

from collections import Counter
from pathlib import Path

from conftest import Muster

CODE = """
import warnings
import pandas as pd

def warn(df):
    for number in df["n"]:
        with warnings.catch_warnings():  # as libraries do: it makes Python forget what it has shown
            pass
        warnings.warn("slow path")
        warnings.warn(f"a text of {number % 2}")
        warnings.warn("slow path", FutureWarning)
    return df

def ask_for_all(df):
    warnings.simplefilter("always")
    for number in df["n"]:
        warnings.warn("again")
    return df

def fail(df):
    warnings.simplefilter("error")
    warnings.warn("is an error here")
    return df
"""


def shown(folder: Path, muster: Muster, function: str) -> Counter[str]:
    (folder / "f.py").write_text(CODE)
    (folder / "in.csv").write_text("n\n" + "".join(f"{number}\n" for number in range(60)))
    end = muster("run", f"f.py:{function}", "in.csv", "-o", "out.csv", "--workers", "3", "--batch-rows", "5")
    return Counter(line.partition(".py:")[2] for line in end.err.splitlines() if "Warning: " in line)


def test_each_text_category_and_place_is_shown_once(tmp_path: Path, muster: Muster) -> None:
    assert shown(tmp_path, muster, "warn") == {
        "9: UserWarning: slow path": 1,
        "10: UserWarning: a text of 0": 1,
        "10: UserWarning: a text of 1": 1,
        "11: FutureWarning: slow path": 1,
    }


def test_a_function_that_asks_for_all_of_them_gets_them_and_errors_stay_errors(tmp_path: Path, muster: Muster) -> None:
    assert shown(tmp_path, muster, "ask_for_all")["17: UserWarning: again"] >= 60
    assert set(shown(tmp_path, muster, "fail")) == {""}  # the error's own text, which names no line of a warning
