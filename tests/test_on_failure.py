"""``--on-failure``: a command that hears of everything but success."""

import os
import signal
from pathlib import Path

import pytest

from conftest import Muster, started
from waiting import until

CODE = """
import pathlib, time

def copies(df):
    return df.assign(a=df.a.map(int))

def waits(df):
    pathlib.Path("began").touch()
    time.sleep(600)
"""
HOOK = 'printf "%s|%s|%s|%s" "$MUSTER_EXIT_CODE" "$MUSTER_KIND" "$MUSTER_OUTPUT" "$MUSTER_ERROR" > told'
INLINE = ("--workers", "0")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "f.py").write_text(CODE)
    (tmp_path / "in.csv").write_text("a\n1\n2\n")
    return tmp_path


def told(folder: Path) -> list[str]:
    return (folder / "told").read_text().split("|", 3)


def run(muster: Muster, *more: str, function: str = "copies") -> int:
    return muster("run", f"f.py:{function}", "in.csv", "-o", "out.csv", *INLINE, *more, "--on-failure", HOOK).code


def test_nothing_is_told_of_success_nor_where_nothing_was_to_do(folder: Path, muster: Muster) -> None:
    assert [run(muster), run(muster)] == [0, 0]
    assert not (folder / "told").exists()


def test_rejects_are_told(folder: Path, muster: Muster) -> None:
    (folder / "in.csv").write_text("a\n1\nx\n")
    assert run(muster) == 4
    code, kind, output, error = told(folder)
    assert (code, kind, output) == ("4", "rejects", "out.csv")
    assert "out.csv.rejects.jsonl" in error
    (folder / "told").unlink()
    assert run(muster) == 4  # nothing was to do, and rows are missing still
    assert told(folder)[1] == "rejects"


def test_counts_are_told_and_nothing_where_there_are_none(folder: Path, muster: Muster) -> None:
    (folder / "in.csv").write_text("a\n1\nx\n3\n")
    hook = 'echo "$MUSTER_ROWS_IN $MUSTER_ROWS_OUT $MUSTER_BAD_ROWS." > told'
    command = ("in.csv", "-o", "out.csv", *INLINE, "--on-failure", hook)
    assert muster("run", "f.py:copies", *command).code == 4
    assert (folder / "told").read_text() == "3 2 1.\n"
    assert muster("run", "f.py:missing", *command).code == 2
    assert (folder / "told").read_text() == "  .\n"


def test_what_an_input_says_is_no_command(folder: Path, muster: Muster) -> None:
    (folder / "in.csv").write_text("a\n$(touch cells); `touch cells`\n$(touch cells)\n")
    assert run(muster) == 1
    assert "$(touch cells)" in told(folder)[3]
    assert not (folder / "cells").exists()


@pytest.mark.parametrize("limit", ["nan", "-1", "soon", "inf"])
def test_a_limit_that_is_none_is_left_aside(
    folder: Path, muster: Muster, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    monkeypatch.setenv("MUSTER_ON_FAILURE_SECONDS", limit)
    assert run(muster, function="missing") == 2
    assert told(folder)[0] == "2"


def test_what_is_too_long_for_a_variable_is_cut(folder: Path, muster: Muster) -> None:
    (folder / "in.csv").write_text("a\nx\n")
    (folder / "f.py").write_text("def double(df):\n    raise ValueError('long' * 100_000)\n")
    assert run(muster) != 0
    assert (folder / "told").exists()


def test_failures_are_told_also_where_the_run_never_began(folder: Path, muster: Muster) -> None:
    assert run(muster, "--strict", "--no-such-option") == 2
    assert told(folder)[:2] == ["2", "usage"]
    assert run(muster, function="missing") == 2
    assert told(folder)[:3] == ["2", "usage", "out.csv"]
    (folder / "in.csv").write_text("a\nx\ny\n")
    assert run(muster) == 1
    assert told(folder)[:2] == ["1", "user_code"]
    assert "invalid literal" in told(folder)[3]


@pytest.mark.parametrize(
    ("number", "code", "kind"), [(signal.SIGTERM, 143, "terminated"), (signal.SIGINT, 130, "interrupted")]
)
def test_signals_are_told(folder: Path, number: signal.Signals, code: int, kind: str) -> None:
    command = ("run", "f.py:waits", "in.csv", "-o", "out.csv", "--workers", "1", "--on-failure", HOOK)
    with started(folder, *command) as process:
        until((folder / "began").exists)
        os.kill(process.pid, number)
        process.communicate(timeout=60)
    assert process.returncode == code
    assert told(folder)[:2] == [str(code), kind]


@pytest.mark.usefixtures("folder")
def test_its_own_failure_is_told_and_changes_nothing_and_its_words_go_to_standard_error(muster: Muster) -> None:
    ended = muster(
        "run", "f.py:missing", "in.csv", "-o", "out.csv", *INLINE, "--json", "--on-failure=echo hello; exit 7"
    )
    assert ended.code == ended.json["exit_code"] == 2
    assert "hello" not in ended.out
    assert "hello" in ended.err
    assert "failed itself, with exit code 7" in ended.err


@pytest.mark.usefixtures("folder")
def test_it_has_a_time_limit(muster: Muster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MUSTER_ON_FAILURE_SECONDS", "0.5")
    ended = muster("run", "f.py:missing", "in.csv", "-o", "out.csv", *INLINE, "--on-failure", "sleep 600 & sleep 600")
    assert ended.code == 2
    assert "took longer than 0.5 s" in ended.err


def test_a_password_of_the_output_is_told_to_nobody(folder: Path, muster: Muster) -> None:
    muster("run", "f.py:copies", "none.csv", "-osftp://joe:SECRETPW@host/out.csv", *INLINE, "--on-failure", HOOK)
    assert told(folder)[2] == "sftp://joe:***@host/out.csv"
