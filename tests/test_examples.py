"""The examples run, as they stand in the folder, and do what they say."""

import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from conftest import Muster
from ends import HOST
from test_listen import free_port

EXAMPLES = Path(__file__).parents[1] / "examples"
MUSTER_COMMAND = Path(sys.executable).parent / "muster"


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("score.py", "20,000 rows scored"),
        ("clean_text.py", "1,500 rows cleaned; 500 rejected"),
        ("old_pipeline.py", "The same bytes."),
        ("sessions.py", "3,000 clicks in 1,110 sessions"),  # as gaps between a user's clicks count them
        ("row_buffer.py", "2,350 readings in 24 packs, the last of 50; 25 are unusual"),
    ],
)
def test_an_example_runs_and_says_what_it_did(tmp_path: Path, name: str, says: str) -> None:
    done = subprocess.run(
        [sys.executable, EXAMPLES / name], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert says in done.stdout


@pytest.mark.parametrize("workers", ["0", "2"])
def test_the_seeds_application_goes_from_sender_to_receiver_and_ends(tmp_path: Path, workers: str) -> None:
    places = {"FROM": f"{HOST}:{free_port()}", "TO": f"{HOST}:{free_port()}", "MUSTER": str(MUSTER_COMMAND)}
    done = subprocess.run(
        [EXAMPLES / "stream" / "run.sh", "250", workers],
        cwd=tmp_path,
        env={**os.environ, **places},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "250 of 250 rows went through; nothing is left running" in done.stdout


def test_the_seeds_classifier_gives_the_same_labels_on_one_process_and_on_many(muster: Muster, tmp_path: Path) -> None:
    target = f"{EXAMPLES / 'classify.py'}:classify"
    assert muster("generate", "--rows", "400", "-o", "rows.csv").code == 0
    for workers in ("0", "2"):
        ended = muster("run", target, "rows.csv", "-o", f"out{workers}.csv", "--dtype", "str", "--workers", workers)
        assert ended.code == 0, ended.err
    ended = muster("run", target, "rows.csv", "-o", "batched.csv", "--dtype", "str", "--batch-rows", "100")
    assert ended.code == 0, ended.err
    assert (tmp_path / "out0.csv").read_bytes() == (tmp_path / "out2.csv").read_bytes()
    assert (tmp_path / "out0.csv").read_bytes() == (tmp_path / "batched.csv").read_bytes()
    assert pd.read_csv(tmp_path / "out0.csv")["CLASSIFICATION"].nunique() > 100


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.name)
def test_an_example_is_under_sixty_lines(path: Path) -> None:
    assert len(path.read_text().splitlines()) < 60
