"""A stream that is killed before an operation on a file, whichever it is: each row is in one part or the rejects."""

import json
import os
import random
import signal
import sys
import threading
from pathlib import Path

import pytest

import dying
import muster._worker.task  # noqa: F401 (so that forks need not load it)
from muster.cli import main
from waiting import until

CODE = """
import muster
def step(df):
    if (df["a"] == 13).any():
        raise ValueError("thirteen")
    return df.assign(b=df["a"] * 2)
pipeline = muster.follow_csv("in/", every=0).map_batches(step).write_csv("out/")
"""
AT_ONCE = 4
"""So many of the moments, by chance; EVERY_POINT=1 tries them all."""


def here(folder: Path, *flags: str) -> int:
    """Be a process that follows the files until all that is there is done."""
    os.chdir(folder)
    sys.path.insert(0, str(folder))
    signal.alarm(120)
    nowhere = os.open(os.devnull, os.O_RDWR)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    threading.Thread(target=ask_to_stop, args=(folder / "out.muster",), daemon=True).start()
    return main(["run", "pipeline.py", "--workers", "0", "--quiet", *flags])


def text_of(journal: Path) -> str:
    try:
        return journal.read_text()
    except FileNotFoundError:
        return ""


def ask_to_stop(work: Path) -> None:
    journal = work / "journal.jsonl"
    until(lambda: f'"pid":{os.getpid()},' in text_of(journal))
    os.close(os.open(work / "stop", os.O_CREAT))


def forked(folder: Path, *flags: str, dies_before: int = 0, dies_removing: str = "") -> tuple[int, int]:
    return dying.forked(lambda: here(folder, *flags), dies_before=dies_before, dies_removing=dies_removing)


def parts(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((folder / "out").glob("part-*"))}


def rows(folder: Path) -> list[int]:
    return [int(line.split(b",")[0]) for text in parts(folder).values() for line in text.splitlines()[1:]]


def rejected(folder: Path) -> list[str]:
    return [json.loads(line)["raw"] for line in (folder / "out.rejects.jsonl").read_bytes().splitlines()]


def append(folder: Path, *values: int) -> None:
    path = folder / "in" / "a.csv"
    with path.open("a") as file:
        file.write("" if file.tell() else "a\n")
        file.writelines(f"{value}\n" for value in values)


def made(folder: Path) -> Path:
    (folder / "in").mkdir(parents=True)
    (folder / "pipeline.py").write_text(CODE)
    append(folder, 1, 13, 2)
    return folder


def test_killed_before_any_operation_each_row_is_there_once(tmp_path: Path) -> None:
    first = made(tmp_path / "first")
    code, count = forked(first)
    assert (code, rows(first), rejected(first)) == (4, [1, 2], ["13"])
    points = range(1, count + 1)
    if not os.environ.get("EVERY_POINT"):
        points = random.sample(points, AT_ONCE)  # type: ignore[assignment]
    for point in points:
        folder = made(tmp_path / str(point))
        code, _ = forked(folder, dies_before=point)
        seen = parts(folder)
        append(folder, 3, 13, 4)
        code, _ = forked(folder, dies_before=max(point - 9, 1) if point % 2 else 0)  # and once more, a little sooner
        seen |= {name: text for name, text in parts(folder).items() if seen.setdefault(name, text) == text}
        code, _ = forked(folder)
        assert (code, rows(folder), rejected(folder)) == (4, [1, 2, 3, 4], ["13", "13"]), point
        assert {name: parts(folder)[name] for name in seen} == seen, point
        named = [json.loads(line)["name"] for line in (folder / "out" / "_manifest.jsonl").read_bytes().splitlines()]
        assert named == list(parts(folder)), point
        assert not list((folder / "out.muster" / "spool").iterdir()), point
        assert not list((folder / "out.muster" / "sealed").iterdir()), point


@pytest.mark.parametrize("torn", [1, 20, 400])
def test_a_journal_whose_end_a_crash_has_torn_loses_no_row_and_none_comes_twice(tmp_path: Path, torn: int) -> None:
    folder = made(tmp_path / "stream")
    assert forked(folder)[0] == 4
    journal = folder / "out.muster" / "journal.jsonl"
    with journal.open("ab") as file:
        file.write(b'{"event":"committed","number":2,"positions":[[' + b"1" * torn)
    append(folder, 3)
    assert forked(folder)[0] == 4
    assert (rows(folder), rejected(folder)) == ([1, 2, 3], ["13"])


@pytest.mark.parametrize("name", ["journal.jsonl", "out.rejects.jsonl", "part-00000000.csv", "_manifest.jsonl"])
def test_killed_while_fresh_removes_what_was_no_stream_goes_on_behind_rows_that_are_gone(
    tmp_path: Path, name: str
) -> None:
    folder = made(tmp_path / "stream")
    assert forked(folder)[0] == 4
    assert forked(folder, "--fresh", dies_removing=name)[0] == -signal.SIGKILL
    code, _ = forked(folder)
    if code == 2:  # it says that parts are there, and to type --fresh
        assert (folder / "out" / "_manifest.jsonl").exists()
        code, _ = forked(folder, "--fresh")
    assert (code, rows(folder), rejected(folder)) == (4, [1, 2], ["13"])
