"""``--limit`` and ``--sample`` in a bucket, on a machine that sees no files of this computer, and through a kill."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import waiting
from conftest import Muster, begun, started
from muster._clouds.base import Access
from muster._job import Job, Options
from muster._run.runner import run
from muster._user_code.targets import parse_target
from test_excerpt import some, written
from test_hourly_stores import bucket, served  # noqa: F401 (fixtures)

CODE = """
import os, threading
from pathlib import Path

def f(df):
    return df.assign(row=df.index, twice=df["a"] * 2)

def slow(df):
    if df.index[0] > 400 and not Path("go").exists():
        Path("began").touch()
        threading.Event().wait()
    return f(df)
"""
CHOICES = [{"limit": 70}, {"sample": 70}]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "f.py").write_text(CODE)
    return tmp_path


def flags(choice: dict[str, int]) -> list[str]:
    return [word for name, count in choice.items() for word in (f"--{name}", str(count))]


def expected(muster: Muster, source: Path, choice: dict[str, int]) -> bytes:
    """What the same rows are in one process on this computer."""
    ended = muster("run", "f.py:f", source.name, "-o", "expected.csv", "--workers", "0", *flags(choice), "--fresh")
    assert ended.code == 0, ended.err
    return (source.parent / "expected.csv").read_bytes()


@pytest.mark.parametrize("choice", CHOICES, ids=str)
@pytest.mark.parametrize("name", ["in.csv", "in.csv.gz", "in.jsonl", "in.parquet"])
@pytest.mark.usefixtures("bucket")
def test_in_a_bucket_the_rows_are_those_of_a_file_here(
    folder: Path,
    bucket: Any,  # noqa: ANN401, F811 (boto3 has no types)
    muster: Muster,
    name: str,
    choice: dict[str, int],
) -> None:
    source = written(folder / name, some(500))
    bucket.put_object(Key=name, Body=source.read_bytes())
    url = f"s3://{bucket.name}"
    ended = muster("run", "f.py:f", f"{url}/{name}", "-o", f"{url}/out.csv", *flags(choice), "--json", "--workers", "0")
    assert ended.code == 0, ended.err
    assert bucket.Object("out.csv").get()["Body"].read() == expected(muster, source, choice)
    assert (ended.json["rows_in"], ended.json["estimate"]["rows"]) == (70, 500)


@pytest.mark.waits
@pytest.mark.parametrize("choice", CHOICES, ids=str)
@pytest.mark.parametrize("name", ["in.csv", "in.parquet"])
def test_a_machine_that_sees_no_files_of_this_computer_does_the_same_rows(  # noqa: PLR0913, PLR0917 (fixtures)
    folder: Path, far: Access, muster: Muster, monkeypatch: pytest.MonkeyPatch, name: str, choice: dict[str, int]
) -> None:
    source = written(folder / name, some(500))
    monkeypatch.chdir(folder)
    code = folder / "code"
    code.mkdir()
    (code / "f.py").write_text(CODE)
    job = Job((parse_target("code/f.py:f"),), (name,), "out.csv", Options(**choice))  # type: ignore[arg-type]
    result = run(job, watch=lambda _: None, access=far)
    assert (folder / "out.csv").read_bytes() == expected(muster, source, choice)
    assert result.estimate is not None
    assert (result.rows_in, result.estimate.rows, result.estimate.workers) == (70, 500, 2)


@pytest.mark.parametrize("workers", ["0", "2"])
def test_a_sample_that_was_killed_goes_on_with_the_same_rows(folder: Path, muster: Muster, workers: str) -> None:
    source = written(folder / "in.csv", some(500))
    command = ("run", "f.py:slow", "in.csv", "-o", "out.csv", "--sample", "70", "--workers", workers)
    for _ in range(2):  # in the same place again
        (folder / "began").unlink(missing_ok=True)
        with started(folder, *command, start=begun) as process:
            waiting.until((folder / "began").exists)
            process.kill()
    assert not (folder / "out.csv").exists()
    (folder / "go").touch()
    ended = muster(*command, "--json")
    assert ended.code == 0, ended.err
    assert (folder / "out.csv").read_bytes() == expected(muster, source, {"sample": 70})
    assert ended.json["resumed_parts"] > 0
    assert ended.json["estimate"]["sampled"] == 70
    assert muster(*command, "--json").json["unchanged"]
    assert pd.read_csv(folder / "out.csv").row.is_monotonic_increasing


@pytest.mark.usefixtures("bucket")
def test_a_sample_of_a_folder_in_a_bucket_goes_into_a_folder_there_and_is_not_the_whole(
    bucket: Any,  # noqa: ANN401, F811 (likewise)
    folder: Path,
    muster: Muster,
) -> None:
    for part in range(3):
        source = written(folder / f"{part}.csv", some(100, seed=part))
        bucket.put_object(Key=f"in/{part}.csv", Body=source.read_bytes())
    url = f"s3://{bucket.name}"
    run_ = ("run", "f.py:f", f"{url}/in/*.csv", "-o", f"{url}/out/", "--workers", "1", "--json")
    sampled = muster(*run_, "--sample", "60")
    assert (sampled.code, sampled.json["rows_out"]) == (0, 60), sampled.err
    parts = json.loads(bucket.Object("out/_manifest.json").get()["Body"].read())["parts"]
    assert sum(part["rows"] for part in parts) == 60
    assert muster(*run_).json["rows_out"] == 300
