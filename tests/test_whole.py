"""Files that appear whole, and locks: whoever is killed at whichever step, and whatever runs full."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from disks import small
from muster._files import locks, notes, whole
from waiting import until

DYING = """
import json, os, signal, sys
from pathlib import Path
from muster._files import whole

what, place = sys.argv[1], Path(sys.argv[2])
path = place / "note"
OLD, NEW = b"old" * 50_000, b"new" * 100_000

def do():
    if what == "put":
        whole.put(place / "complete", path)
    else:
        whole.write(path, NEW, durable=what == "durable")

def die_at(step):
    def trace(frame, event, _):
        nonlocal step
        if frame.f_code.co_filename == whole.__file__:
            step -= event == "line"
            if not step:
                os.kill(os.getpid(), signal.SIGKILL)
            return trace
    return trace

def there():
    return {one.name: one.read_bytes().replace(OLD, b"old").replace(NEW, b"new").decode() for one in place.iterdir()}

seen, step, killed = [], 0, True
while killed:
    step += 1
    for one in place.iterdir():
        one.unlink()
    if step % 2:
        path.write_bytes(OLD)
    if what == "put":
        (place / "complete").write_bytes(NEW)
    child = os.fork()
    if not child:
        sys.settrace(die_at(step))
        do()
        sys.settrace(None)
        os._exit(0)
    killed = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    found = there()
    if what != "put":
        do()
    seen.append([bool(step % 2), killed, found.get("note"), there()])
print(json.dumps(seen))
"""
"""Write over a file, or where none is, in processes that are killed at one line each; then write once more."""


@pytest.mark.parametrize("what", ["write", "durable", "put"])
def test_who_is_killed_at_any_step_leaves_the_file_before_or_the_new_one_and_nothing_that_hinders_the_next(
    tmp_path: Path, what: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", DYING, what, str(tmp_path)], capture_output=True, text=True, check=True, timeout=120
    )
    seen = json.loads(done.stdout)
    assert len(seen) > {"write": 15, "durable": 20, "put": 8}[what]
    assert {killed for _, killed, *_ in seen[:-1]} == {True}
    for had_one, _, found, after in seen:
        assert found in ("old" if had_one else None, "new")
        if what != "put":
            assert after == {"note": "new"}
    assert {found for _, _, found, _ in seen} == {"old", None, "new"}


CALLS = """
import sys
from pathlib import Path
from muster._files import whole

place = Path(sys.argv[1])
calls = []
sys.setprofile(lambda _, event, called: calls.append(called.__name__) if event == "c_call" else None)
whole.write(place / "note", "new", durable=sys.argv[2] == "True")
sys.setprofile(None)
print(*(call for call in calls if call in {"flush", "fsync", "rename", "replace"}))
"""


@pytest.mark.parametrize(("durable", "steps"), [(True, "flush fsync replace fsync"), (False, "flush replace")])
def test_what_is_durable_is_on_the_disk_before_its_name_and_its_name_before_the_next_step(
    tmp_path: Path, durable: str, steps: str
) -> None:
    command = [sys.executable, "-c", CALLS, str(tmp_path), str(durable)]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.split() == steps.split()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    with small(tmp_path / "small") as folder:
        yield folder


def test_where_the_disk_is_full_the_file_before_stays_and_nothing_is_left_beside_it(small_disk: Path) -> None:
    note = small_disk / "note"
    whole.write(note, b"old" * 100_000, durable=True)
    for durable in (False, True):
        with pytest.raises(OSError, match="No space left"):
            whole.write(note, b"new" * 1_000_000, durable=durable)
        assert note.read_bytes() == b"old" * 100_000
        assert list(small_disk.iterdir()) == [note]
    whole.write(note, b"new" * 100_000)
    assert note.read_bytes() == b"new" * 100_000


def test_who_is_interrupted_once_the_file_has_its_name_takes_nothing_from_the_next_who_writes(tmp_path: Path) -> None:
    note, unfinished = tmp_path / "note", tmp_path / "note.unfinished"

    def interrupt(_: object, event: str, called: object) -> None:
        if event == "c_return" and called is os.replace:
            unfinished.write_text("another's")
            raise KeyboardInterrupt

    before = sys.getprofile()
    sys.setprofile(interrupt)
    try:
        with pytest.raises(KeyboardInterrupt):
            whole.write(note, "new")
    finally:
        sys.setprofile(before)
    assert (note.read_text(), unfinished.read_text()) == ("new", "another's")


WRITING = """
import sys
from pathlib import Path
from muster._files import whole

