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


def test_at_the_end_and_in_the_report_stands_how_often_each_was_raised_by_all_workers(
    tmp_path: Path, muster: Muster
) -> None:
    (tmp_path / "f.py").write_text(CODE)
    (tmp_path / "in.csv").write_text("n\n" + "".join(f"{number}\n" for number in range(60)))
    run = ("run", "f.py:warn", "in.csv", "-o", "out.csv", "--workers", "3", "--batch-rows", "5")
    end = muster(*run)
    counts = [
        "raised 60 times: FutureWarning at f.py:11: slow path",
        "raised 60 times: UserWarning at f.py:9: slow path",
        "raised 30 times: UserWarning at f.py:10: a text of 0",
        "raised 30 times: UserWarning at f.py:10: a text of 1",
    ]
    assert [line for line in end.err.splitlines() if "raised" in line] == [f"muster: {text}" for text in counts]
    assert muster("report", "-o", "report.html").code == 0
    report = (tmp_path / "report.html").read_text()
    assert [text for text in counts if text not in report] == []
    assert "raised" not in muster(*run, "--quiet", "--fresh").err


def test_python_itself_counts_what_it_would_not_show_again(tmp_path: Path, muster: Muster) -> None:
    (tmp_path / "f.py").write_text(
        "import warnings\nimport numpy as np\n\ndef warn(df):\n    for number in df['n']:\n"
        "        warnings.warn('plain')\n        np.float64(1) / np.float64(0)\n    return df\n"
    )
    (tmp_path / "in.csv").write_text("n\n" + "1\n" * 40)
    end = muster("run", "f.py:warn", "in.csv", "-o", "out.csv", "--workers", "2", "--batch-rows", "3")
    assert [end.err.count(f"Warning: {text}") for text in ("plain", "divide by zero")] == [1, 1]
    assert end.err.count("raised 40 times: UserWarning at f.py:6: plain") == 1
    assert end.err.count("raised 40 times: RuntimeWarning at f.py:7: divide by zero") == 1


def test_a_warning_that_was_raised_once_is_not_counted(tmp_path: Path, muster: Muster) -> None:
    (tmp_path / "f.py").write_text("import warnings\n\ndef warn(df):\n    warnings.warn('once')\n    return df\n")
    (tmp_path / "in.csv").write_text("n\n1\n")
    end = muster("run", "f.py:warn", "in.csv", "-o", "out.csv", "--workers", "1")
    assert (end.err.count("UserWarning: once"), end.err.count("muster: raised")) == (1, 0)


def test_a_function_that_asks_for_all_of_them_gets_them_and_errors_stay_errors(tmp_path: Path, muster: Muster) -> None:
    assert shown(tmp_path, muster, "ask_for_all")["17: UserWarning: again"] >= 60
    assert set(shown(tmp_path, muster, "fail")) == {""}  # the error's own text, which names no line of a warning
