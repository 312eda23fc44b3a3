"""Hosts that share a home, another home that wants them, and another user there who looks around."""

import json
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from conftest import Muster, require_hosts
from hosts import Hosts, make_hosts

pytestmark = pytest.mark.waits("long")
SOMEBODY = 54_321
LOOK = """
import os, sys
os.setgroups([]), os.setgid({0}), os.setuid({0})
for top in ("/tmp", "/root", "/dev/shm"):
    for folder, folders, names in os.walk(top):
        for name in names + folders:
            path = os.path.join(folder, name)
            if (os.path.isfile(path) and os.access(path, os.R_OK)) or os.access(path, os.W_OK):
                print(path)
"""


@pytest.fixture(scope="module")
def pair() -> Iterator[Hosts]:
    """Two hosts that have one ``~/.muster``."""
    require_hosts()
    with make_hosts(2) as made:
        shared = made.folder / "shared"
        shared.mkdir(mode=0o700)
        for host in made:
            assert made.run(host, f"mkdir -m 700 ~/.muster && mount --bind {shared} ~/.muster").returncode == 0
        yield made


def as_somebody(hosts: Hosts, code: str) -> str:
    done = hosts.run(hosts[0], shlex.join([sys.executable, "-c", code]))
    assert done.returncode == 0, done.stderr
    return done.stdout


def scratches(hosts: Hosts) -> list[str]:
    return [path.name for host in hosts for path in hosts.inside(host, "/tmp").glob("muster-*")]  # noqa: S108 (that of a host)


def test_hosts_that_share_a_home_work_for_one_home_which_no_other_home_and_no_other_user_takes_over(
    muster: Muster, tmp_path: Path, pair: Hosts, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "hosts.yml"
    named = [{"name": host.name, "address": host.address, "port": host.port} for host in pair]
    common = {"known_hosts": str(pair.known_hosts), "key": str(pair.key), "user": "root"}
    file.write_text(yaml.safe_dump({"python": sys.executable, "workers": 1, **common, "hosts": named}))
    up = ("up", "--machines", "2", "--on", file)
    end = muster(*up)
    assert "2 machines, 2 workers" in end.out, end.err
    assert as_somebody(pair, LOOK.format(SOMEBODY)) == ""
    assert not any(pair.inside(host, "/root/.ansible").exists() for host in pair)

    monkeypatch.setenv("MUSTER_HOME", str(home / "other"))
    end = muster(*up, "--lease", "10s")
    assert end.code == 2, end.err
    assert end.err.count(f"(MUSTER_HOME {home}) works there since") == 2
    assert f"MUSTER_HOME={home} muster down default" in end.err
    assert json.loads(muster("status", "--json").out) == []

    monkeypatch.setenv("MUSTER_HOME", str(home))
    (status,) = json.loads(muster("status", "--json").out)
    assert [machine["lease"] for machine in status["machines"]] == [900, 900]
    before = scratches(pair)
    end = muster("down")
    assert end.code == 0, end.err
    assert scratches(pair) == []
    for name in before:
        as_somebody(pair, f"import os; os.setuid({SOMEBODY}); os.mkdir('/tmp/{name}')")
    end = muster(*up)
    assert "2 machines, 2 workers" in end.out, end.err
    assert len(set(scratches(pair)) - set(before)) == 2
    assert muster("down").code == 0
    assert not list((pair.folder / "shared").glob("machines/*"))