path, letter = Path(sys.argv[1]), sys.argv[2]
for size in range(1, 301):
    whole.write(path, letter * size * 500)
    found = path.read_text()
    assert set(found) <= {"a", "b", "c"} and len(set(found)) == 1 and not len(found) % 500, (len(found), set(found))
"""


def test_several_that_write_one_file_at_a_time_never_mix_what_they_write(tmp_path: Path) -> None:
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITING, str(tmp_path / "note"), letter], stderr=subprocess.PIPE)
        for letter in "abc"
    ]
    assert [writer.communicate(timeout=120)[1].decode() for writer in writers] == ["", "", ""]
    assert (tmp_path / "note").stat().st_size == 300 * 500
    assert [path.name for path in tmp_path.iterdir()] == ["note"]


def test_a_file_is_for_this_user_alone_also_where_one_that_was_open_to_others_lies_unfinished(tmp_path: Path) -> None:
    left = tmp_path / "note.unfinished"
    left.write_text("left by one that was killed, and longer than what comes")
    left.chmod(0o666)
    whole.write(tmp_path / "note", "short")
    assert ((tmp_path / "note").read_text(), (tmp_path / "note").stat().st_mode & 0o777) == ("short", 0o600)
    assert not left.exists()


def test_what_fails_in_the_middle_has_changed_nothing(tmp_path: Path) -> None:
    def fails() -> None:
        with whole.replacing(tmp_path / "note") as file:
            file.write(b"new")
            raise ZeroDivisionError

    whole.write(tmp_path / "note", "old")
    with pytest.raises(ZeroDivisionError):
        fails()
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("note", "old")]


@pytest.mark.parametrize("text", ["", '{"a": 1', "[1]", "null", "\xff"])
def test_a_note_that_is_damaged_is_none(tmp_path: Path, text: str) -> None:
    path = tmp_path / "note"
    assert notes.read(path) is None
    notes.write(path, {"a": 1})
    assert notes.read(path) == {"a": 1}
    path.write_text(text, encoding="latin-1")
    assert notes.read(path) is None


HOLDING = """
import os, sys
from muster._files.locks import lock

opened = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
assert lock(opened)
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that has the lock of a file."""
    command = [sys.executable, "-c", HOLDING, str(tmp_path / "lock")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Callable[[], int]]:
    """Open the file that is locked; each time it is another who asks."""
    descriptors: list[int] = []

    def again() -> int:
        descriptors.append(os.open(tmp_path / "lock", os.O_RDWR | os.O_CREAT))
        return descriptors[-1]

    yield again
    for descriptor in descriptors:
        os.close(descriptor)


def test_a_lock_goes_with_its_process_however_that_ends(
    holder: subprocess.Popen[str], opened: Callable[[], int]
) -> None:
    mine = opened()
    assert not locks.lock(mine)
    assert not locks.lock(mine, shared=True)
    holder.send_signal(signal.SIGKILL)
    until(lambda: locks.lock(mine))
    assert not locks.lock(opened())
    locks.unlock(mine)
    assert locks.lock(opened(), shared=True)
    assert locks.lock(opened(), shared=True)
    assert not locks.lock(mine)


def test_who_waits_for_a_lock_has_it_once_the_other_is_gone(
    holder: subprocess.Popen[str], opened: Callable[[], int]
) -> None:
    mine = opened()
    holder.send_signal(signal.SIGKILL)
    assert locks.lock(mine, waits=True)


def test_a_file_that_was_removed_or_replaced_before_it_was_locked_is_known(
    tmp_path: Path, opened: Callable[[], int]
) -> None:
    mine, path = opened(), tmp_path / "lock"
    assert locks.is_still(path, mine)
    path.unlink()
    assert not locks.is_still(path, mine)
    opened()
    assert not locks.is_still(path, mine)
