"""Clusters of hosts: real SSH, real Ansible, real Ray, on hosts that the test made itself."""

import contextlib
import importlib.metadata
import json
import os
import pwd
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from time import monotonic
from typing import Any

import pandas as pd
import pytest
import yaml

from conftest import MUSTER, Ended, Muster, begun, require_hosts, started
from hosts import HOME, Host, Hosts, interpreter_in, make_hosts, program
from journals import kept
from waiting import until

pytestmark = pytest.mark.waits("long")
PYTHON = MUSTER[0]
ROWS = 10_000
SECONDS = 120.0
FUNCTION = """
import time
from pathlib import Path
from beside import factor

HURRY = Path("/tmp/hurry")

def work(df):
    for _ in df.index:
        if not HURRY.exists():
            time.sleep(0.02)
    if (df["a"] == 1234).any():
        raise ValueError("twelve thirty-four")
    df["b"] = df["a"] * factor
    return df
"""
HURRY = "/tmp/hurry"  # noqa: S108 (that of a host)
OLDER = "/root/python3.9"
OLDER_PYTHON = f"""
if [ "$1" = -c ]; then
    code="import platform; platform.python_version = lambda: '3.9.2'
$2"
    shift 2
    exec {PYTHON} -c "$code" "$@"
fi
exec {PYTHON} "$@"
"""
COMMAND = ("run", "code/work.py:work", "rows.csv", "-o", "out.csv", "--json", "--quiet")
EXPECTED = "a,b\n" + "".join(f"{n},{n * 2}\n" for n in range(ROWS) if n != 1234)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "work.py").write_text(FUNCTION)
    (tmp_path / "code" / "beside.py").write_text("factor = 2\n")
    (tmp_path / "rows.csv").write_text("a\n" + "".join(f"{n}\n" for n in range(ROWS)))
    return tmp_path


def write_file(folder: Path, hosts: Iterable[Host], instead: dict[str, object] | None = None) -> Path:
    first, *_ = hosts = list(hosts)
    told: dict[str, object] = {
        "python": PYTHON,
        "known_hosts": str(first.known_hosts),
        "ssh_config": "none",  # whatever the settings are of who runs the tests
        "key": str(first.key),
        "workers": 1,
        "user": "root",
    }
    named = [{"name": host.name, "address": host.address, "port": host.port} for host in hosts]
    path = folder / "hosts.yml"
    told = {**told, "hosts": named, **(instead or {})}
    path.write_text(yaml.safe_dump({word: value for word, value in told.items() if value is not None}))
    return path


def ours(hosts: Hosts, host: Host) -> list[str]:
    """List what runs on a host because of muster: all but its own first process and SSH."""
    commands = [process.command for process in hosts.processes(host) if process.inner != 1]
    return [command for command in commands if not command.startswith("sshd") and command]


def traces(hosts: Hosts, host: Host) -> set[str]:
    """List what lies where muster, Ansible and Ray might leave something on a host."""
    found = set()
    for place in (HOME, "/tmp", "/dev/shm"):  # noqa: S108 (of a host)
        for top in hosts.inside(host, place).iterdir():
            if top.name != ".pyenv":  # the interpreter of this machine, which hosts see too
                found |= {str(path).partition("/root/")[2] for path in (top, *top.rglob("*"))}
    return found


@pytest.fixture(scope="module")
def three() -> Iterator[Hosts]:
    require_hosts()
    with make_hosts(3) as made:
        yield made


@pytest.fixture
def hosts(three: Hosts) -> Hosts:
    """Three hosts, on which the function takes its time; the test that loses one makes its own."""
    for host in three:
        three.inside(host, HURRY).unlink(missing_ok=True)
    return three


@pytest.fixture
def others() -> Iterator[Hosts]:
    require_hosts()
    with make_hosts(3) as made:
        yield made


@pytest.fixture
def four() -> Iterator[Hosts]:
    require_hosts()
    with make_hosts(4) as made:
        yield made


