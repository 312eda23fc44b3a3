"""What every cloud has to keep: the same tests on the fake, on this computer, and on hosts that are pretended.

Add yours: a function that yields its ``Maker``. Agents, leases, Ansible and records are real; Ray and SSH are not.
"""

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import psutil
import pytest

from muster import UsageError
from muster._clouds.base import Cloud, Existing, Wanted
from muster._clouds.hosts import HostsCloud
from muster._clouds.local import LocalCloud
from muster._clouds.there.host_folders import agent_of
from muster.errors import EngineError
from muster.testing import FakeCloud
from pretended import pretended
from waiting import until

LEASE = 600.0
PYTHON = """#!/bin/sh
case "$1" in */node.py) echo "Ray runtime started."; exec sleep 1200;; esac
exec {python} "$@"
"""
"""Of a machine of this computer: it says that Ray is there, which takes its time; test_cluster.py has the real one."""


@dataclass(frozen=True)
class Maker:
    """A cloud to be tested, and what a test can do to its machines from outside."""

    folder: Path
    cloud: Callable[[], Cloud]
    """Makes it anew, as each command does."""
    kill: Callable[[str], None]
    """Pulls a machine's plug."""

    def names(self) -> list[str]:
        return [machine.name for machine in self.cloud().seen().machines]

    def existing(self) -> list[Existing]:
        """Take the census, but for the machines of others who use this computer."""
        census = self.cloud().census()
        assert census.unseen == {}
        return [one for one in census.existing if one.home == str(self.folder.parents[1])]


def fake(folder: Path, _: pytest.MonkeyPatch) -> Iterator[Maker]:
    cloud = FakeCloud()
    yield Maker(folder, lambda: cloud.of(folder), cloud.kill)
    assert cloud.living() == []


def local(folder: Path, patch: pytest.MonkeyPatch) -> Iterator[Maker]:
    python = folder.with_name("python")
    python.write_text(PYTHON.format(python=sys.executable))
    python.chmod(0o755)
    patch.setattr(sys, "executable", str(python))

    def kill(name: str) -> None:
        agent = agent_of(folder / name)
        assert agent
        psutil.Process(agent).kill()
        until(lambda: agent_of(folder / name) is None)

    yield Maker(folder, lambda: LocalCloud(folder), kill)


def hosts(folder: Path, patch: pytest.MonkeyPatch) -> Iterator[Maker]:
    with pretended(folder.parents[1] / "hosts", patch) as made:
        file = made.name("abc")
        file.write_text(file.read_text().replace("workers: 1\n", ""))

        def kill(name: str) -> None:
            (place,) = (made.folder / name / ".muster" / "machines").glob("*/*")
            agent = agent_of(place)
            assert agent
            psutil.Process(agent).kill()
            until(lambda: agent_of(place) is None)

        yield Maker(folder, lambda: HostsCloud(folder, file), kill)
        assert made.running() == []


WAITS = [pytest.mark.waits]


@pytest.fixture(params=[fake, pytest.param(local, marks=WAITS), pytest.param(hosts, marks=WAITS)])
def maker(request: pytest.FixtureRequest, home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Maker]:
    folder = home / "clusters" / "tested"
    folder.mkdir(parents=True, mode=0o700)
    for made in request.param(folder, monkeypatch):
        yield made
        made.cloud().destroy()
        assert made.names() == []


def test_machines_are_made_more_and_fewer_and_only_the_difference_is_touched(maker: Maker) -> None:
    assert maker.cloud().last() is None
    assert (maker.cloud().seen().machines, maker.cloud().destroy(), maker.existing()) == ((), [], [])
    assert maker.cloud().renew().machines == ()
    (head,) = maker.cloud().scale(Wanted(1, 2, LEASE)).machines
    assert (head.is_head, head.workers, head.lease, 0 < head.left <= LEASE) == (True, 2, LEASE, True)
    seen = maker.cloud().scale(Wanted(3, 2, LEASE), alone=refuse)
    assert maker.cloud().last() == Wanted(3, 2, LEASE)
    names = maker.names()
    assert (len(names), names[0]) == (3, head.name)
    assert [one.name for one in seen.machines] == names
    assert list(maker.cloud().renew().machines) == names
    with maker.cloud().access() as access:
        assert access.workers == 6
    seen = maker.cloud().scale(Wanted(2, 2, LEASE * 2), alone=refuse)
    assert [one.lease for one in seen.machines] == [LEASE * 2] * 2
    names = [one.name for one in seen.machines]
    assert sorted(one.name for one in maker.existing()) == sorted(names)
    purge = maker.cloud().purging()
    assert [line.partition(":")[0] for line in maker.cloud().destroy()] == names
    assert {line.partition(":")[0] for line in purge()} <= set(names)
    assert (maker.names(), maker.existing(), maker.cloud().last()) == ([], [], None)


