"""Streams on a machine of a cluster, which sees this computer's files or does not."""

import random
import threading
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

import muster
import own_ends
from conftest import Muster
from followed import append, joined
from muster._api.pipeline import start
from muster._clouds.base import Access
from muster._job import Follow, Job, Options, Snapshot
from muster._run.runner import run
from muster._run.staffing.assembly import Means
from muster._user_code import targets
from test_windows_of_streams import END, KINDS, MADE, committed, oracle, rows, same
from waiting import until

pytestmark = pytest.mark.waits


def test_epoch_after_epoch_is_done_by_the_same_workers_far_away(
    tmp_path: Path, far: Access, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # without code, which would go along
    (tmp_path / "in").mkdir()
    path, texts = tmp_path / "in" / "a.csv", ["n\n1\n2\n", "3\n", "4\nfive\n"]
    parts = [tmp_path / "out" / f"part-{at:08}.csv" for at in range(len(texts))]

    def write() -> None:
        for text, part in zip(texts, parts, strict=True):
            with path.open("a") as file:
                file.write(text)
            until(part.exists)
        (tmp_path / "out.muster" / "stop").touch()

    writer = threading.Thread(target=write)
    writer.start()
    job = Job(
        (targets.of_function(lambda df: df.assign(worker=__import__("os").getpid())),),
        ("in/",),
        "out/",
        Options(input_format="csv", output_format="csv"),
        follow=Follow(every=0.0),
    )
    told = list[Snapshot]()
    result = run(job, watch=told.append, access=far)
    writer.join()
    assert (result.rows_in, result.rows_out, result.bad_rows, result.epochs) == (5, 4, 1, 3)
    rows = [line.split(",") for part in parts for line in part.read_text().splitlines()[1:]]
    assert [number for number, _ in rows] == ["1", "2", "3", "4"]
    assert [one.stream.epochs for one in told if one.stream][-1] == 3
    assert any("rows/s, 2 epochs" in str(one) for one in told)
    assert any(one.stream is not None and one.stream.bytes for one in told)
    assert len({worker for _, worker in rows}) <= 2


@pytest.mark.parametrize("sees_files", [False, True])
def test_windows_of_a_stream_are_kept_and_closed_on_a_machine_as_they_are_here(
    tmp_path: Path, far: Access, muster: Muster, monkeypatch: pytest.MonkeyPatch, *, sees_files: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    (tmp_path / "steps.py").touch()
    path, seed = tmp_path / "in" / "a.csv", random.randrange(1 << 32)  # noqa: S311 (rows, no secrets)
    dice = random.Random(seed)  # noqa: S311 (likewise)
    path.write_text("k,at,n\n")

    def write() -> None:
        for text in (rows(dice, 0, 150), rows(dice, 150, 150), END):
            before = committed(tmp_path)
            append(path, text)
            until(lambda before=before: committed(tmp_path) > before)  # type: ignore[misc]
        (tmp_path / "out.muster" / "stop").touch()

    writer = threading.Thread(target=write, daemon=True)
    writer.start()
    pipeline = windows_of_an_hour()
    access = replace(far, shares_files=sees_files)
    result = start(pipeline, {}, watch=lambda _: None, remark=print, means=Means(access=lambda: access))
    writer.join()
    assert result.rows_in == 301
    expected = oracle(tmp_path, muster, KINDS["overlapping"], MADE["agg"])
    assert same(joined(tmp_path).splitlines()[1:]) == same(one for one in expected if "end," not in one), f"seed {seed}"


def test_rows_of_several_sources_are_done_by_a_machine(
    tmp_path: Path, far: Access, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in "ab":
        (tmp_path / f"{name}.csv").write_text("source,n\n" + "".join(f"{name},{n}\n" for n in range(100)))
        (tmp_path / f"{name}.csv.end").touch()
    a, b = (muster.read_from(own_ends.LinesOfFile(f"{name}.csv"), name=name) for name in "ab")
    start(
        a.merge(b).key_by("source").map_batches(counted, state=int).write_csv("out/"),
        {},
        watch=lambda _: None,
        remark=print,
        means=Means(access=lambda: far),
    )
    rows = joined(tmp_path).splitlines()[1:]
    for name in "ab":
        assert [row for row in rows if row.startswith(name)] == [f"{name},{n},{n + 1}" for n in range(100)]


STEP = """
import os
from pathlib import Path

class Step:
    def __init__(self):
        Path(__file__).with_name(f"built-{os.getpid()}").touch()

    def __call__(self, df):
        return df
"""


def test_all_workers_build_the_steps_of_a_stream_also_those_that_have_no_row_yet(
    tmp_path: Path, far: Access, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "steps.py").write_text(STEP)
    (tmp_path / "in").mkdir()

    def write() -> None:
        try:
            append(tmp_path / "in" / "a.csv", "n\n1\n")
            until(lambda: len([*tmp_path.glob("built-*")]) >= far.workers)
        finally:
            (tmp_path / "out.muster" / "stop").touch()

    writer = threading.Thread(target=write, daemon=True)
    writer.start()
    pipeline = muster.follow_csv("in/", every=0).map_batches(f"{tmp_path}/steps.py:Step").write_csv("out/")
    access = replace(far, shares_files=True)
    result = start(pipeline, {}, watch=lambda _: None, remark=print, means=Means(access=lambda: access))
    writer.join()
    assert result.rows_in == 1
    assert len([*tmp_path.glob("built-*")]) >= far.workers


def counted(df: pd.DataFrame, states: dict[str, int]) -> pd.DataFrame:
    seen = []
    for source in df["source"]:
        states[source] += 1
        seen.append(states[source])
    return df.assign(seen=seen)


def windows_of_an_hour() -> muster.Pipeline:
    keyed = muster.follow_csv("in/", every=0, parse_dates=["at"]).group_by("k")
    windows = keyed.window("1h", every="20m", time="at", lateness="10m")
    made = windows.agg(n="count", total=("n", "sum"), first=("n", "first"), last=("n", "last"), mean=("n", "mean"))
    return made.write_csv("out/")