@pytest.fixture
def ending(muster: Muster) -> Iterator[None]:
    yield
    muster("down", "--all")


def until_busy(muster: Muster, folder: Path, host: Host) -> None:
    """Wait until a host works: to ask it takes a second of the processor each time, so not before it has a worker."""
    journal = folder / "out.csv.muster" / "journal.jsonl"
    joined = f'"machine":"{host.name}"'
    until(lambda: any('"joined"' in line and joined in line for line in journal.read_text().splitlines()))
    until(lambda: is_busy(muster, host))


def is_busy(muster: Muster, host: Host) -> bool:
    (status,) = json.loads(muster("status", "--json").out)
    return any(found["busy"] for found in status["machines"] if found["name"] == host.name)


@contextlib.contextmanager
def working(folder: Path) -> "Iterator[subprocess.Popen[str]]":
    """Start a run, and wait until it has kept something."""
    journal = folder / "out.csv.muster" / "journal.jsonl"
    with started(folder, *COMMAND, "--cluster", "default", start=begun) as running:
        until(lambda: kept(journal) or running.poll() is not None)
        assert running.poll() is None, running.communicate()
        yield running


def hurry(hosts: Hosts, *these: Host) -> None:
    """Have the function on these hosts take no time from now on."""
    for host in these:
        hosts.inside(host, HURRY).touch()


def assert_right(folder: Path, code: int, out: str, err: str) -> dict[str, Any]:
    assert code == 4, err  # one row is bad
    assert (folder / "out.csv").read_text() == EXPECTED
    (bad,) = (folder / "out.csv.rejects.jsonl").read_text().splitlines()
    assert json.loads(bad)["row"] == 1234
    return Ended(code, out, err).json


@pytest.mark.usefixtures("ending")
def test_hosts_join_leave_and_are_lost_in_the_middle_of_a_run_and_nothing_of_it_shows_in_the_output(
    muster: Muster, folder: Path, others: Hosts, home: Path
) -> None:
    hosts = others
    file = write_file(folder, hosts)
    end = muster("up", "--machines", "2", "--on", file)
    assert end.code == 0, end.err
    assert "2 machines, 2 workers" in end.out
    with working(folder) as running:
        assert muster("up", "--machines", "3").code == 0
        until_busy(muster, folder, hosts[2])
        hosts.lose(hosts[1])
        hurry(hosts, hosts[0], hosts[2])
        out, err = running.communicate(timeout=SECONDS)
    assert assert_right(folder, running.returncode, out, err)["machines"] == 3
    (status,) = json.loads(muster("status", "--json").out)
    assert [machine["name"] for machine in status["machines"]] == [hosts[0].name, hosts[2].name]
    file.unlink()  # what was started is remembered, whatever becomes of the file
    end = muster("down")
    assert end.code == 3
    assert f"{hosts[1].name}: it does not answer" in end.err
    assert muster("down").code == 3  # it may live until its lease is over
    record = home / "clusters" / "default" / "hosts.json"
    remembered = json.loads(record.read_text())
    (leaving,) = remembered["leaving"]
    record.write_text(json.dumps(remembered | {"leaving": [leaving | {"since": leaving["since"] - 901}]}))
    end = muster("down")
    assert (end.code, f"{hosts[1].name}: its lease has ended" in end.out) == (0, True), end.err
    assert not ours(hosts, hosts[0])
    assert not ours(hosts, hosts[2])


