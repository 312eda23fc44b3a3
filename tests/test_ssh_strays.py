"""Whatever ends a command that reaches hosts, no ssh and no Ansible of its stays here."""

import contextlib
import os
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from time import monotonic

import pytest
import yaml

from conftest import MUSTER, Muster, require_hosts, started
from hosts import Hosts, make_hosts
from muster._clouds.hosts_file import read
from muster._clouds.over_ssh.playbook import play
from pretended import pretended
from waiting import until

pytestmark = pytest.mark.waits("long", "together")
SECONDS = 60.0
SLEEPS = "sleep 600\n"
SHARED = b"ssh: "
"""How a shared connection begins to call itself, which overwrites its environment."""


@pytest.fixture(scope="module")
def hosts() -> Iterator[Hosts]:
    require_hosts()
    with make_hosts(1) as made:
        yield made


@pytest.fixture
def file(hosts: Hosts, tmp_path: Path) -> Path:
    """Name a host whose login shell does what a test says."""
    host = hosts[0]
    told = {"python": MUSTER[0], "ssh_config": "none", "workers": 1, "hosts": [{"address": host.address}]}
    ssh = {"known_hosts": str(host.known_hosts), "key": str(host.key), "user": host.user}
    (tmp_path / "hosts.yml").write_text(yaml.safe_dump({**told, **ssh}))
    return tmp_path / "hosts.yml"


def greet(hosts: Hosts, text: str) -> None:
    hosts.inside(hosts[0], "/root/.bashrc").write_text(text)


@pytest.fixture
def place(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Have temporary files in a place of a short name, and MUSTER_HOME in one of that or another length."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        monkeypatch.setenv("TMPDIR", name)
        monkeypatch.setenv("MUSTER_HOME", f"{name}/{getattr(request, 'param', 'home')}")
        yield Path(name)


def here(place: Path) -> list[str]:
    """List the command lines of what runs here that was started to reach hosts."""
    found = []
    for folder in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            environment, command = ((folder / name).read_bytes() for name in ("environ", "cmdline"))
            is_marked = b"ANSIBLE_HOME=" in environment or b"MUSTER_REACHES_HOSTS=" in environment
            told = environment if is_marked else command if command.startswith(SHARED) else b""
            if os.fsencode(place) in told:
                found.append(command.decode())
    return found


def has_shared(place: Path) -> bool:
    return any(command.encode().startswith(SHARED) for command in here(place))


@pytest.mark.parametrize(
    ("number", "place"),
    [(signal.SIGINT, "home"), (signal.SIGTERM, "h" * 80), (signal.SIGHUP, "home")],
    indirect=["place"],
)
def test_an_up_that_a_signal_ends_while_a_login_shell_sleeps_leaves_nothing_here(
    file: Path, hosts: Hosts, place: Path, number: signal.Signals
) -> None:
    greet(hosts, SLEEPS)
    with started(file.parent, "up", "--machines", "1", "--on", file) as up:
        until(lambda: has_shared(place), SECONDS)
        up.send_signal(number)
        up.communicate(timeout=SECONDS)
    assert up.returncode == 128 + number
    assert here(place) == []
    assert not list(place.glob("*/clusters/*/playing-*"))


def test_a_playbook_that_is_not_done_when_its_time_is_over_ends_and_leaves_nothing(
    file: Path, hosts: Hosts, place: Path
) -> None:
    greet(hosts, SLEEPS)
    (host,) = read(file).hosts
    each = {host.name: {"python": host.python, "folder": "/nowhere"}}
    played = play("inspect", [host], told={}, each=each, below=place, until=monotonic() + 1)
    assert [one.said for one in played.failures.values()] == ["it was not done with it when the time was over"]
    assert here(place) == []


@pytest.mark.parametrize("verb", [("down",), ("status",), ("up", "--machines", "1")])
def test_what_an_up_leaves_that_is_killed_goes_with_the_next_command(
    muster: Muster, file: Path, hosts: Hosts, place: Path, verb: tuple[str, ...]
) -> None:
    greet(hosts, SLEEPS)
    with started(file.parent, "up", "--machines", "1", "--on", file) as up:
        until(lambda: has_shared(place), SECONDS)
        up.kill()
    assert has_shared(place)
    greet(hosts, "kill -9 $$\n")  # and a login shell that is killed leaves nothing of the next one either
    end = muster(*verb)
    assert end.code == (3 if verb[0] == "up" else 0), end.err
    assert here(place) == []
    assert not list(place.glob("*/clusters/*/playing-*"))


def test_what_a_run_leaves_that_is_killed_before_its_head_says_hello_goes_with_the_next_command(
    muster: Muster, tmp_path: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "f.py").write_text("def f(df):\n    return df\n")
    (tmp_path / "rows.csv").write_text("a\n1\n")
    with pretended(tmp_path / "hosts", monkeypatch) as hosts:
        assert muster("up", "--machines", "1", "--on", hosts.name("a")).code == 0
        (hosts.folder / "a" / ".profile").write_text('case "$said" in *lease.py*attend*) exec sleep 600;; esac')
        command = [*MUSTER, "run", "f.py:f", "rows.csv", "-o", "out.csv", "--cluster", "default"]
        with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.DEVNULL) as run:
            until(lambda: any("sleep" in command for command in here(place)), SECONDS)
            run.kill()
        assert here(place)
        assert muster("status").code == 0
        assert here(place) == []
        assert muster("down").code == 0
