"""What muster keeps is for this user alone, whatever the umask; what was asked for is as any program's output."""

import ctypes
import errno
import os
import platform
import stat
import struct
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import MUSTER, Ended, Muster
from journals import kept
from muster._files.temporary import Temporary
from muster._private.files import NotPrivateError
from muster._private.files import open_to_others as open_to_others_says
from waiting import until

SOMEBODY = 54_321
FUNCTION = """
import threading
def f(df):
    assert not (df["n"] == 13).any(), "thirteen"
    return df
def g(df):
    if (df["n"] == 999).any():
        threading.Event().wait()
    return df
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "f.py").write_text(FUNCTION)
    (tmp_path / "rows.csv").write_text("n\n" + "".join(f"{n}\n" for n in range(1000)))
    return tmp_path


def run(folder: Path, *arguments: str, umask: int = 0) -> Ended:
    done = subprocess.run(
        [*MUSTER, "run", *arguments], cwd=folder, umask=umask, capture_output=True, text=True, timeout=120, check=False
    )
    return Ended(done.returncode, done.stdout, done.stderr)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def open_to_others(*places: Path) -> list[str]:
    """List what others could read or write, of places and all that is in them."""
    found = [path for place in places for path in (place, *place.rglob("*"))]
    return [f"{mode(path):o} {path}" for path in found if mode(path) & 0o077]


@pytest.mark.parametrize(("umask", "file", "directory"), [(0o000, 0o666, 0o777), (0o027, 0o640, 0o750)])
def test_the_output_has_the_mode_that_the_umask_leaves_and_all_else_is_for_this_user_alone(
    folder: Path, home: Path, umask: int, file: int, directory: int
) -> None:
    home.rmdir()
    assert run(folder, "f.py:f", "rows.csv", "-o", "out.csv", "--workers", "2", umask=umask).code == 4
    assert mode(folder / "out.csv") == file
    assert mode(folder / "out.csv.rejects.jsonl") == 0o600
    assert run(folder, "f.py:f", "rows.csv", "-o", "out/", "--workers", "2", umask=umask).code == 4
    assert mode(folder / "out") == directory
    assert {mode(path) for path in (folder / "out").iterdir()} == {file}
    assert len(list((home / "runs").iterdir())) == 2
    assert open_to_others(home) == []


@pytest.mark.parametrize(("output", "kept"), [("out.csv", 0o600), ("out/", 0o710)])
def test_an_output_that_is_replaced_keeps_the_mode_that_its_user_gave_it(folder: Path, output: str, kept: int) -> None:
    for _ in range(2):
        assert run(folder, "f.py:f", "rows.csv", "-o", output, "--fresh").code == 4
        (folder / output).chmod(kept)
    assert run(folder, "f.py:f", "rows.csv", "-o", output, "--fresh").code == 4
    assert mode(folder / output) == kept


@pytest.fixture
def at_work(folder: Path) -> Iterator[Path]:
    """A run that is on its way, under a umask that keeps nothing from anybody."""
    command = [*MUSTER, "run", "f.py:g", "rows.csv", "-o", "out.csv", "--workers", "2", "--batch-rows", "100"]
    with subprocess.Popen(command, cwd=folder, umask=0, stderr=subprocess.DEVNULL) as running:
        try:
            journal = folder / "out.csv.muster" / "journal.jsonl"
            until(lambda: kept(journal) or running.poll() is not None)
            yield folder
        finally:
            running.kill()


def test_a_run_at_work_shows_nothing_to_others(at_work: Path, home: Path) -> None:
    assert (at_work / "out.csv.muster" / "lock").exists()
    assert open_to_others(at_work / "out.csv.muster", home) == []


def test_a_home_of_an_earlier_version_is_closed_but_not_a_folder_that_holds_more(muster: Muster, home: Path) -> None:
    (home / "runs").mkdir()
    home.chmod(0o755)
    assert muster("runs").code == 0
    assert mode(home) == 0o700
    (home / "letters").mkdir()
    home.chmod(0o755)
    (home / "runs").chmod(0o755)
    assert muster("runs").code == 0
    assert (mode(home), mode(home / "runs")) == (0o755, 0o700)
    (home / "letters").rmdir()
    home.chmod(0o1777)
    (home / "runs").chmod(0o755)
    assert muster("runs").code == 0
    assert (mode(home), mode(home / "runs")) == (0o1777, 0o700)


AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can make what belongs to somebody else")


@AS_ROOT
@pytest.mark.parametrize("output", ["out.csv", "out/"])
def test_who_puts_something_where_the_output_goes_does_not_decide_who_may_write_it(folder: Path, output: str) -> None:
    assert run(folder, "f.py:f", "rows.csv", "-o", output, umask=0o077).code == 4
    written = folder / output
    for path in (written, *written.glob("*")):
        path.chmod(0o777)
        os.chown(path, SOMEBODY, SOMEBODY)
    assert run(folder, "f.py:f", "rows.csv", "-o", output, "--fresh", umask=0o077).code == 4
    assert open_to_others(written) == []
    assert {path.stat().st_uid for path in (written, *written.glob("*"))} == {os.geteuid()}


@AS_ROOT
def test_an_output_does_not_go_through_a_link_that_somebody_else_put_where_everybody_may(folder: Path) -> None:
    shared, precious = folder / "shared", folder / "precious.csv"
    shared.mkdir()
    shared.chmod(0o1777)
    precious.write_text("mine")
    (shared / "out.csv").symlink_to(precious)
    os.chown(shared / "out.csv", SOMEBODY, SOMEBODY, follow_symlinks=False)
    end = run(folder, "f.py:f", "rows.csv", "-o", "shared/out.csv")
    assert (end.code, "is a link that user 54321 has put there" in end.err) == (2, True), end.err
    assert precious.read_text() == "mine"
    os.chown(shared / "out.csv", os.geteuid(), -1, follow_symlinks=False)
    assert run(folder, "f.py:f", "rows.csv", "-o", "shared/out.csv").code == 4
    assert precious.read_text() != "mine"


@AS_ROOT
@pytest.mark.parametrize("verb", [("report",), ("generate", "--rows", "2")])
def test_a_file_that_is_named_goes_through_no_link_of_somebody_elses_and_appears_whole(
    folder: Path, muster: Muster, verb: tuple[str, ...]
) -> None:
    assert muster("run", "f.py:f", "rows.csv", "-o", "out.csv", "--workers", "0").code == 4
    shared, precious = folder / "shared", folder / "precious"
    shared.mkdir()
    shared.chmod(0o1777)
    precious.touch()  # which either verb would replace
    link = shared / "link"
    link.symlink_to(precious)
    os.chown(link, SOMEBODY, SOMEBODY, follow_symlinks=False)
    (shared / "file.unfinished").symlink_to(precious)
    end = muster(*verb, "-o", "shared/link")
    assert (end.code, "is a link that user 54321 has put there" in end.err) == (2, True), end.err
    assert muster(*verb, "-o", "shared/file").code == 0
    assert precious.read_text() == ""
    seen_before = (shared / "file").stat().st_ino
    os.chown(link, os.geteuid(), -1, follow_symlinks=False)
    with (shared / "file").open() as old:
        text = old.read()
        assert [muster(*verb, "-o", f"shared/{name}").code for name in ("file", "link")] == [0, 0]
        assert (old.read(), os.fstat(old.fileno()).st_ino) == ("", seen_before)  # no byte of what stood there changed
    assert (shared / "file").stat().st_ino != seen_before
    assert (link.is_symlink(), len(precious.read_text()) > 0, len(text) > 0) == (True, True, True)
    assert sorted(path.name for path in shared.iterdir()) == ["file", "file.unfinished", "link"]


@pytest.mark.parametrize(("verb", "kept"), [(("report",), 0o600), (("generate", "--rows", "2"), 0o666)])
def test_a_report_is_for_this_user_alone_and_keeps_the_mode_that_it_is_given(
    folder: Path, verb: tuple[str, ...], kept: int
) -> None:
    assert run(folder, "f.py:f", "rows.csv", "-o", "out.csv", "--workers", "0").code == 4
    command = [*MUSTER, *verb, "-o", "named"]
    subprocess.run(command, cwd=folder, umask=0, check=True, timeout=60, capture_output=True)
    assert mode(folder / "named") == kept
    (folder / "named").chmod(0o640)
    subprocess.run(command, cwd=folder, umask=0, check=True, timeout=60, capture_output=True)
    assert mode(folder / "named") == 0o640


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give a file to any group")
def test_a_report_keeps_the_group_that_may_read_it(folder: Path) -> None:
    assert run(folder, "f.py:f", "rows.csv", "-o", "out.csv", "--workers", "0").code == 4
    report, named = [*MUSTER, "report", "-o", "named"], folder / "named"
    subprocess.run(report, cwd=folder, check=True, timeout=60, capture_output=True)
    os.chown(named, -1, 65534)
    named.chmod(0o640)
    subprocess.run(report, cwd=folder, check=True, timeout=60, capture_output=True)
    assert (named.stat().st_gid, mode(named)) == (65534, 0o640)


@pytest.fixture
def within_reach() -> Iterator[Path]:
    """A folder that others can come to, which those that pytest makes are not."""
    with tempfile.TemporaryDirectory() as found:
        Path(found).chmod(0o755)
        yield Path(found)


def test_nothing_is_kept_where_others_could_put_something_else_in_its_place(
    folder: Path, within_reach: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = within_reach / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    monkeypatch.setenv("MUSTER_HOME", str(shared / "home"))
    end = run(folder, "f.py:f", "rows.csv", "-o", "out.csv")
    assert (end.code, f"others may write {str(shared)!r}" in end.err) == (3, True), end.err
    assert list(shared.iterdir()) == []
    shared.chmod(0o1777)
    assert run(folder, "f.py:f", "rows.csv", "-o", "out.csv").code == 4
    shared.chmod(0o777)
    with pytest.raises(NotPrivateError, match="Or set TMPDIR to a folder of your own"):
        Temporary(shared)
    within_reach.chmod(0o700)
    Temporary(shared).remove()


@AS_ROOT
def test_a_folder_is_open_to_others_where_a_group_may_write_anything_that_it_is_in(within_reach: Path) -> None:
    team, own = within_reach / "team", within_reach / "team" / "own"
    own.mkdir(parents=True)
    assert open_to_others_says(own) == ""
    os.chown(team, -1, SOMEBODY)
    team.chmod(0o2775)
    assert f"others may write {str(team)!r}" in open_to_others_says(own)
    team.chmod(0o3775)
    assert open_to_others_says(own) == ""


@AS_ROOT
def test_what_somebody_else_has_put_in_the_way_is_refused_and_nothing_is_written_there(
    folder: Path, home: Path
) -> None:
    work = folder / "out.csv.muster"
    command = ("f.py:f", "rows.csv", "-o", "out.csv")
    work.mkdir(mode=0o777)
    os.chown(work, SOMEBODY, SOMEBODY)
    end = run(folder, *command)
    assert (end.code, f"{str(work)!r} belongs to user {SOMEBODY}" in end.err) == (2, True), end.err
    assert "choose another output" in end.err
    assert list(work.iterdir()) == []
    work.rmdir()
    (folder / "elsewhere").mkdir()
    work.symlink_to(folder / "elsewhere")
    end = run(folder, *command)
    assert (end.code, f"{str(work)!r} is a link" in end.err) == (2, True), end.err
    assert list((folder / "elsewhere").iterdir()) == []
    work.unlink()
    os.chown(home, SOMEBODY, SOMEBODY)
    end = run(folder, *command)
    assert (end.code, "set MUSTER_HOME to another folder" in end.err) == (3, True), end.err
    assert list(home.iterdir()) == []


def test_a_home_may_be_reached_by_a_link_of_ones_own(
    folder: Path, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "link").symlink_to(home)
    monkeypatch.setenv("MUSTER_HOME", str(tmp_path / "link"))
    assert run(folder, "f.py:f", "rows.csv", "-o", "out.csv").code == 4
    assert list((home / "runs").iterdir())


def without_privileges() -> None:
    """Have root, too, be told that it may not look into a folder: a container's root may be so."""
    libc = ctypes.CDLL(None)
    for of_root in (1, 2):  # to open any file, and to search any folder
        libc.prctl(24, of_root, 0, 0, 0)  # drop it from what a program may be given