@pytest.mark.usefixtures("ending")
def test_a_host_that_is_cut_off_costs_no_other_its_lease_and_none_outlives_the_runner(
    folder: Path, hosts: Hosts
) -> None:
    before = [traces(hosts, host) for host in hosts]
    command = ("up", "--machines", "2", "--on", str(write_file(folder, hosts)), "--lease", "12s", "--keep")
    with started(folder, *command) as keeping:
        assert keeping.stdout
        assert any("Renewing" in line for line in keeping.stdout), keeping.communicate()
        hosts.cut(hosts[1])
        cut_at = monotonic()
        with working(folder) as running:
            until(lambda: monotonic() > cut_at + 20)
            assert (bool(ours(hosts, hosts[0])), bool(ours(hosts, hosts[1]))) == (True, False)
            keeping.send_signal(signal.SIGHUP)
            _, err = keeping.communicate(timeout=SECONDS)
            assert (keeping.returncode, "muster down default ends them now" in err) == (129, True), err
            told = f"the lease of machine {hosts[1].name} could not be renewed: it does not answer"
            assert err.count(told) == 1, err
            running.kill()
    assert ours(hosts, hosts[0])
    until(lambda: not any(ours(hosts, host) for host in hosts), 60)
    assert [traces(hosts, host) for host in hosts] == before
    hosts.mend(hosts[1])


@pytest.mark.usefixtures("ending")
def test_a_link_that_is_cut_for_half_a_minute_and_then_slow_costs_the_run_only_time_and_groups_go_over_it(
    muster: Muster, folder: Path, four: Hosts
) -> None:
    hosts = four
    end = muster("up", "--machines", "4", "--on", write_file(folder, hosts))
    assert end.code == 0, end.err
    with working(folder) as running:
        hosts.cut(hosts[0])
        hosts.cut(hosts[1])
        mended_at = monotonic() + 30
        until(lambda: monotonic() > mended_at)
        assert running.poll() is None, running.communicate()
        hosts.mend(hosts[0])
        hosts.mend(hosts[1])
        hosts.slow(hosts[1], 40, 0.01)
        hurry(hosts, *hosts)
        out, err = running.communicate(timeout=SECONDS)
    assert_right(folder, running.returncode, out, err)
    assert_groups_are_right(folder, hosts)


def assert_groups_are_right(folder: Path, hosts: Hosts) -> None:
    """Run stages on four hosts: the first one reads only when another has begun."""
    hosts.inside(hosts[0], HURRY).unlink()
    visits = pd.DataFrame({"user": [at * at % 97 for at in range(3000)], "x": [at * 7919 % 1009 for at in range(3000)]})
    visits.to_csv(folder / "visits.csv", index=False)
    (folder / "code" / "groups.py").write_text(
        "import time\nfrom pathlib import Path\nimport muster\n"
        "def read(df):\n    while not Path('/tmp/hurry').exists():\n        time.sleep(0.02)\n    return df\n"
        "def total(df, states):\n    totals = []\n    for user, x in zip(df['user'], df['x']):\n"
        "        states[user] += x\n        totals.append(states[user])\n    return df.assign(total=totals)\n"
        "def longest(df):\n    return df.assign(n=len(df)).nlargest(2, 'total')\n"
        "def twice(df):\n    return df.assign(twice=2 * df['total'], row=df.index)\n"
        "rows = muster.read_csv('visits.csv').map_batches(read).key_by('user').map_batches(total, state=int)\n"
        "groups = rows.group_by('x').map_groups(longest, sort=True)\n"
        "pipeline = groups.map_batches(twice).write_csv('longest.csv')\n"
    )
    journal = folder / "longest.csv.muster" / "journal.jsonl"
    command = ("run", "code/groups.py", "--cluster", "default", "--json", "--quiet")
    with started(folder, *command, start=begun) as running:
        until(lambda: kept(journal) or running.poll() is not None)
        hurry(hosts, hosts[0])
        out, err = running.communicate(timeout=SECONDS)
    assert running.returncode == 0, err
    result = Ended(0, out, err).json
    assert (result["rows_in"], result["machines"]) == (3000, 4)
    visits["total"] = visits.groupby("user")["x"].cumsum()
    expected = pd.concat(group.assign(n=len(group)).nlargest(2, "total") for _, group in visits.groupby("x"))
    expected = expected.assign(twice=2 * expected["total"], row=range(len(expected)))
    assert (folder / "longest.csv").read_text() == expected.to_csv(index=False)


