"""Rows that no worker survives reading are told from those that the function dies of, and not tried for ever."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

RUN = (sys.executable, "-m", "muster", "run", "f.py:same")

AT_HOME = """\
import os, sys
if os.environ.get("DEADLY_ROWS"):
    import pyarrow.parquet as pq
    from muster._formats import csv
    group, lines = pq.ParquetFile.read_row_group, csv.read
    def read_row_group(self, at, *rest, **options):
        if at == 1:
            os._exit(9)
        return group(self, at, *rest, **options)
    def read(data, **options):
        if b"deadly" in data:
            os._exit(9)
        return lines(data, **options)
    pq.ParquetFile.read_row_group, csv.read = read_row_group, read
"""
"""What Python runs at each start here: reading one row ends the process, as a fault in a library's C code does."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "sitecustomize.py").write_text(AT_HOME)
    (tmp_path / "f.py").write_text("def same(df):\n    return df\n")
    return tmp_path


def run(folder: Path, name: str, home: Path) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "DEADLY_ROWS": "1", "PYTHONPATH": str(folder), "MUSTER_HOME": str(home)}
    command = [*RUN, name, "-o", "out.csv", "--workers", "2"]
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False, timeout=120)


def test_a_parquet_file_that_no_worker_survives_reading_is_named_with_the_row(folder: Path, home: Path) -> None:
    frame = pd.DataFrame({"a": range(9)})
    frame.to_parquet(folder / "in.parquet", row_group_size=3)
    assert pq.read_metadata(folder / "in.parquet").num_row_groups == 3
    ended = run(folder, "in.parquet", home)
    assert ended.returncode == 1, ended.stderr
    assert re.search(r"in\.parquet': no worker survives reading row [345]:", ended.stderr), ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_line_that_no_worker_survives_reading_is_a_row_that_could_not_be_read(folder: Path, home: Path) -> None:
    (folder / "in.csv").write_text("a\n1\n2\ndeadly\n4\n")
    ended = run(folder, "in.csv", home)
    assert ended.returncode == 4, ended.stderr
    (reject,) = map(json.loads, (folder / "out.csv.rejects.jsonl").read_text().splitlines())
    assert (reject["row"], reject["step"], reject["raw"]) == (2, "read", "deadly")
    assert (folder / "out.csv").read_text() == "a\n1\n2\n4\n"