def test_a_run_needs_no_home_that_can_be_looked_into(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0)
    monkeypatch.setenv("MUSTER_HOME", str(closed / "home"))
    command = [*MUSTER, "run", "f.py:f", "rows.csv", "-o", "out.csv", "--workers", "0"]
    done = subprocess.run(
        command, cwd=folder, preexec_fn=without_privileges, capture_output=True, text=True, timeout=120, check=False
    )
    closed.chmod(0o700)
    assert done.returncode == 4, done.stderr
    assert "could not be kept" in done.stderr
    assert (folder / "out.csv").exists()


CALLS = {
    "x86_64": {"chmod": (90, 91, 268), "flock": (73,)},
    "aarch64": {"chmod": (52, 53), "flock": (32,)},
}.get(platform.machine(), {})
needs_numbers = pytest.mark.skipif(not CALLS, reason="numbers of system calls")


def refuse(call: str, number: int) -> None:
    """Have the kernel refuse this process a call, as it does on some file systems."""
    libc, refused = ctypes.CDLL(None), CALLS[call]
    steps = [(0x20, 0, 0, 0)]  # take the number of what is asked for; go to the end if it is one of these
    steps += [(0x15, len(refused) - at, 0, one) for at, one in enumerate(refused)]
    steps += [(0x06, 0, 0, 0x7FFF0000), (0x06, 0, 0, 0x00050000 | number)]
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in steps))
    program = struct.pack("HxxxxxxP", len(steps), ctypes.addressof(code))
    assert libc.prctl(38, 1, 0, 0, 0) == 0  # no new privileges, which is what the next needs
    assert libc.prctl(22, 2, program, 0, 0) == 0