def left_by_playbooks(home: Path) -> list[Path]:
    return list((home / "clusters" / "default").glob("playing-*"))


def kill_node(hosts: Hosts, host: Host) -> None:
    """Kill what makes a host a machine, its agent first; the host goes on."""
    for word in ("lease.py start", "node.py start", "gcs_server", "raylet/raylet"):
        for process in hosts.processes(host):
            if word in process.command:
                with contextlib.suppress(ProcessLookupError):  # it has ended with the agent
                    os.kill(process.pid, signal.SIGKILL)


@pytest.mark.usefixtures("ending")
def test_hosts_are_named_in_another_order_after_an_up_that_was_killed_and_the_run_on_them_goes_on(
    muster: Muster, folder: Path, hosts: Hosts, home: Path
) -> None:
    first, second, third = hosts
    instead: dict[str, object] = {"workers": None}
    file = write_file(folder, hosts, instead)
    up = ("up", "--machines", "2")
    with subprocess.Popen([*MUSTER, *up, "--on", str(file)], cwd=folder, stderr=subprocess.DEVNULL) as half:
        until(lambda: any((path / "inventory" / "hosts.json").exists() for path in left_by_playbooks(home)))
        half.kill()
    sockets = [(path / "sockets").resolve() for path in left_by_playbooks(home)]
    end = muster(*up, "--on", file, "--workers-per-machine", "1")
    assert end.code == 0, end.err
    assert not left_by_playbooks(home)
    assert not any(path.exists() for path in sockets)

    write_file(folder, [third, second, first], instead)
    end = muster("up", "--machines", "3")
    assert "3 machines, 3 workers" in end.out, end.err
    assert names(muster) == [first.name, third.name, second.name]
    with working(folder) as running:
        end = muster(*up, "--workers-per-machine", "2")
        assert (end.code, "a run works on them" in end.err) == (2, True), end.err
        hurry(hosts, *hosts)
        out, err = running.communicate(timeout=SECONDS)
    assert_right(folder, running.returncode, out, err)


@pytest.mark.usefixtures("ending")
def test_a_cluster_is_resized_and_its_head_dies_and_each_up_leaves_what_was_asked_for(
    muster: Muster, folder: Path, hosts: Hosts
) -> None:
    first, second, third = hosts
    instead: dict[str, object] = {"workers": None}
    file = write_file(folder, hosts, instead)
    end = muster("up", "--machines", "3", "--on", file, "--workers-per-machine", "1")
    assert "3 machines, 3 workers" in end.out, end.err
    end = muster("up", "--machines", "2", "--workers-per-machine", "2")
    assert "2 machines, 4 workers" in end.out, end.err
    assert names(muster) == [first.name, second.name]
    write_file(folder, [third, second, first], instead)
    kill_node(hosts, first)
    end = muster("up", "--machines", "2")
    assert "2 machines, 4 workers" in end.out, end.err
    assert names(muster) == [third.name, second.name]  # the first that the file names now
    with working(folder) as running:
        until(lambda: is_busy(muster, second))
        hurry(hosts, second, third)
        out, err = running.communicate(timeout=SECONDS)
    assert assert_right(folder, running.returncode, out, err)["workers"] == 4


def names(muster: Muster) -> list[str]:
    (status,) = json.loads(muster("status", "--json").out)
    return [machine["name"] for machine in status["machines"]]


