"""Pipelines over the rows of several inputs."""

from pathlib import Path

import pandas as pd
import pytest

import muster
from followed import following, rows_out, stopped
from muster.errors import UsageError
from waiting import until

ROWS = pd.DataFrame({"n": range(40), "name": [f"row {n % 7}" for n in range(40)]})


def test_files_that_are_merged_are_those_that_concat_gives(tmp_path: Path) -> None:
    ROWS[:15].to_csv(tmp_path / "z.csv", index=False)
    ROWS[15:].assign(n=ROWS["n"][15:] + 0.5)[["name", "n"]].to_csv(tmp_path / "a.csv", index=False)
    read = muster.read_csv(tmp_path / "z.csv").merge(muster.read_csv(tmp_path / "a.csv"))
    read.map_batches(lambda df: df.assign(kind=str(df["n"].dtype))).write_csv(tmp_path / "out.csv").run(
        workers=0, part_bytes=50
    )
    expected = pd.concat([pd.read_csv(tmp_path / "z.csv"), pd.read_csv(tmp_path / "a.csv")], ignore_index=True)
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "out.csv"), expected.assign(kind="float64"))
    by_name = read.group_by("name").agg(total=("n", "sum")).write_csv(tmp_path / "sums.csv")
    by_name.run(workers=0)
    sums = expected.groupby("name", sort=False).agg(total=("n", "sum")).reset_index()
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "sums.csv"), sums)


def test_a_pipeline_is_merged_with_itself(tmp_path: Path) -> None:
    ROWS.to_csv(tmp_path / "a.csv", index=False)
    read = muster.read_csv(tmp_path / "a.csv")
    read.merge(read, read).map_batches(lambda df: df).write_csv(tmp_path / "out.csv").run(workers=0)
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "out.csv"), pd.concat([ROWS, ROWS, ROWS], ignore_index=True))


def test_two_sets_of_files_are_followed_as_one_stream(tmp_path: Path) -> None:
    for name in ("in", "more"):
        (tmp_path / name).mkdir()
    ROWS[:10].to_csv(tmp_path / "more" / "1.csv", index=False)
    (tmp_path / "pipeline.py").write_text(
        "import muster\n"
        "pipeline = (muster.follow_csv('in/*.csv').merge(muster.follow_csv('more/*.csv', every=0.0))\n"
        "    .key_by('name').map_batches(lambda df, states: df, state=int).write_csv('out/'))\n"
    )
    with following(tmp_path, "--workers", "0") as process:
        until(lambda: rows_out(tmp_path) == 10)
        process.kill()
    ROWS[10:].to_csv(tmp_path / "in" / "2.csv", index=False)
    with following(tmp_path, "--workers", "0") as process:
        until(lambda: rows_out(tmp_path) == len(ROWS))
        assert stopped(tmp_path, process)[0] == 0
    parts = [pd.read_csv(path) for path in sorted((tmp_path / "out").glob("part-*"))]
    pd.testing.assert_frame_equal(pd.concat(parts, ignore_index=True), ROWS)


@pytest.mark.parametrize(
    ("other", "why"),
    [
        (lambda: muster.read_csv("b.csv", sep=";"), "the pipelines differ in sep, and"),
        (lambda: muster.read_json("b.jsonl"), "the pipelines differ in formats, and"),
        (lambda: muster.read_csv("b.csv").map_batches(len), "before any function"),
        (lambda: muster.follow_csv("b.csv"), "the one has an end"),
        (lambda: "b.csv", "is no pipeline"),
    ],
)
def test_what_does_not_go_together_is_said_in_words(other: object, why: str) -> None:
    assert callable(other)
    with pytest.raises(UsageError, match=why):
        muster.read_csv("a.csv").merge(other())
