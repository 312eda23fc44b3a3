"""What an operator does to clusters of hosts: two commands at a time, all at once, one host twice, odd places."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import MUSTER, Muster
from pretended import Pretended, pretended
from waiting import until

pytestmark = pytest.mark.waits


@pytest.fixture
def hosts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pretended]:
    with pretended(tmp_path / "hosts", monkeypatch) as made:
        yield made


def test_down_of_all_ends_each_cluster_that_answers_and_names_those_that_do_not(
    muster: Muster, hosts: Pretended, home: Path
) -> None:
    for name, host in (("first", "a"), ("second", "b")):
        assert muster("up", name, "--machines", "1", "--on", hosts.name(host)).code == 0
    hosts.silence("a")
    end = muster("down", "--all")
    assert (end.code, "a: it does not answer" in end.err) == (3, True), end.err
    assert "second: gone" in end.out
    assert hosts.running() == ["a"]
    assert [path.name for path in (home / "clusters").iterdir()] == ["first"]


def test_of_two_commands_that_change_a_cluster_at_a_time_one_is_refused_and_the_cluster_is_as_the_other_leaves_it(
    muster: Muster, hosts: Pretended, tmp_path: Path, home: Path
) -> None:
    assert muster("up", "--machines", "1", "--on", hosts.name("a")).code == 0
    held = hosts.folder / "a" / "held"
    held.touch()
    (hosts.folder / "a" / ".profile").write_text("touch ~/came; while test -e ~/held; do sleep 0.1; done\n")
    with subprocess.Popen([*MUSTER, "down"], cwd=tmp_path, stdout=subprocess.PIPE, text=True) as down:
        until((hosts.folder / "a" / "came").exists)
        for words in (("down",), ("up", "--machines", "1")):
            end = muster(*words)
            assert (end.code, "Another command is changing cluster 'default'" in end.err) == (2, True), end.err
        held.unlink()
        out, _ = down.communicate(timeout=60)
    assert (down.returncode, out.startswith("default: gone")) == (0, True)
    assert (hosts.running(), list((home / "clusters").iterdir())) == ([], [])


def test_a_host_that_a_file_names_twice_is_refused_before_anything_is_started(muster: Muster, hosts: Pretended) -> None:
    hosts.name("a")
    (hosts.folder / "again").symlink_to(hosts.folder / "a")
    end = muster("up", "--machines", "2", "--on", hosts.name(["a", "again"]))
    assert (end.code, "'a' and 'again' are one host" in end.err) == (2, True), end.err
    assert hosts.running() == []


def test_a_home_that_is_named_from_where_one_is_works(
    muster: Muster, hosts: Pretended, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MUSTER_HOME", "h")
    (tmp_path / "below").mkdir()
    name = "Odd.Name_of-41-characters.0123456789abcde"
    end = muster("up", name, "--machines", "1", "--on", hosts.name("a"))
    assert end.code == 0, end.err
    monkeypatch.setenv("MUSTER_HOME", os.path.relpath(tmp_path / "h", tmp_path / "below"))
    done = subprocess.run(
        [*MUSTER, "status", "--json"], cwd=tmp_path / "below", capture_output=True, text=True, check=True
    )
    (found,) = json.loads(done.stdout)
    assert [one["name"] for one in found["machines"]] == ["a"]
    monkeypatch.setenv("MUSTER_HOME", "h")
    assert muster("down", name).code == 0
    assert hosts.running() == []