@pytest.fixture
def older() -> Iterator[tuple[str, Path]]:
    """An interpreter that hosts see, whose cloudpickle is not the one here; and a folder with the wheel of that."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as place:
        folder = Path(place)
        site = interpreter_in(folder)
        (site / "cloudpickle-0.1.dist-info").mkdir()
        (site / "cloudpickle-0.1.dist-info" / "METADATA").write_text("Name: cloudpickle\nVersion: 0.1\n")
        (folder / "wheels").mkdir()
        make_wheel("cloudpickle", folder / "wheels")
        yield str(folder / "python" / "bin" / "python"), folder / "wheels"


def make_wheel(name: str, folder: Path) -> None:
    """Put the files of an installed package back into a wheel."""
    found = importlib.metadata.distribution(name)
    with zipfile.ZipFile(folder / f"{name}-{found.version}-py3-none-any.whl", "w") as wheel:
        for file in found.files or ():
            if ".." not in file.parts and file.name not in {"INSTALLER", "REQUESTED", "direct_url.json"}:
                wheel.write(str(file.locate()), str(file))


@pytest.mark.usefixtures("ending")
def test_what_a_host_has_in_another_version_is_installed_there_beside_it(
    muster: Muster, folder: Path, hosts: Hosts, older: tuple[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    python, wheels = older
    (folder / "code" / "work.py").write_text(
        "import os, sys, importlib.metadata as metadata\n"
        "def work(df):\n"
        "    print('these are', len(df), 'rows')\n"
        "    key = os.environ['KEY_OF_HOME']\n"
        "    return df.assign(place=sys.prefix, version=metadata.version('cloudpickle'), key=key)\n"
    )
    file = write_file(folder, hosts, {"python": python, "packages": ["cloudpickle"]})
    before = traces(hosts, hosts[0])
    end = muster("up", "--machines", "1", "--on", file)
    assert end.code == 3
    assert "pip could not install cloudpickle" in end.err
    assert "Traceback" not in end.err
    assert traces(hosts, hosts[0]) == before
    of_user = Path(pwd.getpwuid(os.getuid()).pw_dir)  # whatever HOME says here
    settings = hosts.inside(hosts[0], of_user / ".config" / "pip")
    settings.mkdir(parents=True)
    (settings / "pip.conf").write_text(f"[global]\nno-index = true\nfind-links = {wheels}\n")
    for _ in range(2):
        end = muster("up", "--machines", "1", "--on", file)
        assert end.code == 0, end.err
    monkeypatch.setenv("KEY_OF_HOME", "secret")
    end = muster(*COMMAND, "--cluster", "default")
    assert end.code == 1
    assert "'KEY_OF_HOME' is set on the computer that began the run, and not here; with --env KEY_OF_HOME" in end.err
    end = muster(*COMMAND, "--cluster", "default", "--env", "KEY_OF_HOME")
    assert end.code == 0, end.err
    printed = [line.partition("these are")[2].split() for line in end.err.splitlines() if "these are" in line]
    assert sum(int(words[0]) for words in printed) == ROWS
    written = pd.read_csv(folder / "out.csv")
    assert set(written["key"]) == {"secret"}
    assert set(written["version"]) == {importlib.metadata.version("cloudpickle")}
    assert all(".muster/environments" in place for place in written["place"])
    end = muster("down", "--purge")
    assert (end.code, "environments removed: " in end.out) == (0, True), end.err + end.out
    assert {name for name in traces(hosts, hosts[0]) if "/.config" not in name} == before


@pytest.mark.usefixtures("ending")
def test_a_port_that_is_taken_on_the_head_is_named_and_nothing_is_left_there(
    muster: Muster, folder: Path, hosts: Hosts
) -> None:
    before = traces(hosts, hosts[0])
    listen = "import socket; s = socket.create_server(('', 6379)); print(flush=True); input()"
    with subprocess.Popen(
        [*hosts.ssh(hosts[0]), f"{PYTHON} -c {shlex.quote(listen)}"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as taker:
        assert taker.stdout
        taker.stdout.readline()
        end = muster("up", "--machines", "1", "--on", write_file(folder, hosts))
        assert end.code == 3
        assert "6379" in end.err
        assert "Traceback" not in end.err
        taker.communicate(b"\n")
    until(lambda: not ours(hosts, hosts[0]))
    assert traces(hosts, hosts[0]) == before


def test_a_run_that_is_told_to_end_while_its_hosts_start_leaves_nothing_there(
    folder: Path, hosts: Hosts, home: Path
) -> None:
    before = [traces(hosts, host) for host in hosts]
    command = (*COMMAND, "--machines", "2", "--on", str(write_file(folder, hosts)))
    with started(folder, *command) as process:
        until(lambda: any("lease.py" in command for command in ours(hosts, hosts[0])) or process.poll() is not None)
        process.send_signal(signal.SIGHUP)
        _, err = process.communicate(timeout=SECONDS)
    assert process.returncode == 128 + signal.SIGHUP, err
    assert not any(ours(hosts, host) for host in hosts)
    assert [traces(hosts, host) for host in hosts] == before
    assert not list((home / "clusters").glob("*"))


def unused_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_hosts_that_cannot_be_used_are_named_with_the_reason_and_nothing_is_started(
    muster: Muster, folder: Path, hosts: Hosts, tmp_path: Path
) -> None:
    other_key = tmp_path / "other"
    subprocess.run([program("ssh-keygen"), "-q", "-t", "ed25519", "-N", "", "-f", other_key], check=True)
    strange = f"{hosts[0].address} {other_key.with_suffix('.pub').read_text()}"
    (tmp_path / "strange").write_text(strange)
    (tmp_path / "nobody").touch()
    older = hosts.inside(hosts[0], OLDER)
    older.write_text(f"#!/bin/sh\n{OLDER_PYTHON}")
    older.chmod(0o755)
    apart: list[list[tuple[dict[str, object], str]]] = [
        [
            ({"port": unused_port()}, "it does not answer. Is it up"),
            ({"key": str(other_key)}, "it refuses the key. Name the right one"),
        ],
        [
            ({"python": "/usr/bin/nowhere"}, "its Python does not work"),
            ({"python": "/bin/false"}, "its program ended with status 1, and said nothing"),
            ({"python": "/bin/echo"}, "this was answered: 'look'"),
        ],
    ]
    for ills in apart:
        named = [
            {"name": host.name, "address": host.address, **wrong} for host, (wrong, _) in zip(hosts, ills, strict=False)
        ]
        end = muster("up", "--machines", str(len(ills)), "--on", write_file(folder, hosts, {"hosts": named}))
        assert (end.code, "Traceback" in end.err) == (3, False), end.err
        for host, (_, told) in zip(hosts, ills, strict=False):
            assert [told in line for line in end.err.splitlines() if line.startswith(f"  {host.name}: ")] == [True], end
    cases: list[tuple[dict[str, object], int, str]] = [
        ({"python": OLDER}, 2, f"Python is 3.9.2 there, and {sys.version_info.major}.{sys.version_info.minor} here"),
        ({"known_hosts": str(tmp_path / "strange")}, 3, "its host key is not the one that is known for it"),
        ({"known_hosts": str(tmp_path / "nobody")}, 3, "its host key is not known"),
        ({"python": "/usr/bin/python3"}, 3, "could"),
        ({"packages": ["no-such-package"]}, 2, "is not installed here"),
    ]
    for instead, code, told in cases:
        end = muster("up", "--machines", "1", "--on", write_file(folder, hosts, instead))
        assert end.code == code, (instead, end.err)
        assert told in end.err
        assert hosts[0].name in end.err or "packages" in instead
        assert "Traceback" not in end.err
    assert not any(ours(hosts, host) for host in hosts)


def test_a_host_without_room_on_its_disk_is_refused(muster: Muster, folder: Path, hosts: Hosts) -> None:
    hosts.fill_disk(hosts[0])
    try:
        end = muster("up", "--machines", "1", "--on", write_file(folder, hosts))
        assert end.code == 2
        assert "its disk is full: 0 MiB are left there" in end.err
        assert "Traceback" not in end.err
    finally:
        hosts.empty_disk(hosts[0])


def test_more_machines_than_the_file_names_are_refused(muster: Muster, folder: Path, hosts: Hosts) -> None:
    end = muster("up", "--machines", "9", "--on", write_file(folder, hosts))
    assert end.code == 2
    assert f"names {len(hosts)} hosts" in end.err
