"""Temporary folders that end with their process, also where it is killed."""

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

import waiting
from conftest import Muster
from muster._files.temporary import Temporary, sweep, temporary

OWNER = (
    "import sys; from muster._files.temporary import Temporary; print(Temporary().path, flush=True); sys.stdin.read()"
)


def owning(place: Path) -> "tuple[subprocess.Popen[str], Path]":
    process = subprocess.Popen(
        [sys.executable, "-c", OWNER],
        env={**os.environ, "TMPDIR": str(place)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    return process, Path(process.stdout.readline().strip())


def test_a_folder_is_this_users_alone_and_goes_when_it_is_not_needed_any_more(tmp_path: Path) -> None:
    made = Temporary(tmp_path)
    assert made.path.stat().st_mode & 0o777 == 0o700
    (made.path / "file").touch()
    for _ in range(2):
        made.remove()
    assert not list(tmp_path.iterdir())


def test_what_a_killed_process_has_left_is_removed_by_the_next_and_what_a_living_one_has_is_not(
    tmp_path: Path,
) -> None:
    process, folder = owning(tmp_path)
    (folder / "deep").mkdir()
    (folder / "deep" / "file").touch()
    other = tmp_path / "muster-other"
    other.mkdir()
    sweep(tmp_path)
    assert (folder / "deep" / "file").exists()
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert folder.exists()
    with temporary() as mine:
        assert mine.parent != tmp_path
    later, its = owning(tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted([other, its])
    later.communicate()


def test_links_are_left_alone_and_not_followed(tmp_path: Path) -> None:
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "file").touch()
    (tmp_path / "muster-run-link").symlink_to(tmp_path / "precious")
    sweep(tmp_path)
    assert (tmp_path / "precious" / "file").exists()


def test_folders_in_it_that_their_owner_may_not_write_or_read_go_too() -> None:
    text = """
import os, sys
from pathlib import Path
from muster._files.temporary import Temporary
place = Path(sys.argv[1])
if os.geteuid() == 0:  # whom no mode keeps from anything
    place.chmod(0o1777)
    os.seteuid(54_321)
made = Temporary(place)
for mode in (0o555, 0):
    (made.path / f"{mode:o}" / "deep").mkdir(parents=True)
    (made.path / f"{mode:o}" / "deep" / "file").touch()
    (made.path / f"{mode:o}" / "deep").chmod(mode)
    (made.path / f"{mode:o}").chmod(mode)
made.remove()
"""
    with tempfile.TemporaryDirectory() as place:
        subprocess.run([sys.executable, "-c", text, place], check=True, timeout=30)
        assert not list(Path(place).iterdir())


HOLDS_MUCH = """
import sys, threading, numpy, muster
array = numpy.arange(1 << 18)
def f(df):
    open("began", "w").close()
    threading.Event().wait()
    return df + array[0]
muster.run(f, "in.csv", "held.csv", workers=1, progress=False)
"""


def test_large_objects_of_a_run_that_was_killed_go_with_any_later_run_of_this_user(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, muster: Muster
) -> None:
    temporary_files = tmp_path_factory.mktemp("temporary")
    monkeypatch.setenv("TMPDIR", str(temporary_files))
    (tmp_path / "in.csv").write_text("a\n1\n")
    (tmp_path / "script.py").write_text(HOLDS_MUCH)
    (tmp_path / "f.py").write_text("def same(df): return df")
    with subprocess.Popen([sys.executable, "script.py"], cwd=tmp_path) as process:
        waiting.until((tmp_path / "began").exists)
        (held,) = temporary_files.glob("muster-run-*")
        assert held.stat().st_mode & 0o777 == 0o700
        process.kill()
    assert held.exists()
    assert muster("run", "f.py:same", "in.csv", "-o", "out.csv", "--workers", "1").code == 0
    assert not held.exists()
