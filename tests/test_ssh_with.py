"""What a function finds around it is the same on every engine, hosts that SSH reaches among them; or it is told."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import MUSTER, Ended, Muster, require_hosts
from hosts import BALLAST, Hosts, make_hosts
from test_ssh_cluster import write_file

pytestmark = pytest.mark.waits("long")
ROWS = "n\n" + "".join(f"{n}\n" for n in range(40))
LARGE = 64 << 20
ROOM = 8 << 20
"""Bytes that are free on a full disk; what earlier runs had sent makes way for more."""


@pytest.fixture
def probing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a function that tells what it sees, in surroundings that are not those of a machine."""
    for name, text in {
        "code/beside.txt": "beside",
        "notes/a.txt": "a",
        "notes/.b": "b",
        "elsewhere/more.py": "",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    probe = (Path(__file__).parent / "probe.py").read_text()
    (tmp_path / "code" / "probe.py").write_text(
        probe.replace("import pandas as pd\n", "import more\nimport pandas as pd\n")
    )
    (tmp_path / "rows.csv").write_text(ROWS)
    os.utime(tmp_path / "notes" / "a.txt", (1_600_000_000, 1_600_000_000))
    for name, value in {
        "NOTES": str(tmp_path / "notes" / "a.txt"),
        "SENT": "sent",
        "PYTHONPATH": str(tmp_path / "elsewhere"),
        "PYTHONHASHSEED": "7",
        "OMP_NUM_THREADS": "3",
        "TZ": "Asia/Kathmandu",
        "LANG": "C.UTF-8",
        "LC_ALL": "C.UTF-8",
        "PYTHONOPTIMIZE": "1",
    }.items():
        monkeypatch.setenv(name, value)
    return tmp_path


def ran(folder: Path, name: str, *options: str) -> Ended:
    command = [*MUSTER, "run", "code/probe.py:f", "rows.csv", "-o", name, "--env", "SENT,NOTES", "--with", "notes"]
    done = subprocess.run(
        [*command, *options],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        umask=0o027,
    )
    return Ended(done.returncode, done.stdout, done.stderr)


def probed(folder: Path, name: str, *options: str) -> str:
    end = ran(folder, name, *options)
    assert end.code == 0, end.err
    return (folder / name).read_text()


@pytest.fixture
def hosts() -> Iterator[Hosts]:
    require_hosts()
    with make_hosts(2) as made:
        yield made


def test_a_function_sees_the_same_on_hosts_or_the_run_says_what_to_type(
    probing: Path, muster: Muster, hosts: Hosts, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = probing
    try:
        end = muster("up", "far", "--machines", "2", "--on", write_file(folder, hosts))
        assert end.code == 0, end.err
        expected = probed(folder, "cores.csv", "--workers", "1")
        assert probed(folder, "inline.csv", "--workers", "0") == expected
        (folder / "large.bin").write_bytes(os.urandom(LARGE))
        end = ran(folder, "far.csv", "--cluster", "far", "--with", "large.bin")
        assert (end.code, "sending large.bin (67 MB) to" in end.err) == (0, True), end.err
        assert (folder / "far.csv").read_text() == expected
        assert_a_variable_that_is_not_there_is_told(folder, monkeypatch)
        assert_full_disks_are_named(folder, hosts)
    finally:
        muster("down", "--all")


def test_a_function_sees_the_same_on_machines_of_this_computer(probing: Path, muster: Muster) -> None:
    try:
        end = muster("up", "--machines", "1", "--workers-per-machine", "1")
        assert end.code == 0, end.err
        assert probed(probing, "near.csv", "--cluster", "default") == probed(probing, "cores.csv", "--workers", "1")
    finally:
        muster("down", "--all")


def assert_a_variable_that_is_not_there_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNSET", "set here alone")
    end = ran(folder, "other.csv", "--cluster", "far")
    assert (end.code, "'UNSET' is set on the computer that began the run, and not here" in end.err) == (1, True)
    assert "--env UNSET" in end.err
    monkeypatch.delenv("UNSET")


def assert_full_disks_are_named(folder: Path, hosts: Hosts) -> None:
    (folder / "larger.bin").write_bytes(os.urandom(LARGE))
    for host in hosts:
        hosts.fill_disk(host)
        ballast = hosts.inside(host, BALLAST)
        os.truncate(ballast, ballast.stat().st_size - ROOM)
    try:
        end = ran(folder, "full.csv", "--cluster", "far", "--with", "larger.bin")
        assert end.code == 3, end.err
        assert any(f"The disk of machine {host.name} is full" in end.err for host in hosts), end.err
        assert any(f"machine {host.name} is put aside: its disk is full" in end.err for host in hosts), end.err
    finally:
        for host in hosts:
            hosts.empty_disk(host)
