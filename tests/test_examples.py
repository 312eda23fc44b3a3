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


@pytest.mark.parametrize("where", ["--workers 0", "--workers 2", "--machines 2"])
def test_the_seeds_application_goes_from_sender_to_receiver_and_ends(tmp_path: Path, where: str) -> None:
    places = {"FROM": f"{HOST}:{free_port()}", "TO": f"{HOST}:{free_port()}", "MUSTER": str(MUSTER_COMMAND)}
    done = subprocess.run(
        [EXAMPLES / "stream" / "run.sh", "250", *where.split()],
        cwd=tmp_path,
        env={**os.environ, **places},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "250 of 250 rows went through; nothing is left running" in done.stdout


def typed(folder: Path, example: str, script: str) -> str:
    """Type commands in bash while an example runs, and end it; give what they print. ``part`` waits for a part."""
    lines = (
        "part() { until [ -e $1/part-$2.csv ]; do kill -0 $stream; sleep 0.1; done; }",
        f"muster run {EXAMPLES}/stream/{example} --workers 1 & stream=$!",
        "trap 'kill $stream 2> /dev/null' EXIT",
        script,
        "muster stop > /dev/null",
        "wait $stream",
        "trap - EXIT",
    )
    done = subprocess.run(
        ["/bin/bash", "-euc", "\n".join(lines)],
        cwd=folder,
        env={**os.environ, "FROM": f"{HOST}:{free_port()}", "PATH": f"{MUSTER_COMMAND.parent}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_words_are_counted_while_lines_come(tmp_path: Path) -> None:
    said = typed(
        tmp_path,
        "word_count.py",
        """
        until echo "To be, or not to be" > /dev/tcp/${FROM/://}; do kill -0 $stream; sleep 0.1; done
        part counts 00000000
        echo be > /dev/tcp/${FROM/://}
        part counts 00000001
        cat counts/part-00000000.csv counts/part-00000001.csv
        """,
    )
    assert said == "word,count\nor,1\nnot,1\nto,2\nbe,2\nword,count\nbe,3\n"


def test_an_alert_tells_of_a_hot_minute_once_it_is_over(tmp_path: Path) -> None:
    (tmp_path / "readings").mkdir()
    (tmp_path / "readings" / "today.csv").write_text("sensor,at,celsius\n")
    said = typed(
        tmp_path,
        "alert.py",
        """
        echo "kiln,2026-03-01 12:00:05,97.5" >> readings/today.csv
        echo "oven,2026-03-01 12:00:08,60.0" >> readings/today.csv
        echo "oven,2026-03-01 12:01:10,40.0" >> readings/today.csv
        part alerts 00000000
        cat alerts/part-00000000.csv
        """,
    )
    assert said == (
        "sensor,window_start,window_end,readings,mean\nkiln,2026-03-01 12:00:00,2026-03-01 12:01:00,1,97.5\n"
    )


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


@pytest.mark.parametrize("path", sorted(EXAMPLES.rglob("*.py")), ids=lambda path: path.name)
def test_an_example_is_under_sixty_lines(path: Path) -> None:
    assert len(path.read_text().splitlines()) < 60
