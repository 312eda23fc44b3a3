"""Generators, async functions and classes that take their time to load."""

from pathlib import Path

import pandas as pd
import pytest

from conftest import Muster

CODE = """
import asyncio
import os
import time
from pathlib import Path

BAD = 77


def check(df):
    if (df.a == BAD).any():
        raise ValueError("bad")


def yields_one(df):
    check(df)
    yield df


def yields_several(df):
    for at in range(0, len(df), 7):
        check(df.iloc[at:at + 7])
        yield df.iloc[at:at + 7]


async def waits(df):
    await asyncio.sleep(0)
    check(df)
    return df


async def yields_later(df):
    yield df.iloc[:3]
    await asyncio.sleep(0)
    check(df)
    yield df.iloc[3:]


class Waits:
    def __init__(self):
        self.loops = set()

    async def __call__(self, df):
        self.loops.add(asyncio.get_running_loop())
        assert len(self.loops) == 1
        check(df)
        return df


def filters(df):
    if (df.a >= 150).any():
        yield df[df.a >= 150]


def yields_a_series(df):
    yield df.a


async def hangs(df):
    if (df.a == BAD).any():
        await asyncio.sleep(1000)
    return df


class Meets:
    def __init__(self):
        me = int(os.environ["MUSTER_WORKER"])
        Path(f"began-{me}").touch()
        deadline = time.monotonic() + 60
        while not Path(f"began-{1 - me}").exists():
            if time.monotonic() > deadline:
                raise RuntimeError("alone")
            time.sleep(0.01)

    def __call__(self, df):
        return df
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "f.py").write_text(CODE)
    pd.DataFrame({"a": range(200), "b": "x" * 20}).to_csv(tmp_path / "in.csv", index=False)
    return tmp_path


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("name", ["yields_one", "yields_several", "waits", "yields_later", "Waits"])
def test_it_gives_what_a_plain_function_gives_and_rejects_the_bad_row(
    folder: Path, muster: Muster, name: str, workers: int
) -> None:
    flags = ("--workers", str(workers), "--batch-rows", "50")
    ended = muster("run", f"f.py:{name}", "in.csv", "-o", "out.csv", *flags)
    assert ended.code == 4, ended.err
    lines = (folder / "in.csv").read_text().splitlines()
    assert (folder / "out.csv").read_text().splitlines() == lines[:78] + lines[79:]
    assert (folder / "out.csv.rejects.jsonl").read_text().count('"row": 77') == 1


def test_a_generator_that_yields_nothing_has_dropped_the_rows(folder: Path, muster: Muster) -> None:
    ended = muster("run", "f.py:filters", "in.csv", "-o", "out.csv", "--workers", "0", "--batch-rows", "50")
    assert ended.code == 0, ended.err
    assert pd.read_csv(folder / "out.csv").a.tolist() == list(range(150, 200))


def test_what_is_no_frame_says_what_to_write(folder: Path, muster: Muster) -> None:
    ended = muster("run", "f.py:yields_a_series", "in.csv", "-o", "out.csv", "--workers", "0")
    assert ended.code == 1
    assert "the function yielded Series, not a DataFrame" in ended.err
    assert "Return the whole frame" in ended.err
    assert not (folder / "out.csv").exists()


@pytest.mark.parametrize("workers", [0, 1])
def test_a_time_limit_holds_for_what_is_awaited(folder: Path, muster: Muster, workers: int) -> None:
    (folder / "in.csv").write_text("a\n76\n77\n78\n")
    flags = ("--workers", str(workers), "--batch-rows", "1", "--timeout", "0.5s")
    assert muster("run", "f.py:hangs", "in.csv", "-o", "out.csv", *flags).code == 4
    assert pd.read_csv(folder / "out.csv").a.tolist() == [76, 78]


@pytest.mark.usefixtures("folder")
def test_all_workers_build_a_class_side_by_side(muster: Muster) -> None:
    ended = muster("run", "f.py:Meets", "in.csv", "-o", "out.csv", "--workers", "2")
    assert ended.code == 0, ended.err
