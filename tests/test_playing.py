"""The folder of a playbook at work: nobody takes it for left while it is used, and nothing of it stays that is left."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from muster._clouds.over_ssh.playing import folder_of_a_playbook, tidy
from muster._clouds.there.processes import UNREADABLE, birth_of, is_alive
from waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator

PLAYS = """
import os, sys
from pathlib import Path
from muster._clouds.over_ssh.playing import folder_of_a_playbook
with folder_of_a_playbook(Path(sys.argv[1])) as folder:
    print(folder, flush=True)
    if sys.argv[2] == "forks" and os.fork():
        os._exit(0)
    sys.stdin.read()
"""
LOOKS = """
import resource, sys
from muster._clouds.there.processes import birth_of, is_alive
pid, born = int(sys.argv[1]), sys.argv[2]
resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))
print(birth_of(pid), is_alive(pid, born))
"""


@pytest.fixture(params=["plays", "forks"])
def playing(request: pytest.FixtureRequest, tmp_path: Path) -> "Iterator[tuple[subprocess.Popen[str], Path]]":
    """A process that uses a folder, and the folder; it may have begun as another process, which has ended."""
    command = [sys.executable, "-c", PLAYS, str(tmp_path), request.param]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        yield process, Path(process.stdout.readline().strip())


def test_a_folder_that_is_used_stays_also_where_the_process_in_its_name_is_gone_or_cannot_be_seen(
    playing: "tuple[subprocess.Popen[str], Path]", tmp_path: Path
) -> None:
    process, folder = playing
    rest = folder.name.removeprefix("playing-").split("-", 1)[1]
    unseen = folder.rename(folder.with_name(f"playing-{2**22 + 1}-{rest}"))  # no process has such an id
    tidy(tmp_path)
    assert unseen.is_dir()
    assert process.stdin
    process.stdin.close()
    until(lambda: left(tmp_path) == [])


def left(below: Path) -> list[Path]:
    tidy(below)
    return list(below.glob("playing-*"))


def test_a_folder_goes_with_who_uses_it_and_what_was_killed_leaves_goes_with_the_next_command(tmp_path: Path) -> None:
    with folder_of_a_playbook(tmp_path) as folder:
        (folder / "secret").touch()
        assert left(tmp_path) == [folder]
    assert left(tmp_path) == []
    command = [sys.executable, "-c", PLAYS, str(tmp_path), "plays"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        folder = Path(process.stdout.readline().strip())
        process.send_signal(signal.SIGKILL)
    assert folder.is_dir()
    earlier = tmp_path / f"playing-{2**22 + 1}-{folder.name.split('-')[2]}-x"  # of a muster that locked nothing
    earlier.mkdir()
    (tmp_path / "playing-1-0000-elsewhere").mkdir()
    assert left(tmp_path) == [tmp_path / "playing-1-0000-elsewhere"]


def test_a_process_that_cannot_be_looked_at_does_not_count_as_gone() -> None:
    born = birth_of(os.getpid())
    assert born
    command = [sys.executable, "-c", LOOKS, str(os.getpid()), born]
    seen = subprocess.run(command, capture_output=True, text=True, check=True)
    assert seen.stdout.split() == [UNREADABLE, "True"]
    assert not is_alive(2**22 + 1, UNREADABLE)
    assert not is_alive(os.getpid(), "another")
