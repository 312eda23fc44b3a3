"""``--since-last``, killed before an operation on a file, whichever it is: each file's rows are in one output."""

import json
import os
import random
import signal
import sys
from pathlib import Path

import pytest

import dying
import muster._worker.task  # noqa: F401 (so that forks need not load it)
from muster.cli import main

CODE = "def double(df):\n    df['b'] = df['a'] * 2\n    return df\n"
AT_ONCE = 6
"""So many of the moments, by chance; EVERY_POINT=1 tries them all."""


def command(output: str) -> list[str]:
    return ["run", "f.py:double", "in", "-o", output, "--since-last", "--workers", "0", "--quiet"]


def made(folder: Path) -> Path:
    (folder / "in" / "deep").mkdir(parents=True)
    (folder / "f.py").write_text(CODE)
    return folder


def put(folder: Path, name: str, *values: int) -> None:
    unfinished = folder / "unfinished"
    unfinished.write_text("a\n" + "".join(f"{value}\n" for value in values))
    unfinished.rename(folder / "in" / name)


def here(folder: Path, output: str) -> int:
    """Be a process that runs the command."""
    os.chdir(folder)
    sys.path.insert(0, str(folder))
    nowhere = os.open(os.devnull, os.O_RDWR)
    os.dup2(nowhere, 1)
    return main(command(output))


def forked(folder: Path, output: str, *, dies_before: int = 0) -> tuple[int, int]:
    return dying.forked(lambda: here(folder, output), dies_before=dies_before)


def rows(folder: Path) -> list[int]:
    paths = [path for path in (folder / "out").rglob("2*.csv") if ".muster" not in str(path)]
    paths += [path for path in (folder / "out").glob("2*/part-*.csv") if (path.parent / "_manifest.json").exists()]
    return sorted(int(line.split(",")[0]) for path in paths for line in path.read_text().splitlines()[1:])


@pytest.mark.parametrize("output", ["out/{date}.csv", "out/{date}/"])
def test_killed_before_any_operation_each_file_is_in_one_output(
    tmp_path_factory: pytest.TempPathFactory, output: str
) -> None:
    whole = made(tmp_path_factory.mktemp("whole"))
    put(whole, "a.csv", 1)
    put(whole, "deep/b.csv", 2)
    code, points = forked(whole, output)
    assert (code, rows(whole)) == (0, [1, 2])
    assert points > 15
    chance = random.Random()  # noqa: S311 (no secret)
    every = bool(os.environ.get("EVERY_POINT"))
    for point in range(1, points + 1) if every else sorted(chance.sample(range(1, points + 1), AT_ONCE)):
        folder = made(tmp_path_factory.mktemp("killed"))
        put(folder, "a.csv", 1)
        put(folder, "deep/b.csv", 2)
        code, _ = forked(folder, output, dies_before=point)
        assert code in {-signal.SIGKILL, 0}
        change = chance.choice(["renamed", "rewritten", "gone", "nothing"])
        expected = [1, 2, 3]
        if change == "renamed":
            (folder / "in" / "a.csv").rename(folder / "in" / "deep" / "c.csv")
        if change == "rewritten":  # what was read of it before may be out
            put(folder, "a.csv", 7)
        if change == "gone":
            (folder / "in" / "deep" / "b.csv").unlink()
        put(folder, "new.csv", 3)
        again = chance.randint(1, points)
        forked(folder, output, dies_before=again)
        assert forked(folder, output)[0] == 0, (point, change, again)
        found = rows(folder)
        may = {
            "rewritten": ([1, 2, 3, 7], [2, 3, 7]),
            "gone": ([1, 2, 3], [1, 3]),
        }.get(change, (expected,))
        assert found in may, (point, change, again)
        assert not list(folder.rglob("*.muster"))
        (ledger,) = (folder / "out").glob(".*.since-last.json")
        assert json.loads(ledger.read_text())["since-last"]["begun"] is None
        assert forked(folder, output)[0] == 0
        assert rows(folder) == found
