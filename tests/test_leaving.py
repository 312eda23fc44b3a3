"""Machines that were to end and did not answer are known until they do, or until their lease is over."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from conftest import Muster
from pretended import Pretended, pretended

pytestmark = pytest.mark.waits
STARTED = 'env -i HOME="$HOME" TMPDIR="$HOME/tmp" PATH="$PATH" sh -c "$said" >/dev/null'
"""Does on a host what it is asked to, whose answer is lost then."""


@pytest.fixture
def hosts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pretended]:
    with pretended(tmp_path / "hosts", monkeypatch) as made:
        yield made


def record_of(home: Path) -> Path:
    return home / "clusters" / "default" / "hosts.json"


def leaving(home: Path) -> list[str]:
    known = json.loads(record_of(home).read_text())
    return sorted(one["machine"]["host"]["name"] for one in known["leaving"])


def let_leases_be_over(home: Path) -> None:
    known = json.loads(record_of(home).read_text())
    over = [{**one, "since": one["since"] - one["lease"] - 1} for one in known["leaving"]]
    record_of(home).write_text(json.dumps({**known, "leaving": over}))


def status(muster: Muster) -> dict[str, Any]:
    (found,) = json.loads(muster("status", "--json").out)
    assert isinstance(found, dict)
    return found


def test_a_head_silent_for_a_moment_costs_no_machine_and_one_silent_when_it_was_to_end_is_ended_by_the_next_command(
    muster: Muster, hosts: Pretended, home: Path
) -> None:
    end = muster("up", "--machines", "2", "--on", hosts.name("abc"), "--workers-per-machine", "1")
    assert (end.code, "2 machines" in end.out) == (0, True), end.err
    profile = hosts.folder / "a" / ".profile"
    profile.write_text('case "$said" in *lease.py*start*) echo Connection reset >&2; exit 255;; esac')
    end = muster("up", "--machines", "3")
    assert (end.code, "a: it does not answer" in end.err) == (3, True), end.err
    assert [one["name"] for one in status(muster)["machines"]] == ["a", "b"]
    assert hosts.running() == ["a", "b"]
    profile.unlink()
    assert muster("up", "--machines", "3").code == 0
    assert hosts.running() == ["a", "b", "c"]
    hosts.silence("c")
    end = muster("up", "--machines", "2")
    assert (end.code, "c: it does not answer" in end.err) == (3, True), end.err
    assert (leaving(home), hosts.running()) == (["c"], ["a", "b", "c"])
    found = status(muster)
    assert [one["name"] for one in found["machines"]] == ["a", "b"]
    assert found["silent"]["c"].startswith("it was to end, and did not answer: it does not answer.")
    hosts.mend("c")
    assert "it was to end, and lives" in status(muster)["silent"]["c"]
    end = muster("up", "--machines", "2")
    assert (end.code, leaving(home), hosts.running(), hosts.left("c")) == (0, [], ["a", "b"], []), end.err
    assert status(muster)["silent"] == {}
    assert muster("down").code == 0


def test_what_was_silent_when_machines_started_anew_is_known_whichever_cluster_it_was_of_until_its_lease_is_over(
    muster: Muster, hosts: Pretended, home: Path
) -> None:
    assert muster("up", "--machines", "2", "--on", hosts.name("ab")).code == 0
    hosts.silence("a")  # the head, without which the others are of no use
    hosts.name("bc")
    end = muster("up", "--machines", "2")
    assert (end.code, "a: it does not answer" in end.err, leaving(home)) == (3, True, ["a"]), end.err
    assert [one["name"] for one in status(muster)["machines"]] == ["b", "c"]
    assert hosts.running() == ["a", "b", "c"]
    hosts.silence("b")
    hosts.name("c")
    end = muster("up", "--machines", "1", "--lease", "20m")
    assert (end.code, leaving(home)) == (3, ["a", "b"]), end.err
    assert "its lease of 900 s" in end.err
    hosts.mend("a")
    hosts.name("ac")
    end = muster("up", "--machines", "2")  # a is wanted again, where something of the first cluster still runs
    assert (end.code, leaving(home)) == (3, ["b"]), end.err
    end = muster("down")
    assert (end.code, leaving(home), hosts.running()) == (3, ["b"], ["b"]), end.err
    let_leases_be_over(home)
    end = muster("down")
    assert (end.code, "b: its lease has ended" in end.out) == (0, True), end.err
    assert not list((home / "clusters").glob("*"))


def test_an_up_that_fails_remembers_only_what_it_did_not_see_to_end(
    muster: Muster, hosts: Pretended, home: Path
) -> None:
    file = hosts.name("ab")
    assert muster("up", "--machines", "1", "--on", file).code == 0
    lost = "touch silent; echo Connection refused >&2; exit 255"
    (hosts.folder / "b" / ".profile").write_text(f'case "$said" in *await*lease.py*) {STARTED}; {lost};; esac')
    end = muster("up", "--machines", "2")
    assert (end.code, "b: it does not answer" in end.err) == (3, True), end.err
    assert (leaving(home), hosts.running()) == (["b"], ["a", "b"])
    assert [one["name"] for one in status(muster)["machines"]] == ["a"]
    (hosts.folder / "b" / ".profile").unlink()
    hosts.mend("b")
    end = muster("up", "--machines", "2")
    assert (end.code, leaving(home)) == (0, []), end.err
    assert [one["name"] for one in status(muster)["machines"]] == ["a", "b"]
    assert muster("down").code == 0
    (hosts.folder / "a" / ".profile").write_text(f'case "$said" in *await*lease.py*) {STARTED}; exit 1;; esac')
    end = muster("up", "--machines", "2", "--on", file)
    assert (end.code, hosts.running()) == (3, []), end.err
    assert not list((home / "clusters").glob("*"))
