"""What an operator does to clusters of hosts: one host twice, odd places; the rest is in ``test_clusters``."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import Muster, begun
from pretended import Pretended, pretended

pytestmark = pytest.mark.waits


@pytest.fixture
def hosts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pretended]:
    with pretended(tmp_path / "hosts", monkeypatch) as made:
        yield made


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
    with begun(tmp_path / "below", "status", "--json") as looking:
        (found,) = json.loads(looking.communicate()[0])
    assert [one["name"] for one in found["machines"]] == ["a"]
    monkeypatch.setenv("MUSTER_HOME", "h")
    assert muster("down", name).code == 0
    assert hosts.running() == []
