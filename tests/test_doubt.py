"""A function that ends every process that it runs in is told so after a few deaths; rows that do so are rejected."""

from pathlib import Path

import pytest

from conftest import Muster
from muster._progress.actions import Blame
from test_progress import Run, World, line_of_parts, progress_over, slots, submitted


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize(("parts", "rows"), [(400, 100), (1, 500), (1, 3)])
def test_a_function_that_kills_on_every_row_is_blamed_after_a_few_deaths(parts: int, rows: int, workers: int) -> None:
    progress = progress_over(line_of_parts(parts, rows=rows), workers=workers)
    tried = []
    for _ in range(40):
        actions = progress.submit(slots(workers, 0))
        if any(isinstance(action, Blame) for action in actions):
            break
        for task in submitted(actions):
            tried.append(task)
            progress.lost(task.number, "it died", began=True)
    blame = actions[-1]
    assert isinstance(blame, Blame)
    assert (blame.fault.error, blame.fault.rows) == ("it died", 6 if parts > 1 else 3)
    assert len(tried) <= 16 * workers
    assert max(task.first for task in tried) >= 0.9 * (parts - 1)


@pytest.mark.parametrize("killed", [range(40), range(380), range(0, 400, 2), [0]])
def test_rows_that_kill_are_rejected_alone_however_many_where_others_are_good(killed: range | list[int]) -> None:
    run = Run(World(line_of_parts(40, rows=10), poison=frozenset((0, row) for row in killed)))
    run.to_the_end()
    run.assert_ended_well()


def test_a_function_that_kills_its_worker_stops_the_run_by_name(tmp_path: Path, muster: Muster) -> None:
    (tmp_path / "f.py").write_text("import os\ndef leave(df):\n    os._exit(7)\n")
    (tmp_path / "in.csv").write_text("n\n" + "".join(f"{n}\n" for n in range(2000)))
    end = muster("run", "f.py:leave", "in.csv", "-o", "out.csv", "--workers", "2")
    assert end.code == 1
    assert "'leave' fails on all" in end.err
    assert "the worker exited by itself with status 7" in end.err
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != "__pycache__") == ["f.py", "in.csv"]


def test_a_function_that_closes_what_it_did_not_open_is_told_so_without_a_traceback(
    tmp_path: Path, muster: Muster
) -> None:
    (tmp_path / "f.py").write_text("import os\ndef closes(df):\n    os.closerange(3, 256)\n    return df\n")
    (tmp_path / "in.csv").write_text("n\n" + "".join(f"{n}\n" for n in range(2000)))
    end = muster("run", "f.py:closes", "in.csv", "-o", "out.csv", "--workers", "2")
    assert end.code == 1
    assert "the function closed files that it had not opened (os.close)" in end.err
    assert "Traceback" not in end.err


def test_a_child_that_a_function_forks_and_lets_return_changes_no_row_and_is_told_once(
    tmp_path: Path, muster: Muster
) -> None:
    """The worker waits for its child, so that what that prints is heard before the run ends."""
    (tmp_path / "f.py").write_text(
        "import os\n\ndef forks(df):\n    if child := os.fork():\n        os.waitpid(child, 0)\n    return df\n"
    )
    (tmp_path / "in.csv").write_text("n\n" + "".join(f"{n}\n" for n in range(2000)))
    command = ("run", "f.py:forks", "in.csv", "-o", "out.csv", "--workers", "2", "--batch-rows", "200")
    end = muster(*command)
    assert end.code == 0, end.err
    assert (tmp_path / "out.csv").read_bytes() == (tmp_path / "in.csv").read_bytes()
    assert end.err.count("A child that the function has forked came back from it") == 1
    assert "Traceback" not in end.err