def run_refused(folder: Path, call: str, number: int) -> Ended:
    done = subprocess.run(
        [*MUSTER, "run", "f.py:f", "rows.csv", "-o", "out.csv", "--workers", "0"],
        cwd=folder,
        preexec_fn=lambda: refuse(call, number),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return Ended(done.returncode, done.stdout, done.stderr)


@needs_numbers
def test_an_output_may_lie_where_there_are_no_modes(folder: Path) -> None:
    (folder / "out.csv.muster").mkdir(mode=0o755)
    end = run_refused(folder, "chmod", errno.EPERM)
    assert end.code == 4, end.err
    assert (folder / "out.csv").read_text().startswith("n\n0\n")
    assert not (folder / "out.csv.muster").exists()


@needs_numbers
def test_where_there_are_no_locks_nobody_else_is_blamed_and_nothing_is_left(folder: Path) -> None:
    end = run_refused(folder, "flock", errno.ENOLCK)
    assert (end.code, "Another muster" in end.err, "Cannot lock" in end.err) == (2, False, True), end.err
    assert not list(folder.glob("out.csv*"))


HOMES = {
    "file": "Nothing can be kept in '{home}/{below}', where muster keeps what it knows of runs and clusters: Not a"
    " directory. Mend that, or set MUSTER_HOME to another folder.",
    "file/below": "'{home}' does not exist and cannot be made (File exists). Set MUSTER_HOME to a folder of this"
    " user's.",
    "/proc/none": "'{home}' does not exist and cannot be made (No such file or directory). Set MUSTER_HOME to a folder"
    " of this user's.",
    "n" * 300: "'{home}' cannot be looked at: File name too long. Set MUSTER_HOME to another folder.",
}


@pytest.mark.parametrize("name", HOMES)
@pytest.mark.parametrize(
    ("command", "below"),
    [
        (("run", "f.py:f", "in.csv", "-o", "s3://no-bucket/out.csv", "--workers", "0"), "work"),
        (("run", "f.py:f", "in.csv", "-o", "out.csv", "--workers", "0"), "runs"),
    ],
)
def test_a_folder_of_musters_own_that_cannot_be_is_said_once_with_what_to_type(  # noqa: PLR0913, PLR0917 (a row of the table)
    tmp_path: Path, muster: Muster, monkeypatch: pytest.MonkeyPatch, name: str, command: tuple[str, ...], below: str
) -> None:
    home = os.path.join(tmp_path, name)  # noqa: PTH118 (as text)
    monkeypatch.setenv("MUSTER_HOME", home)
    (tmp_path / "file").touch()
    (tmp_path / "in.csv").write_text("a\n1\n")
    (tmp_path / "f.py").write_text("def f(df):\n    return df\n")
    end = muster(*command)
    goes_on = below == "runs" and len(name) < 300
    assert end.code == (0 if goes_on else 3), end
    said = HOMES[name].format(home=home, below=below)
    (line,) = [line for line in end.err.splitlines() if said in line]
    assert line.startswith(f"muster: {'the journal of run' if goes_on else said}")
    assert ("None" in end.err, end.err.count("MUSTER_HOME")) == (False, 1)


def test_a_folder_of_a_cluster_that_cannot_be_made_is_said_likewise(
    tmp_path: Path, muster: Muster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MUSTER_HOME", "/proc/none")
    end = muster("up", "--machines", "1")
    assert end.code == 3
    assert end.err == f"muster: {HOMES['/proc/none'].format(home='/proc/none')}\n"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["gone", "file/below"])
def test_a_home_that_there_is_not_is_told_and_not_made_and_the_run_goes_on(
    tmp_path: Path, muster: Muster, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.delenv("MUSTER_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / name))
    (tmp_path / "file").touch()
    (tmp_path / "in.csv").write_text("a\n1\n")
    (tmp_path / "f.py").write_text("def f(df):\n    return df\n")
    end = muster("run", "f.py:f", "in.csv", "-o", "out.csv", "--workers", "0")
    assert end.code == 0, end.err
    assert f"'{tmp_path / name}' does not exist, which HOME names. Set MUSTER_HOME to a folder" in end.err
    assert not (tmp_path / "gone").exists()
    monkeypatch.setenv("MUSTER_HOME", str(tmp_path / "file" / "kept"))
    end = muster("run", "f.py:f", "in.csv", "-o", "other.csv", "--workers", "0")
    assert "kept' does not exist and cannot be made (File exists). Set MUSTER_HOME to a folder" in end.err
