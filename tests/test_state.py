"""Globals that a program sets in modules before it begins a run: workers, which import them anew, have them too."""

import sys
import threading
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pandas as pd
import pytest

import muster

RULES = """
LIMIT = 1
WORDS = {"kept": 0}
LOCK = None
PATH = ""
def mark(value):
    return value
def step(df):
    return df.assign(LIMIT=LIMIT, WORD=WORDS["kept"], MARK=[mark(value) for value in df["A"]])
class Reads:
    def __init__(self):
        self.text = open(PATH).read()
    def __call__(self, df):
        return df.assign(TEXT=self.text)
def locked(df):
    return df.assign(L=LOCK is None)
"""


class Rules(types.ModuleType):
    """The module, for the type checker."""

    LIMIT: int
    WORDS: dict[str, int]
    LOCK: object
    PATH: str
    mark: Callable[[int], int]
    step: Callable[[pd.DataFrame], pd.DataFrame]
    locked: Callable[[pd.DataFrame], pd.DataFrame]
    Reads: type[Any]


@pytest.fixture
def rules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Rules:
    (tmp_path / "rules_of_a_run.py").write_text(RULES)
    (tmp_path / "in.csv").write_text("A\n1\n2\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "rules_of_a_run", raising=False)
    import rules_of_a_run  # type: ignore[import-not-found]  # noqa: PLC0415 (written just now)

    return cast("Rules", rules_of_a_run)


def twice(value: int) -> int:
    return value * 2


def test_workers_have_the_globals_that_were_set_at_run_time(tmp_path: Path, rules: Rules) -> None:
    rules.LIMIT = 50
    rules.WORDS["kept"] = 7
    rules.mark = twice
    muster.run(rules.step, tmp_path / "in.csv", tmp_path / "out.csv", workers=1)
    assert (tmp_path / "out.csv").read_text() == "A,LIMIT,WORD,MARK\n1,50,7,2\n2,50,7,4\n"


def test_a_class_is_built_once_the_globals_are_set(tmp_path: Path, rules: Rules) -> None:
    (tmp_path / "text.txt").write_text("read")
    rules.PATH = str(tmp_path / "text.txt")
    muster.run(rules.Reads, tmp_path / "in.csv", tmp_path / "out.csv", workers=1)
    assert pd.read_csv(tmp_path / "out.csv")["TEXT"].tolist() == ["read", "read"]


def test_a_global_that_cannot_be_sent_is_refused_by_its_name(tmp_path: Path, rules: Rules) -> None:
    rules.LOCK = threading.Lock()
    with pytest.raises(muster.UsageError, match="global LOCK of rules_of_a_run") as raised:
        muster.run(rules.locked, tmp_path / "in.csv", tmp_path / "out.csv", workers=1)
    assert "workers=0 needs neither" in str(raised.value)
    muster.run(rules.locked, tmp_path / "in.csv", tmp_path / "out.csv", workers=0)
    assert pd.read_csv(tmp_path / "out.csv")["L"].tolist() == [False, False]


def test_code_that_was_written_after_it_was_imported_is_told_of(tmp_path: Path, rules: Rules) -> None:
    notes: list[str] = []
    (tmp_path / "rules_of_a_run.py").write_text(RULES.replace("    return value\n", "    return -value\n"))
    muster.run(
        rules.step,
        tmp_path / "in.csv",
        tmp_path / "out.csv",
        workers=1,
        watch=lambda snapshot: notes.append(snapshot.note),
    )
    assert [note for note in notes if "written since" in note] == [
        "not as this program imported it, as its file was written since: the function 'mark' of rules_of_a_run.py"
    ]
    assert pd.read_csv(tmp_path / "out.csv")["MARK"].tolist() == [-1, -2]