def refuse() -> None:
    raise UsageError("a run works on them")


def test_machines_that_would_start_anew_do_not_while_somebody_works_on_them(maker: Maker) -> None:
    maker.cloud().scale(Wanted(1, 1, LEASE))
    with pytest.raises(UsageError, match="a run works on them"):
        maker.cloud().scale(Wanted(1, 2, LEASE), alone=refuse)
    assert [one.workers for one in maker.cloud().seen().machines] == [1]
    assert [one.workers for one in maker.cloud().scale(Wanted(1, 2, LEASE)).machines] == [2]


def test_what_cannot_be_wanted_is_refused_before_anything_is_made(maker: Maker) -> None:
    for lease in (0.1, 9e9):
        with pytest.raises(UsageError, match="--lease"):
            maker.cloud().check(Wanted(1, 1, lease))
    with pytest.raises(EngineError, match="muster up"), maker.cloud().access():
        pass
    assert list(maker.folder.iterdir()) == []


def test_a_machine_that_dies_is_made_again_and_with_the_head_all_are(maker: Maker) -> None:
    head, other = (one.name for one in maker.cloud().scale(Wanted(2, 1, LEASE)).machines)
    maker.kill(other)
    assert maker.names() == [head]
    assert other not in maker.cloud().renew().machines
    _, other = (one.name for one in maker.cloud().scale(Wanted(2, 1, LEASE), alone=refuse).machines)
    maker.kill(other)
    maker.cloud().scale(Wanted(1, 1, LEASE), alone=refuse)
    assert (maker.cloud().last(), len(maker.names())) == (Wanted(1, 1, LEASE), 1)
    maker.cloud().scale(Wanted(2, 1, LEASE), alone=refuse)
    maker.kill(head)
    maker.cloud().scale(Wanted(2, 1, LEASE))
    assert [one.is_head for one in maker.cloud().seen().machines] == [True, False]


@pytest.mark.waits
@pytest.mark.parametrize("maker", [local, hosts], indirect=True)
def test_the_keys_of_machines_are_on_the_disk_before_the_record_that_outlives_a_power_cut_too(maker: Maker) -> None:
    on_disk: list[str] = []

    def note(frame: FrameType, event: str, called: object) -> None:
        if event == "c_call" and called is os.fsync and "unfinished" in frame.f_locals:  # and not of a folder
            on_disk.append(frame.f_locals["path"].name)

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        maker.cloud().scale(Wanted(1, 1, LEASE))
    finally:
        sys.setprofile(before)
    record = next(index for index, name in enumerate(on_disk) if name in {"local.json", "hosts.json"})
    kept = {path.name for path in maker.folder.iterdir()} & {"known_hosts", "token", "ca.key", "ca.crt"}
    assert kept >= {"token", "ca.key", "ca.crt"}
    assert kept <= set(on_disk[:record])


def test_a_census_finds_machines_whose_record_is_lost_and_says_whose_they_are(maker: Maker) -> None:
    names = [one.name for one in maker.cloud().scale(Wanted(2, 1, LEASE)).machines]
    kept = maker.folder.with_name("kept")
    note = next(path for path in maker.folder.iterdir() if path.name in {"fake.json", "local.json", "hosts.json"})
    shutil.move(note, kept)
    assert maker.cloud().last() is None
    assert [(one.name, one.cluster, one.lease, one.left > 0) for one in maker.existing()] == [
        (name, "tested", LEASE, True) for name in names
    ]
    shutil.move(kept, note)
    assert maker.names() == names
