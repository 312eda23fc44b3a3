"""What is started ahead of an engine: it is taken, or ended, and never one that knows what is no longer so."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from conftest import MUSTER, WARM
from muster._engines.cores.starter import is_sure_to_need_workers, started_ahead, take


def children() -> set[int]:
    """List this process' children, but for those from which tests fork."""
    return {child.pid for child in psutil.Process().children()} - WARM[0].waiting


def test_an_engine_takes_what_was_started_ahead() -> None:
    before = children()
    with started_ahead("json"):
        ahead = children() - before
        zygote = take()
        assert len(ahead) == 1
        assert children() - before == ahead
    assert children() - before == ahead
    zygote.end()
    assert children() == before


def test_what_nobody_takes_ends_with_the_context() -> None:
    before = children()
    with started_ahead("json"):
        assert len(children() - before) == 1
    assert children() == before


def change_environment(monkeypatch: pytest.MonkeyPatch, _: Path) -> None:
    monkeypatch.setenv("SOMETHING", "new")


def change_folder(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.chdir(folder)


def change_path(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.syspath_prepend(folder)


@pytest.mark.parametrize("change", [change_environment, change_folder, change_path])
def test_what_was_started_before_something_changed_is_not_taken(
    change: Callable[[pytest.MonkeyPatch, Path], None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    before = children()
    with started_ahead("json"):
        (ahead,) = children() - before
        change(monkeypatch, tmp_path)
        zygote = take()
        (other,) = children() - before
        assert other != ahead
    zygote.end()
    assert children() == before


def test_the_folder_of_the_program_may_come_first_on_the_search_path_meanwhile(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    before = children()
    with started_ahead("json"):
        ahead = children() - before
        change_path(monkeypatch, tmp_path)
        zygote = take(folder=str(tmp_path))
        assert children() - before == ahead
    zygote.end()
    assert children() == before


def test_workers_of_a_file_that_defines_a_pipeline_have_loaded_their_own_before_they_look_beside_it(
    tmp_path: Path,
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "in.csv").write_text("n\n1\n")
    (tmp_path / "pyarrow.py").write_text("raise ImportError('the wrong one')\n")
    (tmp_path / "rates.py").write_text("RATE = 3\n")
    function = "def tripled(df):\n    from rates import RATE\n    return df * RATE\n"
    pipeline = "pipeline = muster.read_csv('in.csv').map_batches(tripled).write_csv('out.csv')\n"
    (tmp_path / "app.py").write_text(f"import muster\n{function}{pipeline}")
    subprocess.run([*MUSTER, "run", "../app.py", "--workers", "1", "--quiet"], cwd=elsewhere, check=True)
    assert (elsewhere / "out.csv").read_text() == "n\n3\n"


def test_what_was_started_ahead_and_died_is_not_taken() -> None:
    before = children()
    with started_ahead("json"):
        (ahead,) = children() - before
        process = psutil.Process(ahead)
        process.kill()
        process.wait()
        zygote = take()
        assert ahead not in children()
    zygote.end()
    assert children() == before


@pytest.mark.parametrize(
    ("words", "sure"),
    [
        ("run f.py:f in.csv -o out.csv", True),
        ("run f.py:f in.csv -o out.csv --workers 10", True),
        ("run f.py:f in.csv -o out.csv --workers 0", False),
        ("run f.py:f in.csv --workers=0 -o out.csv", False),
        ("run f.py:f in.csv -o out.csv --cluster mine", False),
        ("run f.py:f in.csv -o out.csv --machines=3", False),
        ("run --help", False),
        ("runs", False),
        ("", False),
    ],
)
def test_workers_are_started_ahead_only_for_a_command_that_will_have_them_work(words: str, *, sure: bool) -> None:
    assert is_sure_to_need_workers(words.split()) == sure
