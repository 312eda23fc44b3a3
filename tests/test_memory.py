"""Promise 6: memory is bounded by workers and parts, not by the input."""

import gzip
import os
import shutil
import subprocess
from pathlib import Path

import psutil
import pytest

from conftest import MUSTER
from muster._api.generate import generate

MEGABYTE = 1 << 20


def peaks(folder: Path, rows: int, *, name: str) -> tuple[int, int]:
    """Run the cheap function; tell the peak memory of muster's own process, and of its largest worker, in bytes."""
    generate(rows, folder / "rows.csv")
    if name.endswith(".gz"):
        with (folder / "rows.csv").open("rb") as plain, gzip.open(folder / name, "wb", compresslevel=1) as packed:
            shutil.copyfileobj(plain, packed)
    (folder / "same.py").write_text("def same(df):\n    return df\n")
    command = [*MUSTER, "run", "same.py:same", name, "-o", "out.csv", "--workers", "2", "--quiet"]
    process = psutil.Popen(command, cwd=folder, env=dict(os.environ))
    own, workers = 0, 0
    while True:
        try:
            own = max(own, process.memory_info().rss)
            workers = max([workers, *(child.memory_info().rss for child in process.children(recursive=True))])
        except psutil.NoSuchProcess:
            pass
        try:
            assert process.wait(timeout=0.02) == 0
        except (psutil.TimeoutExpired, subprocess.TimeoutExpired):
            continue
        return own, workers


@pytest.mark.parametrize("name", ["rows.csv", "rows.csv.gz"])
def test_four_times_the_input_takes_no_more_memory(tmp_path: Path, name: str) -> None:
    once, four_times = peaks(tmp_path, 200_000, name=name), peaks(tmp_path, 800_000, name=name)
    assert four_times[0] < 200 * MEGABYTE
    # The input grows by 78 MB, and what it is parsed into by more: a process that held it would show.
    assert four_times[0] - once[0] < 25 * MEGABYTE
    assert four_times[1] - once[1] < 60 * MEGABYTE
